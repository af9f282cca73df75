"""Maximum likelihood of class labels, penalized: from a start to the certified fit.

    J = sum_i p_i l(z_i, y_i) + l1 ||w||_1 + l2/2 ||w||_2^2
    p_i = s_i / s,  z = a'w + v,  a = x - c

Start at the log-odds of the classes, w = 0, or at init; descend; judge whether a minimizer exists;
move the intercept back from the center, b = v - c'w.

Reference: Hastie et al., ESL (2009), eq. (4.20) for two classes, (4.17) for k.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml import losses
from jaxml._lanes import any_lane
from jaxml._loop import Code, Fit, certify, input_flags
from jaxml._numerics import default_tol, matmul
from jaxml._sums import total
from jaxml._typing import Array, Scalar
from jaxml.linear import _affine, _duality, _lbfgs, _newton, _orders, _separation, _softmax
from jaxml.linear._affine import Params
from jaxml.linear._problem import Problem, in_phases

__all__ = ["binary", "multinomial"]


def _without_minimizer(theta: Any, penalized: bool, separated: Callable[[], Array]) -> Array:
    """Whether J has no minimizer; penalized: it is known to have one."""
    if penalized:
        return jnp.array(False)
    *_, l1, l2 = theta
    free = (l1 == 0) & (l2 == 0)
    return free & jax.lax.cond(any_lane(free), separated, lambda: jnp.array(False))


def binary(
    theta: Any,
    how: Any,
    *,
    fit_intercept: bool,
    solver: str,
    sparse: bool,
    penalized: bool,
    max_iter: int,
) -> Fit[Params]:
    """Logistic regression: theta = (X, y, s, l1, l2), how = (init, tol)."""
    (X, labels, s, l1, l2), (init, tol) = theta, how
    y = labels.astype(X.dtype)
    p = s / s.sum()
    c = _affine.center(X, any_lane(s), fit_intercept=fit_intercept)
    sd = _affine.spread(X, p, c, fit_intercept=fit_intercept)
    problem = Problem(X, y, p, c, sd, l1, l2)
    share = total(p * y)
    if init is None:
        log_odds = jnp.log(jnp.maximum(share, 1e-30)) - jnp.log(jnp.maximum(1 - share, 1e-30))
        start = jnp.zeros_like(c), log_odds if fit_intercept else jnp.zeros_like(share)
    else:
        start = init.coef, init.intercept + matmul(c, init.coef)

    smooth = partial(_orders.gradient_residual, sd)

    def residual(state: _newton.State) -> Scalar:
        if not sparse:
            return smooth(state.J, state.gradient)
        gap = _duality.logistic_gap(problem, state.w, state.v, state.J, fit_intercept=fit_intercept)
        return jnp.where(l1 > 0, gap, smooth(state.J, state.gradient))

    T = None
    if solver == "lbfgs":
        T = _lbfgs.whitening(X, p, c, l2, bound=0.25, fit_intercept=fit_intercept)

    def run(problem: Problem, start: tuple[Array, Scalar], **how: Any) -> tuple:
        if T is None:
            how = {"sparse": sparse, "fit_intercept": fit_intercept, **how}
            return _newton.minimize(losses.logistic, problem, start, residual=residual, **how)
        of = partial(_orders.first_order, losses.logistic, problem, fit_intercept=fit_intercept)
        return _lbfgs.minimize(of, T, start, residual=lambda w, J, g: smooth(J, g), **how)

    # A warm start is nearer than a fit to part of the rows, and a duality gap needs all of them.
    fit_all = run if sparse or init is not None else partial(in_phases, run)
    end, n_iter, failed = fit_all(problem, start, tol=tol, max_iter=max_iter)
    w, v = end.w, end.v

    degenerate = _without_minimizer(
        theta, penalized, lambda: _separation.binary(problem, w, v, end.moved)
    )
    one_class = ~((share > 0) & (share < 1)) | ((labels < 0) & (s > 0)).any()
    rounding = jnp.finfo(X.dtype).eps * (jnp.abs(c) @ jnp.abs(w))
    return certify(
        Params(w, v - matmul(c, w)),
        objective=end.J,
        residual=end.residual,
        tol=tol,
        n_iter=n_iter,
        flags=(
            *input_flags(X, y, s, sd),
            (Code.BAD_LABELS, one_class),
            (Code.DEGENERATE, degenerate),
            (Code.ILL_CONDITIONED, rounding > 10 * jnp.maximum(tol, default_tol(X.dtype))),
        ),
        unmet=jnp.where(failed, Code.LINE_SEARCH_FAILED, Code.MAX_ITER),
    )


def multinomial(
    theta: Any,
    how: Any,
    *,
    fit_intercept: bool,
    solver: str,
    n_classes: int,
    penalized: bool,
    max_iter: int,
) -> Fit[Params]:
    """Softmax regression: theta = (X, y, s, l1, l2), how = (init, tol)."""
    (X, y, s, l1, l2), (init, tol) = theta, how
    p = s / s.sum()
    c = _affine.center(X, any_lane(s), fit_intercept=fit_intercept)
    sd = _affine.spread(X, p, c, fit_intercept=fit_intercept)
    problem = Problem(X, y, p, c, sd, l1, l2)
    shares = jnp.where(jnp.arange(n_classes)[:, None] == y[None, :], p[None, :], 0.0).sum(axis=1)
    if init is None:
        # Absent classes start as if they had a thousandth of a row.
        v = jnp.log(jnp.maximum(shares, 1e-3 / X.shape[0]))
        start = jnp.zeros((X.shape[1], n_classes), X.dtype), v - v.mean()
        start = start if fit_intercept else (start[0], jnp.zeros_like(v))
    else:
        start = init.coef, init.intercept + matmul(c, init.coef)

    if solver == "lbfgs":
        T = _lbfgs.whitening(X, p, c, l2, bound=0.5, fit_intercept=fit_intercept)

        def run(problem: Problem, start: tuple[Array, Array], **how: Any) -> tuple:
            first_order = partial(_softmax.first_order, problem, fit_intercept=fit_intercept)
            residual = partial(_softmax.residual, problem)
            return _lbfgs.minimize(first_order, T, start, residual=residual, **how)

        fit_all = run if init is not None else partial(in_phases, run)
        end, n_iter, failed = fit_all(problem, start, tol=tol, max_iter=max_iter)
    else:
        end, n_iter, failed = _softmax.proximal(
            problem, start, tol=tol, fit_intercept=fit_intercept, max_iter=max_iter
        )
    W, v = end.w, end.v
    W = jnp.where(l1 == 0, W - jnp.mean(W, axis=1, keepdims=True), W)
    b = v - matmul(c, W)
    b = b - jnp.mean(b) if fit_intercept else b
    separated = partial(_separation.multinomial, problem, W, v, tol, fit_intercept=fit_intercept)
    degenerate = _without_minimizer(theta, penalized, separated)
    absent = (shares == 0).any() & fit_intercept
    bad = (jnp.sum(shares > 0) < 2) | ((y < 0) & (s > 0)).any()
    rounding = jnp.finfo(X.dtype).eps * jnp.max(matmul(jnp.abs(c), jnp.abs(W)))
    return certify(
        Params(W, b),
        objective=end.J,
        residual=end.residual,
        tol=tol,
        n_iter=n_iter,
        flags=(
            *input_flags(X, y.astype(X.dtype), s, sd),
            (Code.BAD_LABELS, bad),
            (Code.DEGENERATE, degenerate | absent),
            (Code.ILL_CONDITIONED, rounding > 10 * jnp.maximum(tol, default_tol(X.dtype))),
        ),
        unmet=jnp.where(failed, Code.LINE_SEARCH_FAILED, Code.MAX_ITER),
    )
