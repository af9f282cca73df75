"""k nearest neighbors: exact search, classification by majority and regression by the mean.

    N_k(x) = the k rows of X_train nearest to x in ||x - z||_2, of equals the lower index
    classification: y(x) = argmax_c #{i in N_k(x): y_i = c}, the lowest class of equals
    regression: y(x) = 1/k sum_{i in N_k(x)} y_i

A neighborhood means little in many dimensions: if coordinates are independent, distances are nearly
equal; concentration measures how nearly.

Reference: Cover, Hart (1967); Hastie et al., ESL (2009), eq. (2.8); Beyer et al. (1999), When is
"nearest neighbor" meaningful?
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._numerics import matmul, safe_sqrt
from jaxml._typing import Array, ArrayLike, Column, Float, Int, Rows, Scalar
from jaxml.neighbors import _search

__all__ = ["concentration", "predict", "predict_proba", "search"]


def search(
    X_train: ArrayLike, X: ArrayLike, *, k: int
) -> tuple[Float[Array, "m k"], Int[Array, "m k"]]:
    """Return the distances to the k nearest rows of X_train, ascending, and their indices.

    Exact: candidates come from products, but the order is that of direct differences, so that rows
    a rounding apart are told apart also in float32 and far from 0. Memory is O(n + m) and a block
    of at most 2^21 numbers. Rows may not be sharded.

    Args:
      X_train: The rows searched (n, d), float32 or float64; integers become the default float.
      X: The queries (m, d); a row of X_train finds itself first, or an equal row of lower index.
      k: Static, 1 <= k <= n.

    Returns:
      Distances (m, k) and indices (m, k), int32; of equal distances the lower index first. The
      distances have gradients in X and X_train at the present neighbors, 0 at coincident points;
      indices have none. Under a trace a query with NaN or inf gives NaN and -1; such a row in
      X_train gives them everywhere.

    Raises:
      ValueError: Shapes disagree, k > n, or a concrete array holds NaN or inf.
      TypeError: An array is not numeric, or k is no integer.

    Example:
      >>> distances, indices = search([[0.0], [1.0], [3.0]], [[0.9]], k=2)
      >>> [round(d, 2) for d in distances[0].tolist()], indices[0].tolist()
      ([0.1, 0.9], [1, 0])
    """
    Z, X = _pair(X_train, X)
    return _distances(Z, X, _count(k, Z.shape[0]))


def predict(
    X_train: ArrayLike,
    y_train: ArrayLike,
    X: ArrayLike,
    *,
    k: int,
    n_classes: int | None = None,
    sample_weight: ArrayLike | None = None,
) -> Array:
    """Return the majority label of the k nearest rows, or the mean of their targets.

    Args:
      X_train: Features (n, d).
      y_train: Labels 0..n_classes-1, (n,), or targets (n,) if n_classes is None.
      X: The queries (m, d).
      k: Static, 1 <= k <= n.
      n_classes: Static; None is regression.
      sample_weight: s_i >= 0, not all zero: row i counts as s_i equal rows of the k, so that 2 is
        a repeated row and 0 a removed one. At most k different rows are looked at.

    Returns:
      Labels (m,) int32, the lowest of equally many, or means (m,). Means have gradients in y_train;
      in X and X_train they are piecewise constant, with gradient 0. Under a trace bad numbers give
      the label -1 or a NaN: in a query there, in X_train or sample_weight everywhere, in a label
      or target where it is a neighbor.

    Raises:
      ValueError: Shapes disagree, k > n, labels out of range, or a concrete array holds NaN or inf.
      TypeError: An array is not numeric, or k is no integer.

    Example:
      >>> predict([[0.0], [1.0], [3.0]], [0, 1, 1], [[0.4], [2.9]], k=1, n_classes=2).tolist()
      [0, 1]
    """
    if n_classes is not None:
        votes = predict_proba(
            X_train, y_train, X, k=k, n_classes=n_classes, sample_weight=sample_weight
        )
        known = jnp.isfinite(votes).all(axis=1)
        return jnp.where(known, jnp.argmax(votes, axis=1), -1).astype(jnp.int32)
    Z, X = _pair(X_train, X)
    _, y, s = _check.supervised(Z, y_train, sample_weight)
    return _mean(Z, y, s, X, k=_count(k, Z.shape[0]), weighted=sample_weight is not None)


def predict_proba(
    X_train: ArrayLike,
    y_train: ArrayLike,
    X: ArrayLike,
    *,
    k: int,
    n_classes: int,
    sample_weight: ArrayLike | None = None,
) -> Float[Array, "m c"]:
    """Return the share of each class among the k nearest rows, (m, n_classes); see predict."""
    Z, X = _pair(X_train, X)
    n_classes = _check.integer("n_classes", n_classes, 1)
    y = _check.labels(y_train, Z.shape[0], n_classes=n_classes)
    s = _check.weights(sample_weight, Z)
    one_hot = jnp.where(y[:, None] >= 0, jax.nn.one_hot(y, n_classes, dtype=Z.dtype), jnp.nan)
    return _mean(Z, one_hot, s, X, k=_count(k, Z.shape[0]), weighted=sample_weight is not None)


def concentration(X: ArrayLike) -> Scalar:
    """Return the relative spread of the squared distances between rows: sd over mean of all pairs.

    For rows of d independent coordinates of kurtosis kappa it is sqrt((kappa + 1) / (2 d)), for
    normal ones sqrt(2 / d), up to sampling: in many dimensions no neighbor is near. It is 0 for
    fewer than three rows, and NaN if all rows are equal. Cost n d^2, by sums over rows alone.

    Args:
      X: Rows (n, d), n >= 2; a random subset tells as much.

    Raises:
      ValueError: X has no two rows, or is concrete and holds NaN or inf.

    Example:
      >>> round(float(concentration([[0.0], [0.0], [1.0]])), 4)  # distances 0, 1, 1
      0.7071
    """
    X = _check.finite("X", _check.array("X", X, ndim=2))
    if X.shape[0] < 2:
        raise ValueError("X needs 2 rows or more for a distance: got 1 sample")
    return _concentration(X)


@jax.jit
def _concentration(X: Rows) -> Scalar:
    # sum_ij D_ij = 2 n A,  sum_ij D_ij^2 = 2 n sum_i a_i^2 + 2 A^2 + 4 ||X'X||_F^2 about the mean,
    # where D_ij = a_i + a_j - 2 x_i'x_j, a_i = ||x_i||^2 and A = sum_i a_i; D_ii = 0.
    X = X / jax.lax.stop_gradient(_search.power_of_two(X))
    X = X - jnp.mean(X, axis=0)[None, :]
    n, a = X.shape[0], jnp.sum(X**2, axis=1)
    A, pairs = jnp.sum(a), X.shape[0] * (X.shape[0] - 1.0)
    mean = 2 * n * A / pairs
    second = (2 * n * jnp.sum(a**2) + 2 * A**2 + 4 * jnp.sum(matmul(X.T, X) ** 2)) / pairs
    return safe_sqrt(jnp.maximum(second / mean**2 - 1, 0.0))


def _pair(X_train: Any, X: Any) -> tuple[Rows, Rows]:
    Z = _check.finite("X_train", _check.array("X_train", X_train, ndim=2))
    X = _check.finite("X", _check.rows(X, d=Z.shape[1]))
    dtype = jnp.promote_types(Z.dtype, X.dtype)
    return Z.astype(dtype), X.astype(dtype)


def _count(k: Any, n: int) -> int:
    k = _check.integer("k", k, 1)
    if k > n:
        raise ValueError(f"k must be at most the number of rows searched: got k={k}, n={n}")
    return k


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _neighbors(
    Z: Rows, X: Rows, k: int, alive: Array | None = None
) -> tuple[Float[Array, "m k"], Int[Array, "m k"]]:
    """Distances and indices; NaN and -1 where there is no answer, inf and n where no row is."""
    known = jnp.isfinite(X).all(axis=1) & jnp.isfinite(Z).all()
    Z, X = (jnp.where(jnp.isfinite(a), a, 0.0) for a in (Z, X))
    scale = _search.power_of_two(Z, X)
    index, squares = _search.nearest(Z / scale, X / scale, k, alive)
    distances = jnp.where(index < Z.shape[0], jnp.sqrt(squares) * scale, jnp.inf)
    known = known[:, None]
    return jnp.where(known, distances, jnp.nan), jnp.where(known, index, -1)


@_neighbors.defjvp
def _(k: int, primals: tuple, tangents: tuple) -> tuple:
    # d||x - z|| = (x - z)'(dx - dz) / ||x - z||, and 0 where x = z
    (Z, X, alive), (dZ, dX, _) = primals, tangents
    distances, index = _neighbors(Z, X, k, alive)
    apart = distances > 0
    slope = (X[:, None, :] - Z[index]) / jnp.where(apart, distances, 1.0)[:, :, None]
    change = jnp.sum(slope * (dX[:, None, :] - dZ[index]), axis=2)
    none: Any = np.zeros(index.shape, jax.dtypes.float0)
    return (distances, index), (jnp.where(apart, change, 0.0), none)


_distances = jax.jit(_neighbors, static_argnums=2)


@partial(jax.jit, static_argnames=("k", "weighted"))
def _mean(Z: Rows, y: Array, s: Column, X: Rows, *, k: int, weighted: bool) -> Array:
    """Means of y (n,) or (n, c) over the neighbors."""
    _, index = _neighbors(*jax.lax.stop_gradient((Z, X)), k, s > 0 if weighted else None)
    Y = y.reshape(len(y), -1)
    if weighted:
        # A row takes s_i of the k places, as far as nearer rows leave them.
        units = jnp.where(index < len(s), s[jnp.minimum(index, len(s) - 1)], 0.0)
        before = jnp.cumsum(units, axis=1) - units
        units = jnp.clip(k - before, 0.0, units)
    else:
        units = jnp.ones(index.shape, Z.dtype)
    votes = jnp.where((units > 0)[:, :, None], units[:, :, None] * Y[index % len(s)], 0.0)
    known = (index >= 0).all(axis=1) & (jnp.isfinite(s) & (s >= 0)).all()
    means = jnp.sum(votes, axis=1) / jnp.sum(units, axis=1)[:, None]
    means = jnp.where(known[:, None], means, jnp.nan)
    return means.reshape(len(X), *y.shape[1:])
