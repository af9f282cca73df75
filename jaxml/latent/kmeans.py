"""k-means clustering: k centroids, each row belonging to the nearest of them.

    J(c) = sum_i s_i min_j ||x_i - c_j||^2

Symbols: x_i = X[i]; s_i = sample_weight[i], 1 if None; c_j = centroids[j]; l_i the index of the
nearest centroid, the lowest of equal ones. J is scikit-learn's inertia: a sum, not a mean.

J has many local minima; Lloyd's algorithm finds one that depends on where it starts. n_init starts
differ by k-means++ and the best is kept. On a CPU, steps of large problems leave out the rows whose
cluster cannot change, by the bounds of Hamerly (2010), and are the same steps.

Reference: Bishop (2006), Pattern recognition and machine learning, eq. (9.1) to (9.4).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._implicit import differentiable
from jaxml._lanes import one_at_a_time
from jaxml._loop import Fit
from jaxml._numerics import matmul
from jaxml._sums import moments, total
from jaxml._typing import Array, ArrayLike, Column, Float, Key, Labels, Real, Rows, Scalar, Weights
from jaxml.latent import _clusters, _nearest, _seeding
from jaxml.latent._clusters import Params

__all__ = ["Params", "fit", "inertia", "init", "predict"]


def init(
    X: ArrayLike, *, n_clusters: int, key: Key, sample_weight: ArrayLike | None = None
) -> Params:
    """Draw k rows as starting centroids by greedy k-means++.

    Args:
      X: Rows (n, d).
      n_clusters: k, static, at most n.
      key: A random key.
      sample_weight: s_i >= 0; a row of weight 0 is never drawn.

    Raises:
      ValueError: n_clusters > n, shapes disagree, or a concrete array holds NaN or inf.
      TypeError: key is not a random key.
    """
    X, s, k = _arguments(X, sample_weight, n_clusters)
    _check.finite("X", X)
    numbers, impl = _seeding.key_numbers("key", key)
    return Params(_init(X, s, numbers, k=k, impl=impl))


def _arguments(X: Any, sample_weight: Any, k: Any) -> tuple[Rows, Column, int]:
    X = _check.array("X", X, ndim=2)
    k = _check.integer("n_clusters", k, 1)
    if k > X.shape[0]:
        raise ValueError(f"n_clusters must be at most the {X.shape[0]} rows of X: got {k}")
    return X, _check.weights(sample_weight, X), k


@partial(jax.jit, static_argnames=("k", "impl"))
def _init(X: Rows, s: Column, numbers: Array, *, k: int, impl: str) -> Float[Array, "k d"]:
    m, _ = moments(X, s / total(s))
    key = jax.random.wrap_key_data(numbers, impl=impl)
    return _seeding.plus_plus(X - m[None, :], s, key, k=k) + m[None, :]


def predict(params: Params, X: ArrayLike) -> Labels:
    """Return the index of the nearest centroid of each row; a traced NaN row gives 0."""
    X = _check.rows(X, d=params.centroids.shape[1])
    return _predict(params, _check.finite("X", X))


@jax.jit
def _predict(params: Params, X: Rows) -> Labels:
    m = jnp.mean(params.centroids, axis=0)
    return _nearest.assign(X - m[None, :], params.centroids - m[None, :])


def inertia(params: Params, X: ArrayLike, *, sample_weight: Weights = None) -> Scalar:
    """Return J, whose gradient is that at the present labels.

        dJ/dc_j = 2 sum_{l_i = j} s_i (c_j - x_i),    dJ/dx_i = 2 s_i (x_i - c_{l_i})

    That is the gradient of J wherever no row has two nearest centroids (envelope theorem), and one
    of its generalized gradients where one has.

    Raises:
      ValueError: Shapes disagree, or a concrete array holds NaN or inf.
    """
    X = _check.rows(X, d=params.centroids.shape[1])
    s = _check.weights(sample_weight, X)
    return _check.scores(X, _clusters.inertia(params, X, s))


def fit(
    X: ArrayLike,
    *,
    n_clusters: int,
    key: Key | None = None,
    init: Params | None = None,
    n_init: int = 1,
    sample_weight: ArrayLike | None = None,
    tol: Real = 1e-4,
    max_iter: int = 300,
) -> Fit[Params]:
    """Find a local minimum of J by Lloyd's algorithm; J never increases on the way.

    Args:
      X: Rows (n, d), float32 or float64; integers become the default float.
      n_clusters: k, static, at most n.
      key: A random key, required without init.
      init: Where to start, instead of k-means++.
      n_init: Static; how many starts are tried, the one of least J being kept. 1 with init.
      sample_weight: s_i >= 0, not all zero. With the same init, integer weights are repeated rows.
      tol: What the residual must not exceed, traced, scikit-learn's tol; 0 asks for labels that no
        longer change.
      max_iter: Static bound on the steps of each start.

    Returns:
      Params, and Info with objective = J and residual = sum_j ||c_j' - c_j||^2 / v, where c_j' are
      the centroids after one more step and v is the mean over the columns of their weighted
      variances. An empty cluster moves to the row of positive weight farthest from all centroids,
      the first of equal ones. DEGENERATE: rows of positive weight lie in fewer than k distinct
      places, and clusters stay empty. Derivatives with respect to X and sample_weight are those of
      cluster means at fixed labels, exact until a label changes; J's follow the envelope theorem.

    Raises:
      ValueError: n_clusters > n, neither key nor init, shapes disagree, or a concrete array holds
        NaN or inf.
      TypeError: An array is not numeric, key is not a random key, init is no Params.

    Example:
      >>> X = jnp.array([[0.0], [1.0], [10.0], [11.0]])
      >>> sorted(fit(X, n_clusters=2, key=jax.random.key(0)).params.centroids[:, 0].tolist())
      [0.5, 10.5]
    """
    X, s, k = _arguments(X, sample_weight, n_clusters)
    n_init = _check.integer("n_init", n_init, 1)
    tol = _check.at_least("tol", tol, 0, dtype=X.dtype)
    max_iter = _check.integer("max_iter", max_iter, 1)
    impl = ""
    if init is not None:
        if n_init != 1:
            raise ValueError(f"n_init must be 1 with init, which is one start: got {n_init}")
        start: Any = _check.like("init", init, Params(jnp.zeros((k, X.shape[1]))), X.dtype)
    elif key is None:
        raise ValueError("key is missing: expected a random key, or init to start from")
    else:
        start, impl = _seeding.key_numbers("key", key)
    static = {"k": k, "n_init": n_init, "max_iter": max_iter, "impl": impl}
    return _check.raise_for(_fit(X, s, start, tol, **static), X, s)


@partial(jax.jit, static_argnames=("k", "n_init", "max_iter", "impl"))
def _fit(
    X: Rows, s: Column, start: Any, tol: Scalar, *, k: int, n_init: int, max_iter: int, impl: str
) -> Fit[Params]:
    def objective(params: Params, theta: Any) -> Scalar:
        return _clusters.inertia(params, *theta)

    def optimality(params: Params, theta: Any) -> Params:
        # c_j - sum_{l_i = j} s_i x_i / N_j, as a weighted mean of differences that do not cancel
        X, s = theta
        C = params.centroids
        chosen = jnp.arange(k)[:, None] == jax.lax.stop_gradient(_predict(params, X))[None, :]
        R = jnp.where(chosen, s[None, :], 0.0)
        mass = jnp.sum(R, axis=1)[:, None]
        apart = jnp.where(mass > 0, jnp.sum(R, axis=1)[:, None] * C - matmul(R, X), 0.0)
        return Params(apart / jnp.where(mass > 0, mass, 1.0))

    def inverse(params: Params, theta: Any):
        return lambda F: F  # dF/dC = 1

    solve = partial(_clusters.solve, k=k, n_init=n_init, max_iter=max_iter, impl=impl)
    derived = differentiable(
        one_at_a_time(solve), objective=objective, optimality=optimality, inverse=inverse
    )
    return derived((X, s), (start, tol))
