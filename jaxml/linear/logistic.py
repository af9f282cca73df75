"""Binary logistic regression, by maximum likelihood or with L1 and L2 penalties.

    J(w, b) = 1/s sum_i s_i [log(1 + e^(z_i)) - y_i z_i] + l1 ||w||_1 + l2/2 ||w||_2^2
    z_i = x_i'w + b,    p(y_i = 1) = sigma(z_i),    s = sum_i s_i

Symbols: x_i = X[i]; y_i in {0, 1}; s_i = sample_weight[i], 1 if None; w = coef; b = intercept, not
penalized. The first term is minus the mean Bernoulli log-likelihood.
scikit-learn: C = 1 / (s * l2).   Reference: Hastie et al., ESL (2009), section 4.4.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml import _check, losses
from jaxml._implicit import differentiable
from jaxml._loop import Fit
from jaxml._numerics import default_gap_tol, default_tol
from jaxml._sums import weighted_mean
from jaxml._typing import Array, ArrayLike, Column, Int, Real, Rows, Scalar, Weights
from jaxml.linear import _affine, _inference, _likelihood, _normal, _orders
from jaxml.linear._affine import Params
from jaxml.linear._affine import predict as decision_function

__all__ = [
    "Params", "decision_function", "fit", "loss", "predict", "predict_proba", "standard_errors",
]  # fmt: skip

SOLVERS = ("auto", "newton", "lbfgs")
NEWTON_LIMIT = 1024  # features up to which a d x d Hessian beats a hundred gradients


def loss(
    params: Params,
    X: Rows,
    y: Column,
    *,
    l1: Real = 0.0,
    l2: Real = 0.0,
    sample_weight: Weights = None,
) -> Scalar:
    """Evaluate J(w, b) as defined at the top of this module."""
    errors = losses.logistic(_affine.score(params, X), jnp.asarray(y, params.coef.dtype))
    return weighted_mean(errors, sample_weight) + _affine.penalty(params.coef, l1, l2)


def predict_proba(params: Params, X: ArrayLike) -> Column:
    """Return p(y = 1 | x) = sigma(X w + b) for each row, (n,)."""
    return jax.nn.sigmoid(decision_function(params, X))


def predict(params: Params, X: ArrayLike) -> Int[Array, " n"]:
    """Return the likelier label, 1 where X w + b > 0, else 0; a traced NaN row gives 0."""
    return (decision_function(params, X) > 0).astype(jnp.int32)


def fit(
    X: ArrayLike,
    y: ArrayLike,
    *,
    l1: Real = 0.0,
    l2: Real = 0.0,
    sample_weight: ArrayLike | None = None,
    fit_intercept: bool = True,
    init: Params | None = None,
    solver: str = "auto",
    tol: Real | None = None,
    max_iter: int = 200,
) -> Fit[Params]:
    """Minimize J.

    Of a large X without init, a CPU fits one row in sixteen first; n_iter leaves those steps out.

    Args:
      X: Features (n, d), float32 or float64; integers become the default float.
      y: Labels (n,), integers 0 or 1, both present.
      l1: L1 penalty, >= 0, traced; coefficients that it removes are exactly 0.
      l2: L2 penalty, >= 0, traced. scikit-learn's C = 1 / (s * l2).
      sample_weight: s_i >= 0, not all zero; only their ratios matter.
      fit_intercept: Static; False fixes b = 0.
      init: Where to start, a warm start.
      solver: Static. "newton": damped Newton steps, by coordinate descent where l1 > 0. "lbfgs":
        for l1 = 0 and many features. "auto": newton up to 1024 features or with l1.
      tol: What the residual must not exceed; None is eps^(2/3) of the dtype, eps^(5/6) with l1.
      max_iter: Static bound on the steps.

    Returns:
      Params, and Info. With l1 = 0, residual = max_j |dJ/dw_j| / sd(x_j), and |dJ/db|, over
      max(1, J), the derivatives taken about the column means; with l1 > 0 the duality gap over J
      at w = 0. DEGENERATE: l1 = l2 = 0 and the classes are separable, also if only in the limit:
      no minimizer exists. BAD_LABELS: labels are out of range or only one class has positive
      weight. LINE_SEARCH_FAILED: tol is below what the dtype resolves. Derivatives with respect
      to X, l1, l2 and sample_weight are implicit; with l1 > 0 those at the present set of nonzero
      coefficients.

    Raises:
      ValueError: Shapes disagree, penalties are negative, labels are not 0 and 1, an unknown
        solver, or a concrete array holds NaN or inf.
      TypeError: An array is not numeric, or init is no Params.

    Example:
      >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 1, 0, 1])
      >>> round(float(fit(X, y, l2=0.1).params.coef[0]), 2)
      0.64
    """
    X, y, s = _check.classified(X, y, sample_weight, n_classes=2)
    dtype, d = X.dtype, X.shape[1]
    sparse = not _check.is_zero(l1)  # asked before it is cast, which may trace it
    l1, l2 = (_check.at_least(name, v, 0, dtype=dtype) for name, v in (("l1", l1), ("l2", l2)))
    solver = _check.choice("solver", solver, SOLVERS)
    if solver == "auto":
        solver = "newton" if sparse or d <= NEWTON_LIMIT else "lbfgs"
    if solver == "lbfgs" and sparse:
        raise ValueError('solver="lbfgs" needs l1 = 0, known when it is called: use "newton"')
    if init is not None:
        init = _check.like("init", init, Params(jnp.zeros(d), jnp.zeros(())), dtype)
    if tol is None:
        tol = default_gap_tol(dtype) if sparse else default_tol(dtype)
    tol = _check.above("tol", tol, 0, dtype=dtype)
    static = {"fit_intercept": bool(fit_intercept), "solver": solver, "sparse": sparse}
    static["penalized"] = any(map(_check.is_positive, (l1, l2)))
    max_iter = _check.integer("max_iter", max_iter, 1)
    return _check.raise_for(_fit(X, y, s, l1, l2, init, tol, max_iter=max_iter, **static), X, y, s)


@partial(jax.jit, static_argnames=("fit_intercept", "solver", "sparse", "penalized", "max_iter"))
def _fit(
    X: Rows, y: Array, s: Column, l1: Scalar, l2: Scalar, init: Params | None, tol: Scalar,
    *, fit_intercept: bool, solver: str, sparse: bool, penalized: bool, max_iter: int,
) -> Fit[Params]:  # fmt: skip
    def objective(params: Params, theta: Any) -> Scalar:
        X, y, s, l1, l2 = theta
        return loss(params, X, y, l1=l1, l2=l2, sample_weight=s)

    def optimality(params: Params, theta: Any) -> Params:
        g_w, g_b = jax.grad(objective)(params, theta)
        g_w = jnp.where(params.coef == 0, 0.0, g_w) if sparse else g_w
        return Params(g_w, g_b if fit_intercept else jnp.zeros_like(g_b))

    def inverse(params: Params, theta: Any):
        X, y, s, _, l2 = theta
        z = _affine.score(params, X)
        D = s / s.sum() * _orders.pieces(losses.logistic, z, y.astype(X.dtype))[2]
        alive = params.coef != 0 if sparse else None
        return _normal.hessian_inverse(X, D, l2, fit_intercept=fit_intercept, alive=alive)

    how = {"solver": solver, "sparse": sparse, "penalized": penalized, "max_iter": max_iter}
    solve = partial(_likelihood.binary, fit_intercept=fit_intercept, **how)
    derived = differentiable(solve, objective=objective, optimality=optimality, inverse=inverse)
    return derived((X, y, s, l1, l2), (init, tol))


def standard_errors(
    params: Params,
    X: ArrayLike,
    y: ArrayLike,
    *,
    l2: Real = 0.0,
    sample_weight: ArrayLike | None = None,
    fit_intercept: bool = True,
    robust: bool = False,
) -> Params:
    """Return the standard error of each parameter, from the Hessian of J by autodiff.

        Cov = (s H)^-1,    robust: (s H)^-1 [sum_i s_i g_i g_i'] (s H)^-1, g_i = dl_i/d(w, b)

    Weights count observations. With l2 > 0 these are the spreads of the Laplace approximation of
    the posterior. NaN where H is singular to rounding.

    Args:
      params: A minimizer of J.
      X: Features (n, d).
      y: Labels (n,) in {0, 1}.
      l2: The penalty of the fit.
      sample_weight: s_i >= 0.
      fit_intercept: Static; False leaves b out, with standard error 0.
      robust: Static; the sandwich, valid also where the model is misspecified.

    Raises:
      ValueError: Shapes disagree, labels out of range, NaN or inf.

    Reference: Huber (1967); White (1980), eq. (2.3).
    """
    X, y, s = _check.classified(X, y, sample_weight, n_classes=2)
    _check.finite("X", X)
    return _inference.standard_errors(
        losses.logistic, params, X, y.astype(X.dtype), s, jnp.asarray(l2, X.dtype),
        fit_intercept=bool(fit_intercept), robust=bool(robust),
    )  # fmt: skip
