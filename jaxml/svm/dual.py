"""Support vector classification by its dual, with any kernel.

    maximize sum_i a_i - 1/2 sum_ij a_i a_j y_i y_j k(x_i, x_j)
    subject to sum_i a_i y_i = 0,  0 <= a_i <= C s_i
    f(x) = sum_i a_i y_i k(x_i, x) + b

the dual of  minimize 1/2 ||w||^2 + C sum_i s_i max(0, 1 - y_i f(x_i))  with f(x) = w'phi(x) + b.

Symbols: x_i = X[i]; y_i in {-1, 1}; s_i = sample_weight[i], 1 if None; a_i y_i = dual_coef[i];
b = intercept, not penalized. The loss is a sum, not a mean, so that weights of 2 act as 2 C.
scikit-learn: SVC with the same C; its gamma="scale" is 1 / (d var(X)), over all entries of X.
Reference: Cortes, Vapnik (1995); Schoelkopf, Smola (2002), section 7.5.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check, kernels
from jaxml._loop import Fit
from jaxml._numerics import matmul
from jaxml._typing import Array, ArrayLike, Column, Float, Int, Real, Rows, Scalar
from jaxml.kernels import Kernel, Linear, gram
from jaxml.svm import _solution
from jaxml.svm._solution import Problem

__all__ = [
    "Params", "Precomputed", "coef", "decision_function", "fit", "objective", "predict", "support",
]  # fmt: skip


class Params(NamedTuple):
    """A kernel expansion, f(x) = sum_i dual_coef_i k(x_i, x) + intercept."""

    dual_coef: Column  # a_i y_i, exactly 0 off the support vectors
    intercept: Scalar  # b
    X: Rows  # the points of the fit; (n, 0) if the kernel was precomputed
    kernel: Any  # the kernel as a pytree


class Precomputed(NamedTuple):
    """Stands for a kernel whose values are given: the rows of X hold k(x, x_1), .., k(x, x_n)."""

    def __call__(self, x: Array, z: Array) -> Scalar:
        """Refuse: the values are not a function of two rows."""
        raise TypeError("a precomputed kernel has no formula to evaluate")


def objective(alpha: Column, K: Float[Array, "n n"], y: Column) -> Scalar:
    """Evaluate 1/2 sum_ij a_i a_j y_i y_j K_ij - sum_i a_i, which the dual minimizes."""
    b = alpha * y
    return 0.5 * jnp.sum(b * matmul(K, b)) - jnp.sum(alpha)


def decision_function(params: Params, X: ArrayLike) -> Column:
    """Return f(x) for each row.

    Raises:
      ValueError: X has another number of columns, or a concrete X holds NaN or inf.
    """
    dual_coef, b, points, kernel = params
    if isinstance(kernel, Precomputed):
        X = _check.rows(X, d=dual_coef.shape[0])
        return _check.scores(X, matmul(X, dual_coef) + b)
    X = _check.rows(X, d=points.shape[1])
    return matmul(gram(kernel, X, points), dual_coef) + b


def predict(params: Params, X: ArrayLike) -> Int[Array, " n"]:
    """Return 1 where f(x) > 0, else -1; a traced NaN row gives -1."""
    return jnp.where(decision_function(params, X) > 0, 1, -1).astype(jnp.int32)


def support(params: Params) -> Array:
    """Return which rows are support vectors, (n,) of bool."""
    return params.dual_coef != 0


def coef(params: Params) -> Float[Array, " d"]:
    """Return w = sum_i a_i y_i x_i of a fit with the linear kernel.

    Raises:
      TypeError: The kernel is another one, whose w lies in the space of its features.
    """
    if not isinstance(params.kernel, Linear):
        raise TypeError(f"only the kernel Linear() has w (d,): got {type(params.kernel).__name__}")
    return matmul(params.dual_coef, params.X)


def fit(
    X: ArrayLike,
    y: ArrayLike,
    *,
    kernel: Kernel | str,
    C: Real = 1.0,
    sample_weight: ArrayLike | None = None,
    init: Params | None = None,
    tol: Real = 1e-3,
    max_iter: int = 1_000_000,
) -> Fit[Params]:
    """Solve the dual by pairs of coefficients, over a Gram matrix held whole: n^2 numbers.

    K is made once, by one product where the kernel allows; products are of full precision on every
    device. Lanes under vmap share it where neither X nor the kernel is batched. In float64 the
    first pairs are moved in float32, which takes no copy of K; the rest, and all that Info says, is
    float64. Rows may be sharded, but every pair then moves two rows of K between devices.

    Args:
      X: Features (n, d), float32 or float64; integers become the default float. With
        kernel="precomputed" the symmetric matrix K (n, n).
      y: Labels (n,), -1 or 1, both present.
      kernel: k(x, z), see jaxml.kernels; any callable (x, z) -> scalar. What parameters it has as
        a pytree are traced; a plain function is compiled once per object, so name it.
      C: Bound, > 0, traced; inf asks for a hard margin, which only separable classes have.
      sample_weight: s_i >= 0, not all zero; they scale C row by row.
      init: Where to start, a warm start: the fit of these rows at another C, kernel or weights. Of
        it only dual_coef is read, and moved within its bounds.
      tol: What the residual must not exceed.
      max_iter: Static bound on the pairs moved.

    Returns:
      Params, and Info with objective = the dual as a minimum, residual = the greatest violation
      m - M of the optimality conditions, in units of f (libsvm's criterion), computed from a fresh
      K, and gap = (primal - dual) / primal. BAD_LABELS: labels are not -1 and 1, or only one class
      has positive weight. ILL_CONDITIONED: rounding in K exceeds what tol asks for, or K has
      clearly negative curvature, so that the problem is not convex and its gap means nothing.
      LINE_SEARCH_FAILED: tol is below what the dtype resolves. Derivatives with respect to C, the
      kernel, X and sample_weight are implicit, at the present set of free support vectors
      (0 < a_i < C s_i), and cost an n x n factor; y has none. Without a free support vector the
      intercept is not unique: it is the middle of its interval, of derivative 0.

    Raises:
      ValueError: Shapes disagree, labels are not -1 and 1, a hyperparameter is out of its domain,
        or a concrete array holds NaN or inf.
      TypeError: An array is not numeric, the kernel cannot be called, or init is no Params.

    Example:
      >>> X, y = jnp.array([[-1.0], [1.0], [3.0]]), jnp.array([-1, 1, 1])
      >>> params, info = fit(X, y, kernel=kernels.Linear(), C=10.0)
      >>> params.dual_coef.round(3).tolist()  # the margin runs from -1 to 1
      [-0.5, 0.5, 0.0]
    """
    X, y, s = _check.signed(X, y, sample_weight)
    C = _check.above("C", C, 0, dtype=X.dtype)
    tol = _check.above("tol", tol, 0, dtype=X.dtype)
    max_iter = _check.integer("max_iter", max_iter, 1)
    tree: Any = kernel
    if isinstance(kernel, str):
        _check.choice("kernel", kernel, ("precomputed",))
        if X.shape[0] != X.shape[1]:
            raise ValueError(f"a precomputed kernel must be square, (n, n): got shape {X.shape}")
        K, points, tree = _check.finite("X", X), X[:, :0], Precomputed()
    else:
        tree = jax.tree.map(lambda leaf: _typed(leaf, X.dtype), kernels.as_pytree(tree))
        K, points = gram(tree, X), X
    begin = None if init is None else _start(init, y)
    (b, c), info = _check.raise_for(_fit(X, K, y, s, C, begin, tol, max_iter=max_iter), X, y, s)
    return Fit(Params(b, c, points, tree), info)


def _typed(leaf: Any, dtype: Any) -> Array:
    """A parameter as an array, Python numbers in dtype."""
    return jnp.asarray(leaf, dtype if type(leaf) in (int, float) else None)


def _start(init: Any, y: Column) -> Column:
    if not isinstance(init, Params):
        raise TypeError(f"init must be a Params: got {type(init).__name__}")
    if jnp.shape(init.dual_coef) != y.shape:
        shape = jnp.shape(init.dual_coef)
        raise ValueError(f"init.dual_coef must have shape {y.shape}: got {shape}")
    return jnp.asarray(init.dual_coef, y.dtype)


@partial(jax.jit, static_argnames="max_iter")
def _fit(
    X: Rows,
    K: Array,
    y: Column,
    s: Column,
    C: Scalar,
    init: Column | None,
    tol: Scalar,
    *,
    max_iter: int,
) -> Fit[_solution.Solution]:
    finite = jnp.isfinite(X).all()
    return _solution.fit(Problem(K, y, s, C), tol, finite, init, max_iter=max_iter)
