"""The weighted normal equations, refined on the data: what ridge and least squares share.

    [[G + l2 I, m], [m', 1]] (w, v) = (h, m_q),    a = x - c, q = y - c_y, p_i = s_i / s
    G = sum_i p_i a_i a_i',  m = sum_i p_i a_i,  h = sum_i p_i q_i a_i,  m_q = sum_i p_i q_i

Forming G squares the condition number of the design; each refinement takes the gradient from the
data instead of from G and so wins back the digits lost there, as long as kappa^2 eps < 1.

Reference: Bjorck (1996), Numerical Methods for Least Squares Problems, section 6.6.5 (corrected
semi-normal equations).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import penalties
from jaxml._loop import Code, Fit, certify, input_flags, iterate
from jaxml._numerics import default_tol, matmul
from jaxml._sums import sum_over_rows, total
from jaxml._typing import Array, Bool, Column, Float, Int, Real, Rows, Scalar
from jaxml.linear import _affine, _dual
from jaxml.linear._affine import Normal, Params, divide

__all__ = ["Solution", "hessian_inverse", "solve"]

MAX_REFINEMENTS = 4  # the first is the solve itself


class Solution(NamedTuple):
    """A solve about the center and what is needed to judge it."""

    w: Float[Array, " d"]
    v: Scalar  # the intercept about the center: v = b + c'w - c_y
    objective: Scalar
    residual: Scalar  # max_j |dJ/dw_j at fixed v| / (sd(x_j) sd(y)), |dJ/dv| / sd(y)
    n_iter: Int[Array, ""]
    sd: tuple[Float[Array, " d"], Scalar]  # sd(x_j), sd(y)
    center: tuple[Float[Array, " d"], Scalar]  # c, c_y


class _State(NamedTuple):
    w: Float[Array, " d"]
    v: Scalar
    gradient: tuple[Float[Array, " d"], Scalar]  # dJ/dw, dJ/dv
    J: Scalar
    residual: Scalar
    stuck: Bool[Array, ""]


def solve(
    X: Rows,
    y: Column,
    s: Column,
    l2: Real,
    tol: Real,
    *,
    fit_intercept: bool,
    dual: bool = False,
) -> tuple[Solution, Any]:
    """Solve by a Cholesky factorization, refine to tol, to rounding or while it gains.

    Returns the solution and the Normal it came from. With dual, which needs l2 > 0, the factor is
    n x n, and there is no Normal.
    """
    p = s / s.sum()
    c = _affine.center(X, s, fit_intercept=fit_intercept)
    c_y = jnp.mean(y) if fit_intercept else jnp.zeros((), y.dtype)

    def second_order(X: Rows, y: Column, p: Column) -> tuple[Normal, Array, Array]:
        (root, B), q = _affine.weigh(X, p, c), y - c_y
        return (
            Normal.of(root, B),
            matmul(root * q, B),
            jnp.stack([total(p * q), total(p * q**2)]),
        )

    def first_order(X: Rows, y: Column, p: Column, w: Array, v: Scalar) -> tuple:
        A = X - c[None, :]
        r = matmul(A, w) + v - (y - c_y)
        return matmul(p * r, A), total(p * r), 0.5 * total(p * r**2)

    if dual:
        normal, ((root, B), q) = None, (_affine.weigh(X, p, c), y - c_y)
        direction = _dual.inverse(root, B, l2, fit_intercept=fit_intercept)
        m, square, h = matmul(root, B), jnp.sum(B * B, axis=0), matmul(root * q, B)
        m_q, q_2 = total(p * q), total(p * q**2)
    else:
        normal, h, (m_q, q_2) = sum_over_rows(second_order, X, y, p)
        direction = _affine.inverse(normal, l2, fit_intercept=fit_intercept)
        m, square = normal.cross, jnp.diag(normal.gram)
    if not fit_intercept:
        m, m_q = jnp.zeros_like(c), jnp.zeros_like(m_q)
    sd_x = _affine.deviation(square - m**2, c)
    sd_y = _affine.deviation(q_2 - m_q**2, c_y)

    def judge(g_w: Array, g_v: Scalar) -> Scalar:
        worst = jnp.max(divide(jnp.abs(g_w), sd_x * sd_y))
        return jnp.maximum(worst, divide(jnp.abs(g_v), sd_y))

    def step(state: _State) -> _State:
        d_w, d_v = direction(*state.gradient)
        w, v = state.w - d_w, state.v - d_v
        g_w, g_v, J = sum_over_rows(lambda X, y, p: first_order(X, y, p, w, v), X, y, p)
        g_w = g_w + l2 * w
        g_v = g_v if fit_intercept else jnp.zeros_like(g_v)
        J = J + l2 * penalties.l2(w)
        residual = judge(g_w, g_v)
        new = _State(w, v, (g_w, g_v), J, residual, jnp.array(False))
        # A correction that does not help is not taken, and ends the loop.
        better = residual < state.residual
        kept = state._replace(stuck=jnp.array(True))
        return jax.tree.map(lambda new, old: jnp.where(better, new, old), new, kept)

    def stop(state: _State) -> Array:
        # Errors of this size in r = a'w + v - q are rounding: no gradient is known better.
        rounding = jnp.finfo(c.dtype).eps * divide(jnp.sqrt(2 * state.J), sd_y)
        return (state.residual <= jnp.maximum(tol, rounding)) | state.stuck

    nothing = jnp.zeros_like(c)
    start = _State(nothing, 0 * m_q, (-h, -m_q), 0.5 * q_2, judge(h, m_q), jnp.array(False))
    end, n_iter = iterate(step, start, stop=stop, max_iter=MAX_REFINEMENTS)
    solution = Solution(end.w, end.v, end.J, end.residual, n_iter, (sd_x, sd_y), (c, c_y))
    return solution, normal


def finish(
    solution: Solution,
    X: Rows,
    y: Column,
    s: Column,
    tol: Real,
    *,
    flags: tuple[tuple[Code, Array], ...] = (),
) -> Fit[Params]:
    """Move the intercept back from the center and certify."""
    w, v, J, residual, n_iter, (sd_x, sd_y), (c, c_y) = solution
    # Columns far from 0 need digits in b that the dtype may not have.
    rounding = jnp.finfo(X.dtype).eps * (jnp.abs(c) @ jnp.abs(w) + jnp.abs(c_y))
    far = (rounding > 10 * jnp.maximum(tol, default_tol(X.dtype)) * sd_y) & (sd_y > 0)
    return certify(
        Params(w, v + c_y - matmul(c, w)),
        objective=J,
        residual=residual,
        tol=tol,
        n_iter=n_iter,
        flags=(*input_flags(X, y, s, sd_x), (Code.ILL_CONDITIONED, far), *flags),
        unmet=Code.ILL_CONDITIONED,
    )


def hessian_inverse(
    X: Rows,
    D: Column,
    l2: Real,
    *,
    fit_intercept: bool,
    alive: Bool[Array, " d"] | None = None,
    dual: bool = False,
):
    """Return g -> H^-1 g on Params, for H = sum_i D_i (x_i, 1)(x_i, 1)' + l2 diag(1, .., 1, 0).

    Coefficients that are not alive stay as they are: H is restricted to the others. dual: as solve.
    """
    c = _affine.center(X, D, fit_intercept=fit_intercept)

    def second_order(X: Rows, D: Column) -> Normal:
        root, B = _affine.weigh(X, D, c)
        return Normal.of(root, B if alive is None else jnp.where(alive, B, 0.0))

    if dual:
        direction = _dual.inverse(*_affine.weigh(X, D, c), l2, fit_intercept=fit_intercept)
    else:
        normal = sum_over_rows(second_order, X, D)
        direction = _affine.inverse(normal, l2, fit_intercept=fit_intercept)

    def apply(g: Params) -> Params:
        # In v = b + c'w the gradient is (g_w - c g_b, g_b); back, d_b = d_v - c'd_w.
        g_w = g.coef - c * g.intercept
        d_w, d_v = direction(g_w if alive is None else jnp.where(alive, g_w, 0.0), g.intercept)
        return Params(d_w, d_v - matmul(c, d_w))

    return apply
