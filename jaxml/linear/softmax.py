"""Softmax (multinomial logistic) regression, by maximum likelihood or with L1 and L2 penalties.

    J(W, b) = 1/s sum_i s_i [log sum_j e^(z_ij) - z_(i, y_i)] + l1 ||W||_1 + l2/2 ||W||_2^2
    z_i = W'x_i + b,    p(y_i = j) = softmax(z_i)_j,    s = sum_i s_i

Symbols: x_i = X[i]; y_i in 0..k-1; s_i = sample_weight[i], 1 if None; W = coef (d, k);
b = intercept (k,), not penalized.
Scores shifted alike in all classes give the same loss: of all such parameters
the one with sum_j b_j = 0, and for l1 = 0 sum_j W_.j = 0, is returned.
scikit-learn: C = 1 / (s * l2). With k = 2, l2 = 2 t here is l2 = t in logistic.
Reference: Hastie et al., ESL (2009), eq. (4.17); Boehning (1992), Multinomial logistic regression
algorithm, for the bound (I - 11'/k)/2 on the curvature.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxml import _check, _lapack, losses
from jaxml._implicit import differentiable, solve_by_cg
from jaxml._loop import Fit
from jaxml._numerics import default_tol, matmul
from jaxml._sums import weighted_mean
from jaxml._typing import Array, ArrayLike, Column, Float, Int, Labels, Real, Rows, Scalar, Weights
from jaxml.linear import _affine, _inference, _likelihood
from jaxml.linear._affine import Params
from jaxml.linear._affine import predict as decision_function

__all__ = [
    "Params", "decision_function", "fit", "loss", "predict", "predict_proba", "standard_errors",
]  # fmt: skip

SOLVERS = ("auto", "lbfgs", "proximal")
DENSE_LIMIT = 1024  # parameters up to which a derivative solves with the whole Hessian


def loss(
    params: Params,
    X: Rows,
    y: Labels,
    *,
    l1: Real = 0.0,
    l2: Real = 0.0,
    sample_weight: Weights = None,
) -> Scalar:
    """Evaluate J(W, b) as defined at the top of this module."""
    errors = jax.vmap(losses.softmax_cross_entropy)(_affine.score(params, X), y)
    return weighted_mean(errors, sample_weight) + _affine.penalty(params.coef, l1, l2)


def predict_proba(params: Params, X: ArrayLike) -> Float[Array, "n k"]:
    """Return p(y = j | x) = softmax(W'x + b)_j for each row; rows sum to 1, a NaN row is NaN."""
    return jax.nn.softmax(decision_function(params, X), axis=-1)


def predict(params: Params, X: ArrayLike) -> Int[Array, " n"]:
    """Return the likeliest label of each row, the lowest of equals; a traced NaN row gives 0."""
    return jnp.argmax(decision_function(params, X), axis=-1).astype(jnp.int32)


def fit(
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_classes: int,
    l1: Real = 0.0,
    l2: Real = 0.0,
    sample_weight: ArrayLike | None = None,
    fit_intercept: bool = True,
    init: Params | None = None,
    solver: str = "auto",
    tol: Real | None = None,
    max_iter: int = 1000,
) -> Fit[Params]:
    """Minimize J.

    Of a large X without init, a CPU fits one row in sixteen first; n_iter leaves those steps out.

    Args:
      X: Features (n, d), float32 or float64; integers become the default float.
      y: Labels (n,), integers 0..n_classes-1, at least two of them present.
      n_classes: k, static, >= 2.
      l1: L1 penalty, >= 0, traced; coefficients that it removes are exactly 0.
      l2: L2 penalty, >= 0, traced. scikit-learn's C = 1 / (s * l2).
      sample_weight: s_i >= 0, not all zero; only their ratios matter.
      fit_intercept: Static; False fixes b = 0.
      init: Where to start, a warm start.
      solver: Static. "lbfgs" in coordinates whitened by the curvature bound, for l1 = 0;
        "proximal": accelerated proximal steps in the metric of the bound; "auto": by l1.
      tol: What the residual must not exceed; None is eps^(2/3) of the dtype.
      max_iter: Static bound on the steps.

    Returns:
      Params, and Info with residual = max_j |dJ/dW_j.| / sd(x_j), and |dJ/db|, over max(1, J),
      about the column means; with l1 > 0 of the least subgradient. DEGENERATE: l1 = l2 = 0 and the
      classes are separable (in the limit too, up to 256 parameters), or a class without rows has
      a free intercept: no minimizer exists. BAD_LABELS: labels are out of range or only one class
      has positive weight. Derivatives with respect to X, l1, l2 and sample_weight are implicit.

    Raises:
      ValueError: Shapes disagree, penalties are negative, labels are out of range, an unknown
        solver, or a concrete array holds NaN or inf.
      TypeError: An array is not numeric, n_classes no integer, or init is no Params.

    Example:
      >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 1, 0, 1])
      >>> W = fit(X, y, n_classes=2, l2=0.2).params.coef  # logistic at l2 = 0.1 has 0.64
      >>> round(float(W[0, 1] - W[0, 0]), 2)
      0.64
    """
    k = _check.integer("n_classes", n_classes, 2)
    X, y, s = _check.classified(X, y, sample_weight, n_classes=k)
    dtype, d = X.dtype, X.shape[1]
    sparse = not _check.is_zero(l1)  # asked before it is cast, which may trace it
    l1, l2 = (_check.at_least(name, v, 0, dtype=dtype) for name, v in (("l1", l1), ("l2", l2)))
    solver = _check.choice("solver", solver, SOLVERS)
    if solver == "lbfgs" and sparse:
        raise ValueError('solver="lbfgs" needs l1 = 0, known when it is called: use "proximal"')
    if solver == "auto":
        solver = "proximal" if sparse else "lbfgs"
    if init is not None:
        init = _check.like("init", init, Params(jnp.zeros((d, k)), jnp.zeros(k)), dtype)
    tol = _check.above("tol", default_tol(dtype) if tol is None else tol, 0, dtype=dtype)
    static = {"fit_intercept": bool(fit_intercept), "solver": solver, "n_classes": k}
    static["penalized"] = any(map(_check.is_positive, (l1, l2)))
    max_iter = _check.integer("max_iter", max_iter, 1)
    return _check.raise_for(_fit(X, y, s, l1, l2, init, tol, max_iter=max_iter, **static), X, y, s)


@partial(jax.jit, static_argnames=("fit_intercept", "solver", "n_classes", "penalized", "max_iter"))
def _fit(
    X: Rows, y: Labels, s: Column, l1: Scalar, l2: Scalar, init: Params | None, tol: Scalar,
    *, fit_intercept: bool, solver: str, n_classes: int, penalized: bool, max_iter: int,
) -> Fit[Params]:  # fmt: skip
    def objective(params: Params, theta: Any) -> Scalar:
        X, y, s, l1, l2 = theta
        return loss(params, X, y, l1=l1, l2=l2, sample_weight=s)

    def optimality(params: Params, theta: Any) -> Params:
        g_w, g_b = jax.grad(objective)(params, theta)
        g_w = jnp.where(params.coef == 0, 0.0, g_w) if solver == "proximal" else g_w
        return Params(g_w, g_b if fit_intercept else jnp.zeros_like(g_b))

    how = {"solver": solver, "penalized": penalized, "max_iter": max_iter}
    solve = partial(
        _likelihood.multinomial, fit_intercept=fit_intercept, n_classes=n_classes, **how
    )
    inverse = partial(_hessian_inverse, objective, fit_intercept=fit_intercept)
    derived = differentiable(solve, objective=objective, optimality=optimality, inverse=inverse)
    return derived((X, y, s, l1, l2), (init, tol))


def _hessian_inverse(objective: Any, params: Params, theta: Any, *, fit_intercept: bool):
    """Return g -> H^-1 g on the nonzero coefficients, H filled in along the flat shifts."""
    flat, unravel = ravel_pytree(params)
    free = Params(params.coef != 0, jnp.full(params.intercept.shape, fit_intercept))
    alive = ravel_pytree(free)[0]
    shift_w = theta[3] == 0  # with l1 > 0 only the intercept may shift

    def apply(x: Array) -> Array:
        x = jnp.where(alive, x, 0.0)
        H_x = jax.jvp(jax.grad(lambda f: objective(unravel(f), theta)), (flat,), (x,))[1]
        d_w, d_b = unravel(x)
        d_w = jnp.where(shift_w, jnp.mean(d_w, axis=1, keepdims=True), 0.0)
        shifts = Params(jnp.broadcast_to(d_w, params.coef.shape), d_b.mean() + 0 * d_b)
        return jnp.where(alive, H_x + ravel_pytree(shifts)[0], 0.0)

    def solve(b: Array) -> Array:
        b = jnp.where(alive, b, 0.0)
        if flat.shape[0] > DENSE_LIMIT:
            return solve_by_cg(apply, tol=float(jnp.finfo(flat.dtype).eps))(b)
        H = jax.vmap(apply, out_axes=1)(jnp.eye(flat.shape[0], dtype=flat.dtype))
        return matmul(_lapack.inverse(H + jnp.diag(jnp.where(alive, 0.0, 1.0))), b)

    return lambda g: unravel(solve(ravel_pytree(g)[0]))


def standard_errors(
    params: Params,
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_classes: int,
    l2: Real = 0.0,
    sample_weight: ArrayLike | None = None,
    fit_intercept: bool = True,
    robust: bool = False,
) -> Params:
    """Return the standard error of each parameter, from the Hessian of J by autodiff.

    As logistic.standard_errors; the parameters are those that sum to 0 over the classes.

    Args:
      params: A minimizer of J.
      X: Features (n, d).
      y: Labels (n,) in 0..n_classes-1.
      n_classes: k, static.
      l2: The penalty of the fit.
      sample_weight: s_i >= 0; they count observations.
      fit_intercept: Static; False leaves b out, with standard error 0.
      robust: Static; the sandwich, valid also where the model is misspecified.

    Raises:
      ValueError: Shapes disagree, labels out of range, NaN or inf.
    """
    k = _check.integer("n_classes", n_classes, 2)
    X, y, s = _check.classified(X, y, sample_weight, n_classes=k)
    _check.finite("X", X)
    return _inference.standard_errors(
        losses.softmax_cross_entropy, params, X, y, s, jnp.asarray(l2, X.dtype),
        fit_intercept=bool(fit_intercept), robust=bool(robust), gauge=True,
    )  # fmt: skip
