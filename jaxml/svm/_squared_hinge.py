"""Newton steps for the squared hinge, and the gap to its dual that certifies them.

    J / (C s) = sum_i p_i max(0, 1 - y_i z_i)^2 + l2/2 ||w||^2,    p_i = s_i / s,   l2 = 1 / (C s)
    D(a) = sum_i a_i - 1/(2 l2) ||sum_i a_i y_i x_i||^2 - sum_i a_i^2 / (4 p_i)

with s = sum_i s_i, over a >= 0 with sum_i a_i y_i = 0. The minimizer has
a_i = 2 p_i max(0, 1 - y_i z_i); elsewhere the heavier class is scaled to balance, and then a as a
whole to its best length. Letters as in jaxml.svm.primal.
Reference: Chapelle (2007), Training a support vector machine in the primal; Hsieh et al. (2008), A
dual coordinate descent method for large-scale linear SVM, eq. (1)-(4).
"""

from functools import partial
from typing import Any

import jax.numpy as jnp

from jaxml import losses
from jaxml._loop import Code, Fit, certify, input_flags
from jaxml._numerics import default_tol, matmul
from jaxml._sums import total
from jaxml._typing import Scalar
from jaxml.linear import _affine, _newton
from jaxml.linear._affine import Params
from jaxml.linear._problem import Problem

__all__ = ["newton"]


def newton(theta: Any, init: Params | None, tol: Scalar, *, max_iter: int) -> Fit[Params]:
    """Minimize J / (C s), a mean loss with l2, by the Newton steps of the linear family."""
    X, y, s, C = theta
    mass = s.sum()
    c = _affine.center(X, s, fit_intercept=True)
    p, l2 = s / mass, 1.0 / (C * mass)
    sd = _affine.spread(X, p, c, fit_intercept=True)
    problem = Problem(X, y, p, c, sd, jnp.zeros_like(l2), l2)
    start = jnp.zeros_like(c), jnp.zeros_like(l2)
    if init is not None:
        start = init.coef, init.intercept + matmul(c, init.coef)
    end, n_iter, failed = _newton.minimize(
        losses.squared_hinge,
        problem,
        start,
        residual=partial(_gap, problem),
        tol=tol,
        sparse=False,
        fit_intercept=True,
        max_iter=max_iter,
    )
    counted = s > 0
    missing = ~((counted & (y > 0)).any() & (counted & (y < 0)).any())
    rounding = jnp.finfo(X.dtype).eps * (jnp.abs(c) @ jnp.abs(end.w))
    return certify(
        Params(end.w, end.v - matmul(c, end.w)),
        objective=end.J * C * mass,
        residual=end.residual,
        tol=tol,
        n_iter=n_iter,
        gap=end.residual,
        flags=(
            *input_flags(X, y, s, sd),
            (Code.DEGENERATE, ~(C > 0)),
            (Code.BAD_LABELS, missing | (y == 0).any()),
            (Code.ILL_CONDITIONED, rounding > 10 * jnp.maximum(tol, default_tol(X.dtype))),
        ),
        unmet=jnp.where(failed, Code.LINE_SEARCH_FAILED, Code.MAX_ITER),
    )


def _gap(problem: Problem, state: _newton.State) -> Scalar:
    """(J - D) / J, no less than its rounding, from the dual point that the slacks point to."""
    X, y, p, c, _, _, l2, _ = problem
    A = X - c[None, :]
    slack = losses.hinge(matmul(A, state.w) + state.v, y)
    a = 2 * p * jnp.where(p > 0, slack, 0.0)
    plus, minus = (total(jnp.where(side, a, 0.0)) for side in (y > 0, y < 0))
    least = jnp.minimum(plus, minus)
    a = a * jnp.where(y > 0, _affine.divide(least, plus), _affine.divide(least, minus))
    u = matmul(a * y, A)
    bends = 0.5 * jnp.sum(u**2) / l2 + 0.25 * total(
        jnp.where(p > 0, a**2 / jnp.where(p > 0, p, 1.0), 0.0)
    )
    dual = _affine.divide(total(a) ** 2, 4 * bends)
    gap = jnp.where(state.J > 0, (state.J - dual) / state.J, 0.0)
    return jnp.maximum(gap, jnp.finfo(X.dtype).eps)
