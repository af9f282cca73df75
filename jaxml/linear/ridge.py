"""Ridge regression: least squares under a Gaussian prior on the coefficients.

    J(w, b) = 1/(2s) sum_i s_i (x_i'w + b - y_i)^2 + l2/2 ||w||^2,    s = sum_i s_i

Symbols: x_i = X[i]; s_i = sample_weight[i], 1 if None; w = coef; b = intercept, not penalized.
Units: y in u and x_j in v give w_j in u/v, b in u, J in u^2, l2 in v^2.
scikit-learn: alpha = s * l2.   Reference: Hastie et al., ESL (2009), eq. (3.44).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml import _check, losses, penalties
from jaxml._implicit import differentiable
from jaxml._loop import Fit
from jaxml._numerics import default_tol
from jaxml._sums import weighted_mean
from jaxml._typing import ArrayLike, Column, Real, Rows, Scalar, Weights
from jaxml.linear import _affine, _normal
from jaxml.linear._affine import Params, predict

__all__ = ["Params", "fit", "loss", "predict"]


def loss(params: Params, X: Rows, y: Column, *, l2: Real, sample_weight: Weights = None) -> Scalar:
    """Evaluate J(w, b) as defined at the top of this module."""
    errors = losses.squared(_affine.score(params, X), y)
    return weighted_mean(errors, sample_weight) + l2 * penalties.l2(params.coef)


def fit(
    X: ArrayLike,
    y: ArrayLike,
    *,
    l2: Real,
    sample_weight: ArrayLike | None = None,
    fit_intercept: bool = True,
    tol: Real | None = None,
) -> Fit[Params]:
    """Minimize J by a Cholesky solve of the centered normal equations, refined on the data.

    Of their n x n dual where n < d. Products are of full precision on every device.

    Args:
      X: Features (n, d), float32 or float64; integers become the default float.
      y: Targets (n,).
      l2: Penalty, >= 0, traced; it weighs all columns alike. scikit-learn's alpha = s * l2.
      sample_weight: s_i >= 0, not all zero; only their ratios matter.
      fit_intercept: Static; False fixes b = 0.
      tol: What the residual must not exceed; None is eps^(2/3) of the dtype.

    Returns:
      Params, and Info with residual = max_j |dJ/dw_j| / (sd(x_j) sd(y)), and |dJ/db| / sd(y), the
      derivatives taken about the column means: how far each column still correlates with what
      is left. Derivatives with respect to X, y, l2 and sample_weight follow from the implicit
      function theorem.
      ILL_CONDITIONED: the system is singular to rounding, or the columns lie so far from 0
      that the intercept cannot be stored to tol.

    Raises:
      ValueError: Shapes disagree, l2 < 0, or a concrete array holds NaN or inf.
      TypeError: An array is not numeric.

    Example:
      >>> X, y = jnp.array([[0.0], [1.0], [2.0]]), jnp.array([1.0, 3.0, 5.0])  # slope 2
      >>> fit(X, y, l2=2 / 3).params.coef.round(4).tolist()  # l2 = var(x) halves it
      [1.0]
    """
    X, y, s = _check.supervised(X, y, sample_weight)
    l2 = _check.at_least("l2", l2, 0, dtype=X.dtype)
    tol = _check.above("tol", default_tol(X.dtype) if tol is None else tol, 0, dtype=X.dtype)
    return _check.raise_for(_fit(X, y, s, l2, tol, fit_intercept=bool(fit_intercept)), X)


@partial(jax.jit, static_argnames="fit_intercept")
def _fit(X: Rows, y: Column, s: Column, l2: Scalar, tol: Scalar, *, fit_intercept: bool) -> Fit:
    def objective(params: Params, theta: Any) -> Scalar:
        X, y, s, l2 = theta
        return loss(params, X, y, l2=l2, sample_weight=s)

    def optimality(params: Params, theta: Any) -> Params:
        g_w, g_b = jax.grad(objective)(params, theta)
        return Params(g_w, g_b if fit_intercept else jnp.zeros_like(g_b))

    def inverse(params: Params, theta: Any):
        X, _, s, l2 = theta
        how = {"fit_intercept": fit_intercept, "dual": X.shape[0] < X.shape[1]}
        return _normal.hessian_inverse(X, s / s.sum(), l2, **how)

    solve = partial(_solve, fit_intercept=fit_intercept)
    derived = differentiable(solve, objective=objective, optimality=optimality, inverse=inverse)
    return derived((X, y, s, l2), tol)


def _solve(theta: Any, tol: Scalar, *, fit_intercept: bool) -> Fit[Params]:
    X, y, s, l2 = theta
    how = {"fit_intercept": fit_intercept, "dual": X.shape[0] < X.shape[1]}
    solution, _ = _normal.solve(X, y, s, l2, tol, **how)
    return _normal.finish(solution, X, y, s, tol)
