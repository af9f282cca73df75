"""Lasso: least squares with an L1 penalty, under which coefficients become exactly 0.

    J(w, b) = 1/(2s) sum_i s_i (x_i'w + b - y_i)^2 + l1 ||w||_1,    s = sum_i s_i

Symbols: x_i = X[i]; s_i = sample_weight[i], 1 if None; w = coef; b = intercept, not penalized.
Units: y in u and x_j in v give l1 in u v. scikit-learn: Lasso(alpha) has l1 = alpha.
It is the elastic net at l2 = 0. Reference: Tibshirani (1996), Regression shrinkage and selection
via the lasso, eq. (1); Hastie et al., ESL (2009), eq. (3.52).
"""

from jaxml import _check
from jaxml._loop import Fit
from jaxml._typing import Array, ArrayLike, Column, Float, Real, Rows, Scalar, Weights
from jaxml.linear import elastic_net
from jaxml.linear._affine import Params, predict

__all__ = ["Params", "fit", "loss", "path", "predict"]


def loss(params: Params, X: Rows, y: Column, *, l1: Real, sample_weight: Weights = None) -> Scalar:
    """Evaluate J(w, b) as defined at the top of this module."""
    return elastic_net.loss(params, X, y, l1=l1, l2=0.0, sample_weight=sample_weight)


def fit(
    X: ArrayLike,
    y: ArrayLike,
    *,
    l1: Real,
    sample_weight: ArrayLike | None = None,
    fit_intercept: bool = True,
    init: Params | None = None,
    precompute: bool | None = None,
    tol: Real | None = None,
    max_iter: int = 100,
) -> Fit[Params]:
    """Minimize J by coordinate descent on a working set of columns.

    Args:
      X: Features (n, d), float32 or float64; integers become the default float.
      y: Targets (n,).
      l1: Penalty, > 0, traced. From max_j |Cov(x_j, y)| on, all coefficients are 0.
      sample_weight: s_i >= 0, not all zero; only their ratios matter.
      fit_intercept: Static; False fixes b = 0.
      init: Where to start, a warm start.
      precompute: Static; whether to form the whole Gram matrix first, as elastic_net.fit says.
      tol: What the residual must not exceed; None is eps^(5/6) of the dtype.
      max_iter: Static bound on the rounds, each of which may admit new columns.

    Returns:
      Params, and Info with residual = duality gap / J at w = 0. Derivatives with respect to X, y,
      l1 and sample_weight are implicit, at the present set of nonzero coefficients.

    Raises:
      ValueError: Shapes disagree, l1 <= 0, or a concrete array holds NaN or inf.
      TypeError: An array is not numeric, or init is no Params.

    Example:
      >>> X, y = [[-1.0], [0.0], [1.0]], [-1.0, 0.0, 1.0]
      >>> float(fit(X, y, l1=1.0).params.coef[0])  # exactly
      0.0
    """
    if _check.is_concrete(l1):
        _check.above("l1", l1, 0, dtype=float)
    return elastic_net.fit(
        X, y, l1=l1, l2=0.0, sample_weight=sample_weight, fit_intercept=fit_intercept, init=init,
        precompute=precompute, tol=tol, max_iter=max_iter,
    )  # fmt: skip


def path(
    X: ArrayLike,
    y: ArrayLike,
    *,
    l1: Float[Array, " m"],
    sample_weight: ArrayLike | None = None,
    fit_intercept: bool = True,
    tol: Real | None = None,
    max_iter: int = 100,
) -> Fit[Params]:
    """Fit for each of m penalties l1 in turn, each started from the one before.

    Go from large to small penalties. A vmap over sample_weight makes the folds of a
    cross-validation; on a CPU they share one pass over the data.

    Returns:
      Fit whose leaves have a leading axis m.

    Raises:
      ValueError: As fit.
    """
    return elastic_net.path(
        X, y, l1=l1, l2=0.0, sample_weight=sample_weight, fit_intercept=fit_intercept, tol=tol,
        max_iter=max_iter,
    )  # fmt: skip
