"""The C-SVM of a Gram matrix: its solution, and what certifies it.

    minimize 1/2 b'K b - y'b    subject to  sum_i b_i = 0,  b_i between 0 and y_i C s_i
    f = K b + c,    primal  1/2 b'K b + C sum_i s_i max(0, 1 - y_i f_i),    dual  y'b - 1/2 b'K b

Symbols: b = alpha * y; c = intercept.
Reference: Schoelkopf, Smola (2002), eq. (7.34)-(7.37).
"""

from typing import Any

import jax.numpy as jnp

from jaxml._implicit import differentiable
from jaxml._lanes import one_at_a_time
from jaxml._loop import Code, Fit, certify
from jaxml._typing import Array, Bool, Column, Scalar
from jaxml.svm import _optimum, _smo
from jaxml.svm._optimum import Problem, Solution

__all__ = ["Problem", "Solution", "fit"]


def fit(
    problem: Problem,
    tol: Scalar,
    finite: Bool[Array, ""],
    init: Column | None = None,
    *,
    max_iter: int,
) -> Fit[Solution]:
    """Return the certified solution, with implicit derivatives with respect to the problem.

    Args:
      problem: K, y, s, C.
      tol: What the violation m - M must not exceed.
      finite: Whether the features are: K may overflow although they are.
      init: b to start near; None is 0.
      max_iter: Static bound on the pairs moved.
    """

    def solve(problem: Problem, how: tuple[Scalar, Array, Column | None]) -> Fit[Solution]:
        return _solve(problem, *how, max_iter=max_iter)

    derived = differentiable(
        solve,
        objective=_optimum.objective, optimality=_optimum.optimality, inverse=_optimum.inverse,
    )  # fmt: skip
    return derived(problem, (tol, finite, init))


def _solve(
    problem: Problem, tol: Scalar, finite: Array, init: Column | None, *, max_iter: int
) -> Fit[Solution]:
    K, y, _, _ = problem
    lo, hi = problem.bounds
    start = None if init is None else _smo.feasible(init, lo, hi)

    @one_at_a_time
    def minimize(*args: Any) -> tuple[_smo.State, Array]:
        return _smo.minimize(*args, max_iter=max_iter)

    (b, g, _, bent, stuck), pairs = minimize(K, y, lo, hi, start, tol)
    m, M = _smo.violation(b, g, lo, hi)
    c = _intercept(b, g, lo, hi, m, M)
    J = 0.5 * jnp.sum(b * (g - y))
    noise = _noise(K, b, hi > lo)
    rough = noise > 10 * tol
    lost = rough & (noise > jnp.sqrt(jnp.finfo(K.dtype).eps))
    curved = jnp.sum(b * (g + y)) < -noise * jnp.sum(jnp.abs(b))
    return certify(
        Solution(b, c),
        objective=J,
        residual=jnp.maximum(m - M, 0.0),
        tol=tol,
        n_iter=pairs,
        gap=_gap(problem, b, c, g),
        flags=(
            *_input_flags(problem, g, finite),
            (Code.LINE_SEARCH_FAILED, rough),
            (Code.ILL_CONDITIONED, lost | bent | curved),
        ),
        unmet=jnp.where(stuck, Code.LINE_SEARCH_FAILED, Code.MAX_ITER),
    )


def _intercept(b: Column, g: Column, lo: Column, hi: Column, m: Scalar, M: Scalar) -> Scalar:
    """The mean of y - K b over the free, or the middle of the interval that the others leave."""
    free = (b > lo) & (b < hi)
    count = jnp.sum(free)
    mean = -jnp.sum(jnp.where(free, g, 0.0)) / jnp.maximum(count, 1)
    # One side is open only where a class is missing.
    middle = jnp.where(jnp.isfinite(m) & jnp.isfinite(M), 0.5 * (m + M), 0.0)
    return jnp.where(count > 0, mean, middle)


def _gap(problem: Problem, b: Column, c: Scalar, g: Column) -> Scalar:
    """(primal - dual) / primal of the better of two primal points; no less than its rounding, eps.

    The one is (w, c) itself. The other, where every margin is positive, is (w, c) over the least of
    them: it has no slack, so that it serves for C = inf, too.
    """
    K_b, counted = g + problem.y, problem.s > 0
    square = jnp.maximum(jnp.sum(b * K_b), 0.0)
    margins = problem.y * (K_b + c)
    slack = jnp.maximum(jnp.where(counted, 1.0 - margins, 0.0), 0.0)
    soft = 0.5 * square + jnp.sum(jnp.where(slack > 0, problem.caps * slack, 0.0))
    least = jnp.min(jnp.where(counted, margins, jnp.inf))
    hard = jnp.where(least > 0, 0.5 * square / jnp.where(least > 0, least, 1.0) ** 2, jnp.inf)
    primal = jnp.minimum(soft, hard)
    dual = jnp.sum(problem.y * b) - 0.5 * square
    gap = jnp.where(jnp.isfinite(primal), (primal - dual) / primal, 1.0)
    eps = jnp.finfo(b.dtype).eps
    return jnp.where(primal > 0, jnp.maximum(gap, eps), eps)


def _noise(K: Array, b: Column, counted: Array) -> Scalar:
    """The rounding in K b, from |K_ij| <= (K_ii K_jj)^1/2 and terms that err independently."""
    d = jnp.where(counted, jnp.abs(jnp.diagonal(K)), 0.0)
    size = jnp.sqrt(jnp.max(d)) * jnp.sqrt(jnp.sum(d * b**2))
    return 4 * jnp.finfo(K.dtype).eps * size


def _input_flags(problem: Problem, g: Column, finite: Array) -> tuple[tuple[Code, Array], ...]:
    _, y, s, C = problem
    least, most = jnp.min(s), jnp.max(s)  # NaN if any is
    counted = s > 0
    missing = ~((counted & (y > 0)).any() & (counted & (y < 0)).any())
    return (
        (Code.NONFINITE_INPUT, ~finite | ~jnp.isfinite(most)),
        (Code.DIVERGED, ~jnp.isfinite(jnp.max(jnp.abs(g)))),
        (Code.DEGENERATE, ~((least >= 0) & (most > 0) & (C > 0))),
        (Code.BAD_LABELS, missing | (y == 0).any()),
    )
