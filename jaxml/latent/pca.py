"""Principal component analysis: the directions of largest variance, and its probabilistic model.

    S = 1/(M - 1) sum_i s_i (x_i - m)(x_i - m)',   m = 1/M sum_i s_i x_i,   M = sum_i s_i
    S v_i = lambda_i v_i,   lambda_1 >= ... >= lambda_k,   V V' = I
    x ~ N(m, V'(Lambda - sigma^2 I) V + sigma^2 I),   sigma^2 = 1/(d - k) sum_(j > k) lambda_j

Symbols: s_i = sample_weight[i], 1 if None, counting rows: weight 2 is the row twice; v_i = i-th row
of components V; lambda = explained_variance; sigma^2 = noise_variance, 0 for k = d.
scikit-learn: PCA; its noise_variance_ divides by min(n, d) - k, which is the same for n >= d.
Reference: Jolliffe (2002), Principal Component Analysis; Tipping, Bishop (1999), Probabilistic
principal component analysis, eq. (7), (8).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check, _scatter
from jaxml._loop import Fit
from jaxml._numerics import default_tol, matmul
from jaxml._scatter import Statistics, merge
from jaxml._typing import Array, ArrayLike, Column, Float, Key, Real, Rows, Scalar
from jaxml.latent import _perturbation, _principal
from jaxml.latent._principal import Params

__all__ = [
    "Params", "Statistics", "explained_variance_ratio", "fit", "from_statistics",
    "inverse_transform", "log_likelihood", "merge", "statistics", "transform",
]  # fmt: skip

METHODS = ("auto", "covariance", "svd", "randomized")


def fit(
    X: ArrayLike,
    *,
    n_components: int,
    method: str = "auto",
    key: Key | None = None,
    sample_weight: ArrayLike | None = None,
    tol: Real | None = None,
    max_iter: int = 100,
) -> Fit[Params]:
    """Find the k leading eigenpairs of S.

    Args:
      X: Features (n, d), float32 or float64; integers become the default float.
      n_components: k, static, at most min(n, d).
      method: Static. "covariance": eigenvectors of S, or of the n x n products of rows where n < d;
        variances below eps lambda_1 have no digits. "svd": singular vectors of the rows, which
        keeps them (all rows on one device). "randomized": a block of k + 10 vectors,
        random at first, improved by products with S, for large n and d and small k. "auto":
        covariance.
      key: Seeds "randomized", which requires it.
      sample_weight: s_i >= 0, counting rows, sum_i s_i > 1; replicated rows are integer weights.
      tol: What the residual must not exceed; None is eps^(2/3) of the dtype.
      max_iter: Static bound on the products of "randomized".

    Returns:
      Params, and Info with objective = the variance that is lost, sum_(j > k) lambda_j (the mean
      squared error of reconstruction times M / (M - 1)), and residual = max_i ||S v_i - lambda_i
      v_i|| / ||S||. DEGENERATE: no variance at all, sum_i s_i <= 1, or lambda_k = lambda_(k+1) to
      rounding, so that the subspace is not unique; what is returned is still finite and
      orthonormal. ILL_CONDITIONED, or MAX_ITER of "randomized": the residual exceeds tol.

      Derivatives with respect to X and sample_weight are those of the eigenpairs:
      dv_i = sum_j v_j (v_j'dS v_i) / (lambda_i - lambda_j) over the dropped j, and over the kept j
      with |lambda_i - lambda_j| > eps^(1/2) lambda_1. Closer kept vectors have no derivative of
      their own; their rotation into each other is left out, which is exact for what depends on
      their span alone, such as V'V. All are finite; 1 / 0 at a DEGENERATE gap counts as 0. They
      cost an eigendecomposition of the smaller side, whatever the method.

    Raises:
      ValueError: Shapes disagree, n_components is out of range, an unknown method, a missing key,
        or a concrete array holds NaN or inf.
      TypeError: An array is not numeric.

    Example:
      >>> X = jnp.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
      >>> params, info = fit(X, n_components=1)
      >>> [round(float(v), 4) for v in (*params.components[0], params.explained_variance[0])]
      [0.7071, 0.7071, 2.0]
    """
    X = _check.array("X", X, ndim=2)
    s = jnp.asarray(_check.weights(sample_weight, X))
    k = _components(n_components, min(X.shape), "min(n, d)")
    method = _check.choice("method", method, METHODS)
    method = "covariance" if method == "auto" else method
    if method == "randomized" and key is None:
        raise ValueError('method="randomized" needs a key: expected key=jax.random.key(seed)')
    tol = _check.above("tol", default_tol(X.dtype) if tol is None else tol, 0, dtype=X.dtype)
    how = {"k": k, "method": method, "max_iter": _check.integer("max_iter", max_iter, 1)}
    key = key if method == "randomized" else None
    return _check.raise_for(_fit(X, s, tol, key, **how), X, s)


def _components(value: Any, most: int, what: str) -> int:
    k = _check.integer("n_components", value, 1)
    if k > most:
        raise ValueError(f"n_components must be at most {what} = {most}: got {k}")
    return k


@partial(jax.jit, static_argnames=("k", "method", "max_iter"))
def _fit(
    X: Rows, s: Column, tol: Scalar, key: Key | None, *, k: int, method: str, max_iter: int
) -> Fit[Params]:
    def solve(theta: tuple[Rows, Column], how: tuple[Scalar, Key | None]) -> Fit[Params]:
        return _principal.solve(*theta, *how, k=k, method=method, max_iter=max_iter)

    return _perturbation.with_derivative(solve, _perturbation.of_rows)((X, s), (tol, key))


def statistics(X: ArrayLike, *, sample_weight: ArrayLike | None = None) -> Statistics:
    """Return the sufficient statistics of some rows, to be merged with those of others.

    Args:
      X: Features (n, d).
      sample_weight: s_i >= 0, not all zero.

    Returns:
      M, m and the scatter matrix sum_i s_i (x_i - m)(x_i - m)'. A negative weight turns them into
      NaN under a trace.

    Raises:
      ValueError: Shapes disagree, or a concrete array holds NaN or inf.

    Example:
      >>> statistics(jnp.array([[0.0, 1.0], [2.0, 1.0]])).scatter.tolist()
      [[2.0, 0.0], [0.0, 0.0]]
    """
    X = _check.array("X", X, ndim=2)
    s = jnp.asarray(_check.weights(sample_weight, X))
    found = _statistics(X, s)
    if _check.is_concrete(found) and not np.isfinite(np.asarray(found.scatter)).all():
        _check.finite("X", X)
    return found


@jax.jit
def _statistics(X: Rows, s: Column) -> Statistics:
    stray = (s < 0).any()
    return jax.tree.map(lambda leaf: jnp.where(stray, jnp.nan, leaf), _scatter.statistics(X, s))


def from_statistics(
    statistics: Statistics, *, n_components: int, tol: Real | None = None
) -> Fit[Params]:
    """Return what fit by "covariance" returns for all rows behind the statistics.

    NONFINITE_INPUT: the statistics hold NaN or inf. The rest is as in fit, derivatives with respect
    to the statistics among it.
    """
    dtype, d = statistics.mean.dtype, statistics.mean.shape[0]
    k = _components(n_components, d, "d")
    tol = _check.above("tol", default_tol(dtype) if tol is None else tol, 0, dtype=dtype)
    return _check.raise_for(_from_statistics(statistics, tol, k=k), statistics)


@partial(jax.jit, static_argnames="k")
def _from_statistics(statistics: Statistics, tol: Scalar, *, k: int) -> Fit[Params]:
    def solve(sums: Statistics, tol: Scalar) -> Fit[Params]:
        return _principal.solve_statistics(sums, tol, k=k)

    return _perturbation.with_derivative(solve, _perturbation.of_statistics)(statistics, tol)


def explained_variance_ratio(params: Params) -> Float[Array, " k"]:
    """Return lambda_i / trace(S), the share of each component; 0 where there is no variance."""
    values, d = params.explained_variance, params.mean.shape[0]
    trace = jnp.sum(values) + (d - values.shape[0]) * params.noise_variance
    return values / jnp.where(trace > 0, trace, 1.0)


def transform(params: Params, X: ArrayLike, *, whiten: bool = False) -> Float[Array, "n k"]:
    """Return the coordinates z = V (x - m) of each row, of unit variance if whiten.

    A whitened component without variance is 0.

    Raises:
      ValueError: X has another number of columns, or a concrete X holds NaN or inf.
    """
    X = _check.rows(X, d=params.mean.shape[0])
    return _check.scores(X, _principal.transform(params, X, whiten=bool(whiten)))


def inverse_transform(params: Params, Z: ArrayLike, *, whiten: bool = False) -> Rows:
    """Return x = m + V'z of each row z: with transform, the projection on the subspace.

    Raises:
      ValueError: Z has another number of columns, or a concrete Z holds NaN or inf.
    """
    Z = _check.finite("Z", _check.array("Z", Z, ndim=2))
    k = params.components.shape[0]
    if Z.shape[1] != k:
        raise ValueError(f"Z needs the {k} component(s) of the fit: got shape {Z.shape}")
    if whiten:
        values = params.explained_variance
        Z = Z * jnp.where(values > 0, jnp.sqrt(jnp.where(values > 0, values, 1.0)), 0.0)[None, :]
    return params.mean[None, :] + matmul(Z, params.components)


def log_likelihood(params: Params, X: ArrayLike) -> Column:
    """Return log p(x) of each row under the probabilistic model; its mean is sklearn's score.

    Variances below eps lambda_1, among them a sigma^2 of 0 with k < d, count as eps lambda_1.

    Raises:
      ValueError: X has another number of columns, or a concrete X holds NaN or inf.

    Reference: Tipping, Bishop (1999), eq. (3), (4).
    """
    X = _check.rows(X, d=params.mean.shape[0])
    return _check.scores(X, _principal.log_likelihood(params, X))
