"""What holds at the optimum of a C-SVM, and is differentiated. Symbols as in svm._solution.

At a solution f_i = y_i where b_i is free (strictly between its bounds), and b_i is one of its
bounds elsewhere. With the free set F and the bounds held, that is a linear system:

    [K_FF 1; 1' 0] (db_F, dc) = -(dK b + K_FU db_U, sum db_U)_F,    db_U = y_U d(C s_U)

Reference: Chapelle et al. (2002), Choosing multiple parameters for support vector machines,
section 3.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from jaxml import _lapack
from jaxml._loop import iterate
from jaxml._numerics import matmul
from jaxml._typing import Array, Bool, Column, Float, Scalar

__all__ = ["Problem", "Solution", "inverse", "objective", "optimality"]


class Problem(NamedTuple):
    """What the solution depends on."""

    K: Float[Array, "n n"]
    y: Column  # in {-1, 1}
    s: Column
    C: Scalar

    @property
    def bounds(self) -> tuple[Column, Column]:
        """lo and hi: 0 and y C s, in order; a row of weight 0 has no room, even if C is inf."""
        top = self.y * self.caps
        return jnp.minimum(top, 0.0), jnp.maximum(top, 0.0)

    @property
    def caps(self) -> Column:
        """C s, what alpha must not exceed."""
        counted = self.s > 0
        return jnp.where(counted, self.C * jnp.where(counted, self.s, 1.0), 0.0)


class Solution(NamedTuple):
    """The dual coefficients and the intercept."""

    b: Column
    c: Scalar


def objective(solution: Solution, problem: Problem) -> Scalar:
    """1/2 b'K b - y'b."""
    b = solution.b
    return 0.5 * jnp.sum(b * matmul(problem.K, b)) - jnp.sum(problem.y * b)


def _sets(b: Column, problem: Problem) -> tuple[Bool[Array, " n"], Bool[Array, " n"]]:
    """Which coefficients are free, and which are at y C s."""
    lo, hi = problem.bounds
    free = (b > lo) & (b < hi)
    return free, ~free & (b != 0)


def optimality(solution: Solution, problem: Problem) -> Solution:
    """0 at a solution: f - y on the free, b less its bound elsewhere, and sum b."""
    (b, c), (K, y, s, C) = solution, problem
    free, full = _sets(b, problem)
    bound = jnp.where(full, y * jnp.where(full, C, 0.0) * s, 0.0)
    return Solution(jnp.where(free, matmul(K, b) + c - y, b - bound), jnp.sum(b))


def inverse(solution: Solution, problem: Problem) -> Callable[[Solution], Solution]:
    """Apply the inverse of dF/d(b, c): b_O = g_O at the bounds O, the bordered system on F.

    K_FF + k 11' replaces K_FF, which may be singular where the bordered system is not; since 1'b is
    fixed that shifts only c.
    """
    K = problem.K
    free, _ = _sets(solution.b, problem)
    both = free[:, None] & free[None, :]
    count = jnp.sum(free)
    k = jnp.sum(jnp.where(free, jnp.diagonal(K), 0.0)) / jnp.maximum(count, 1)
    A = jnp.where(both, K + k, 0.0) + jnp.diag(jnp.where(free, 0.0, 1.0).astype(K.dtype))
    W = _factor(A, k)
    ones = free.astype(K.dtype)
    v = matmul(W.T, matmul(W, ones))
    mass = jnp.where(count > 0, jnp.sum(ones * v), 1.0)

    def apply(F: Solution) -> Solution:
        outer = jnp.where(free, 0.0, F.b)
        r = jnp.where(free, F.b - matmul(K, outer), 0.0)
        t = F.c - jnp.sum(outer)
        u = matmul(W.T, matmul(W, r))
        nu = jnp.where(count > 0, (jnp.sum(ones * u) - t) / mass, 0.0)
        # Without a free vector c is not determined: it keeps still.
        return Solution(
            outer + jnp.where(free, u - v * nu, 0.0), nu + jnp.where(count > 0, k * t, 0.0)
        )

    return apply


def _factor(A: Array, k: Scalar) -> Array:
    """The inverse factor of A; where A is singular to rounding, of A with a little on its diagonal.

    Equal points make it singular: that picks one of the solutions, which all give the same f.
    """
    n, eps = A.shape[0], jnp.finfo(A.dtype).eps

    def rescued(carry: tuple[Array, Scalar]) -> tuple[Array, Scalar]:
        _, rescue = carry
        return _lapack.inverse_factor(A + rescue * jnp.eye(n, dtype=A.dtype)), 10 * rescue

    start = _lapack.inverse_factor(A), 100 * n * eps * jnp.where(k > 0, k, 1.0)
    (W, _), _ = iterate(rescued, start, stop=lambda t: jnp.isfinite(t[0]).all(), max_iter=2)
    return W
