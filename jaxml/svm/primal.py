"""Linear support vector classification in its primal form, with hinge or squared hinge loss.

    J(w, b) = 1/2 ||w||_2^2 + C sum_i s_i l(z_i, y_i),    z_i = x_i'w + b
    l = max(0, 1 - y_i z_i), or its square

Symbols: x_i = X[i]; y_i in {-1, 1}; s_i = sample_weight[i], 1 if None; w = coef; b = intercept, not
penalized. The loss is a sum, not a mean.
scikit-learn: LinearSVC squares the hinge, and penalizes b, which is free here; SVC(kernel="linear")
is the hinge with the same C.
Reference: Chapelle (2007), Training a support vector machine in the primal; Hsieh et al. (2008), A
dual coordinate descent method for large-scale linear SVM, eq. (1)-(4).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check, losses, penalties
from jaxml._implicit import differentiable
from jaxml._loop import Code, Fit, certify
from jaxml._numerics import default_gap_tol, matmul
from jaxml._sums import total
from jaxml._typing import Array, ArrayLike, Column, Int, Real, Rows, Scalar, Weights
from jaxml.linear import _affine, _normal, _orders
from jaxml.linear._affine import Params
from jaxml.linear._affine import predict as decision_function
from jaxml.svm import _solution, _squared_hinge

__all__ = ["Params", "decision_function", "fit", "loss", "predict"]


def loss(
    params: Params,
    X: Rows,
    y: Column,
    *,
    C: Real,
    squared: bool = False,
    sample_weight: Weights = None,
) -> Scalar:
    """Evaluate J(w, b) as defined at the top of this module."""
    of = losses.squared_hinge if squared else losses.hinge
    errors = of(_affine.score(params, X), y)
    if sample_weight is not None:
        errors = jnp.where(sample_weight > 0, sample_weight * errors, 0.0)
    return penalties.l2(params.coef) + C * total(errors)


def predict(params: Params, X: ArrayLike) -> Int[Array, " n"]:
    """Return 1 where X w + b > 0, else -1; a traced NaN row gives -1."""
    return jnp.where(decision_function(params, X) > 0, 1, -1).astype(jnp.int32)


def fit(
    X: ArrayLike,
    y: ArrayLike,
    *,
    C: Real = 1.0,
    squared: bool = False,
    sample_weight: ArrayLike | None = None,
    init: Params | None = None,
    tol: Real | None = None,
    max_iter: int | None = None,
) -> Fit[Params]:
    """Minimize J, certified by its gap to the dual.

    The hinge goes by the dual over the n x n inner products of the rows, about their mean, and so
    needs n^2 numbers. The squared hinge goes by Newton steps over d x d sums and takes any n.

    Args:
      X: Features (n, d), float32 or float64; integers become the default float.
      y: Labels (n,), -1 or 1, both present.
      C: Weight of the loss, > 0, traced; inf (a hard margin) only for the hinge.
      squared: Static; the squared hinge.
      sample_weight: s_i >= 0, not all zero; they scale C row by row.
      init: Where to start, a warm start, of the squared hinge alone: the dual of the hinge has no
        start of this form.
      tol: What the residual must not exceed; None is 1e-3 for the hinge, as libsvm's, and
        eps^(5/6) of the dtype for the squared hinge.
      max_iter: Static bound on the steps; None is 1 000 000 pairs or 200 Newton steps.

    Returns:
      Params, and Info with residual = (primal - dual) / primal, also as gap: J lies that close,
      relative to itself, to its minimum. Codes as in svm.dual. Derivatives with respect to X, C and
      sample_weight are implicit: at the present set of rows within the margin (squared hinge) or of
      free support vectors (hinge). With C = inf the objective is 1/2 ||w||^2.

    Raises:
      ValueError: Shapes disagree, labels are not -1 and 1, a hyperparameter is out of its domain,
        or a concrete array holds NaN or inf.
      TypeError: An array is not numeric, or init is no Params.

    Example:
      >>> X, y = jnp.array([[-1.0], [1.0], [3.0]]), jnp.array([-1, 1, 1])
      >>> fit(X, y, C=10.0).params.coef.round(3).tolist()  # the margin runs from -1 to 1
      [1.0]
    """
    X, y, s = _check.signed(X, y, sample_weight)
    C = _check.above("C", C, 0, dtype=X.dtype)
    if squared and _check.is_concrete(C) and np.isinf(C):
        raise ValueError("C must be finite for the squared hinge: got inf")
    if tol is None:
        tol = default_gap_tol(X.dtype) if squared else 1e-3
    tol = _check.above("tol", tol, 0, dtype=X.dtype)
    if max_iter is None:
        max_iter = 200 if squared else 1_000_000
    max_iter = _check.integer("max_iter", max_iter, 1)
    if not squared:
        if init is not None:
            raise ValueError("init serves squared=True alone: use svm.dual to start the hinge warm")
        return _check.raise_for(_hinge(X, y, s, C, tol, max_iter=max_iter), X, y, s)
    if init is not None:
        template = Params(jnp.zeros(X.shape[1]), jnp.zeros(()))
        init = _check.like("init", init, template, X.dtype)
    return _check.raise_for(_squared(X, y, s, C, init, tol, max_iter=max_iter), X, y, s)


@partial(jax.jit, static_argnames="max_iter")
def _hinge(X: Rows, y: Column, s: Column, C: Scalar, tol: Scalar, *, max_iter: int) -> Fit[Params]:
    # Since sum_i b_i = 0, the mean may be taken off the rows: only the intercept moves.
    c = _affine.center(X, s, fit_intercept=True)
    A = X - c[None, :]
    problem = _solution.Problem(matmul(A, A.T), y, s, C)
    # The gap is at most about twice the violation of the conditions.
    finite = jnp.isfinite(X).all()
    (b, v), info = _solution.fit(problem, tol / 4, finite, max_iter=max_iter)
    w = matmul(b, A)
    params = Params(w, v - matmul(c, w))
    passed = (code for code in Code if code >= Code.ILL_CONDITIONED)
    gap = jnp.asarray(info.gap)
    return certify(
        params,
        objective=loss(params, X, y, C=jnp.where(jnp.isinf(C), 0.0, C), sample_weight=s),
        residual=gap,
        tol=tol,
        n_iter=info.n_iter,
        gap=gap,
        flags=tuple((code, info.code == code) for code in passed),
        unmet=jnp.maximum(info.code, Code.MAX_ITER),
    )


@partial(jax.jit, static_argnames="max_iter")
def _squared(
    X: Rows,
    y: Column,
    s: Column,
    C: Scalar,
    init: Params | None,
    tol: Scalar,
    *,
    max_iter: int,
) -> Fit[Params]:
    def objective(params: Params, theta: Any) -> Scalar:
        X, y, s, C = theta
        return loss(params, X, y, C=C, squared=True, sample_weight=s)

    def inverse(params: Params, theta: Any):
        X, y, s, C = theta
        D = s * _orders.pieces(losses.squared_hinge, _affine.score(params, X), y)[2]
        solve = _normal.hessian_inverse(X, D, 1.0 / C, fit_intercept=True)
        return lambda g: jax.tree.map(lambda leaf: leaf / C, solve(g))

    derived = differentiable(
        lambda theta, how: _squared_hinge.newton(theta, *how, max_iter=max_iter),
        objective=objective,
        optimality=jax.grad(objective),
        inverse=inverse,
    )
    return derived((X, y, s, C), (init, tol))
