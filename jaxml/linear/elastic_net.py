"""Elastic net: least squares with an L1 penalty that selects and an L2 penalty that groups.

    J(w, b) = 1/(2s) sum_i s_i (x_i'w + b - y_i)^2 + l1 ||w||_1 + l2/2 ||w||_2^2,    s = sum_i s_i

Symbols: x_i = X[i]; s_i = sample_weight[i], 1 if None; w = coef; b = intercept, not penalized.
Units: y in u and x_j in v give l1 in u v, l2 in v^2.
scikit-learn: ElasticNet(alpha, l1_ratio) has l1 = alpha * l1_ratio, l2 = alpha * (1 - l1_ratio).
Reference: Zou, Hastie (2005), Regularization and variable selection via the elastic net, eq. (3).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check, losses
from jaxml._implicit import differentiable
from jaxml._lanes import one_at_a_time
from jaxml._loop import Fit
from jaxml._numerics import default_gap_tol
from jaxml._sums import weighted_mean
from jaxml._typing import Array, ArrayLike, Column, Float, Real, Rows, Scalar, Weights
from jaxml.linear import _affine, _descent, _moments, _normal
from jaxml.linear._affine import Params, predict

__all__ = ["Params", "fit", "loss", "path", "predict"]

GRAM_LIMIT = 128  # features up to which the Gram matrix costs less than choosing columns
PATH_LIMIT = 4096  # the same for a whole path, on which most columns enter


def loss(
    params: Params, X: Rows, y: Column, *, l1: Real, l2: Real, sample_weight: Weights = None
) -> Scalar:
    """Evaluate J(w, b) as defined at the top of this module."""
    errors = losses.squared(_affine.score(params, X), y)
    return weighted_mean(errors, sample_weight) + _affine.penalty(params.coef, l1, l2)


def fit(
    X: ArrayLike,
    y: ArrayLike,
    *,
    l1: Real,
    l2: Real,
    sample_weight: ArrayLike | None = None,
    fit_intercept: bool = True,
    init: Params | None = None,
    precompute: bool | None = None,
    tol: Real | None = None,
    max_iter: int = 100,
) -> Fit[Params]:
    """Minimize J by coordinate descent on columns that enter in groups.

    Args:
      X: Features (n, d), float32 or float64; integers become the default float.
      y: Targets (n,).
      l1: L1 penalty, >= 0, traced; coefficients that it removes are exactly 0.
      l2: L2 penalty, >= 0, traced; not both may be 0.
      sample_weight: s_i >= 0, not all zero; only their ratios matter.
      fit_intercept: Static; False fixes b = 0.
      init: Where to start, a warm start.
      precompute: Static; whether to form the whole d x d Gram matrix first and certify from it
        alone. It pays where d is small (None: up to 128 features) and where it is shared, by a
        vmap over penalties.
      tol: What the residual must not exceed; None is eps^(5/6) of the dtype.
      max_iter: Static bound on the rounds, each of which may admit new columns.

    Returns:
      Params, and Info with residual = duality gap / J at w = 0, an upper bound of the relative
      distance of J from its minimum. Derivatives with respect to X, y, l1, l2 and sample_weight
      are implicit, at the present set of nonzero coefficients. MAX_ITER also where more columns
      press than can enter: 4096, or twice the rows.

    Raises:
      ValueError: Shapes disagree, a penalty is negative or both are 0, or a concrete array holds
        NaN or inf.
      TypeError: An array is not numeric, or init is no Params.

    Example:
      >>> X, y = jnp.array([[-1.0], [0.0], [1.0]]), jnp.array([-1.0, 0.0, 1.0])
      >>> w = fit(X, y, l1=0.1, l2=0.0).params.coef
      >>> round(float(w[0]), 4)  # (2/3 - 0.1) / (2/3)
      0.85
    """
    X, y, s = _check.supervised(X, y, sample_weight)
    l1, l2 = (_check.at_least(k, v, 0, dtype=X.dtype) for k, v in (("l1", l1), ("l2", l2)))
    if _check.is_concrete(l1, l2) and not (float(l1) > 0 or float(l2) > 0):
        raise ValueError("l1 or l2 must be > 0: got 0 and 0; use least_squares")
    (init, tol), static = _how(X, init, tol, fit_intercept, precompute, max_iter)
    return _check.raise_for(_fit(X, y, s, l1, l2, init, tol, **static), X)


def path(
    X: ArrayLike,
    y: ArrayLike,
    *,
    l1: Float[Array, " m"],
    l2: Real,
    sample_weight: ArrayLike | None = None,
    fit_intercept: bool = True,
    tol: Real | None = None,
    max_iter: int = 100,
) -> Fit[Params]:
    """Fit for each of m penalties l1 in turn, each started from the one before.

    The fits share the Gram matrix, up to 4096 columns. Go from large to small penalties.

    Args:
      X: Features (n, d).
      y: Targets (n,).
      l1: Penalties (m,), >= 0.
      l2: L2 penalty, shared.
      sample_weight: s_i >= 0, not all zero.
      fit_intercept: Static.
      tol: As for fit.
      max_iter: As for fit, for each penalty.

    Returns:
      Fit whose leaves have a leading axis m.

    Raises:
      ValueError: As fit.
    """
    X, y, s = _check.supervised(X, y, sample_weight)
    l1 = _check.array("l1", l1, ndim=1, dtype=X.dtype)
    l2 = _check.at_least("l2", l2, 0, dtype=X.dtype)
    if _check.is_concrete(l1) and (np.asarray(l1) < 0).any():
        raise ValueError(f"l1 must be >= 0 throughout: got {np.asarray(l1).min()}")
    (init, tol), static = _how(X, None, tol, fit_intercept, X.shape[1] <= PATH_LIMIT, max_iter)
    return _fit(X, y, s, l1, l2, init, tol, **static)


def _how(
    X: Rows, init: Any, tol: Any, fit_intercept: bool, precompute: bool | None, max_iter: int
) -> tuple[tuple, dict[str, Any]]:
    if init is not None:
        init = _check.like("init", init, Params(jnp.zeros(X.shape[1]), jnp.zeros(())), X.dtype)
    tol = _check.above("tol", default_gap_tol(X.dtype) if tol is None else tol, 0, dtype=X.dtype)
    precompute = X.shape[1] <= GRAM_LIMIT if precompute is None else bool(precompute)
    static = {"fit_intercept": bool(fit_intercept), "precompute": precompute}
    return (init, tol), {"max_iter": _check.integer("max_iter", max_iter, 1), **static}


@partial(jax.jit, static_argnames=("fit_intercept", "precompute", "max_iter"))
def _fit(
    X: Rows, y: Column, s: Column, l1: Array, l2: Scalar, init: Params | None, tol: Scalar,
    *, fit_intercept: bool, precompute: bool, max_iter: int,
) -> Fit[Params]:  # fmt: skip
    """One fit, or with l1 (m,) a path of them."""
    stats = _moments.moments(X, y, s, fit_intercept=fit_intercept, precompute=precompute)

    def objective(params: Params, theta: Any) -> Scalar:
        X, y, s, l1, l2 = theta
        return loss(params, X, y, l1=l1, l2=l2, sample_weight=s)

    def optimality(params: Params, theta: Any) -> Params:
        g_w, g_b = jax.grad(objective)(params, theta)
        g_w = jnp.where(params.coef == 0, 0.0, g_w)
        return Params(g_w, g_b if fit_intercept else jnp.zeros_like(g_b))

    def solved(params: Params, theta: Any, g: Params) -> Params:
        X, _, s, _, l2 = theta
        how = {"fit_intercept": fit_intercept, "alive": params.coef != 0}
        return _normal.hessian_inverse(X, s / s.sum(), l2, **how)(g)

    each = (0, (None, None, None, 0, None))

    def lift(f: Callable, *more: int) -> Callable:
        return jax.vmap(f, (*each, *more)) if l1.ndim else f

    solve: Any = partial(_descent.solve, max_iter=max_iter)
    derived = differentiable(
        one_at_a_time(solve),
        objective=lift(objective),
        optimality=lift(optimality),
        inverse=lambda params, theta: partial(lift(solved, 0), params, theta),
    )
    return derived((X, y, s, l1, l2), (init, tol, stats))
