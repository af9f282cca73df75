"""Whether unpenalized classification has a minimizer at all, from where a fit to it ended.

    no minimizer  <=>  some (dw, dv) has sign_i (a_i'dw + dv) >= 0 for all rows, and > 0 for one

and an iteration then runs off along such a direction.

Reference: Albert, Anderson (1984), On the existence of maximum likelihood estimates in logistic
regression models, theorems 1 and 2.
"""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxml import _lapack
from jaxml._numerics import matmul
from jaxml._sums import sum_over_rows
from jaxml._typing import Array, Bool, Column, Int, Labels, Rows, Scalar
from jaxml.linear import _softmax
from jaxml.linear._problem import Problem

__all__ = ["binary", "multinomial"]

SEARCHED = 256  # parameters up to which separation in the limit is looked for


def binary(problem: Problem, w: Array, v: Scalar, moved: tuple[Array, Scalar]) -> Bool[Array, ""]:
    """Separation at (w, v) proves it; a last step that raises margins and lowers none shows it."""

    def counts(X: Rows, y: Column, p: Column) -> Array:
        A, sign, counted = X - problem.c[None, :], 2 * y - 1, p > 0
        margin = sign * (matmul(A, w) + v)
        gain = sign * (matmul(A, moved[0]) + moved[1])
        tests = (counted & ~(margin > 0), counted & ~(gain > -1e-2), counted & (gain > 0.1))
        return jnp.stack([jnp.sum(t) for t in tests])

    wrong, lowered, raised = sum_over_rows(counts, problem.X, problem.y, problem.p)
    return (wrong == 0) | ((lowered == 0) & (raised > 0))


def _shortfall(problem: Problem, W: Array, v: Array, margin: float) -> Int[Array, ""]:
    """The number of rows of positive weight whose label leads all other scores by <= margin."""
    c, classes = problem.c, jnp.arange(v.shape[0])

    def sums(X: Rows, y: Labels, p: Column) -> Array:
        Z = matmul(X - c[None, :], W).T + v[:, None]
        is_label = classes[:, None] == y[None, :]
        lead = jnp.sum(jnp.where(is_label, Z, 0.0), axis=0)
        lead = lead - jnp.max(jnp.where(is_label, -jnp.inf, Z), axis=0)
        return jnp.sum((p > 0) & ~(lead > margin))

    return sum_over_rows(sums, problem.X, problem.y, problem.p)


def multinomial(
    problem: Problem, W: Array, v: Array, tol: Scalar, *, fit_intercept: bool
) -> Bool[Array, ""]:
    """Whether the rows are separated at (W, v), or only in the limit.

    In the limit the curvature vanishes along a direction in which, at W = 0, it did not: every row
    that moves is already certain of its label. That is looked for up to SEARCHED parameters.
    """
    separated = _shortfall(problem, W, v, 0.0) == 0
    if W.size + v.size > SEARCHED:
        return separated
    scale = jnp.where(problem.sd > 0, problem.sd, 1.0)[:, None]
    flat, unravel = ravel_pytree((W * scale, v))

    def slope(x: Array) -> Array:
        U, v = unravel(x)
        g_w, g_v = _softmax.first_order(problem, U / scale, v, fit_intercept=fit_intercept)[1]
        return ravel_pytree((g_w / scale, g_v))[0]

    eps = jnp.finfo(flat.dtype).eps
    values, V = _lapack.eigh(jax.jacfwd(slope)(jnp.zeros_like(flat)))
    covered = values > 1e-4 * values[-1]
    V = jnp.where(covered, V * jax.lax.rsqrt(jnp.where(covered, values, 1.0))[None, :], 0.0)
    ratio = matmul(V.T, matmul(jax.jacfwd(slope)(flat), V)) + jnp.diag(jnp.where(covered, 0.0, 1.0))
    # A gradient at tol leaves a curvature of that size where it vanishes.
    floor = jnp.maximum(100 * flat.shape[0] * eps, 10 * tol)
    vanished = _lapack.eigvalsh(ratio)[0] < floor
    return separated | vanished
