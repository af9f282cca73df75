"""What a given Gaussian mixture says of rows: densities, posteriors, samples, criteria.

    p(x) = sum_j pi_j N(x; mu_j, Sigma_j),    L = (1/s) sum_i s_i log p(x_i),    s = sum_i s_i

Symbols as in gmm, which fits one.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._numerics import xlogx
from jaxml._sums import total, weighted_mean
from jaxml._typing import Array, ArrayLike, Column, Float, Key, Labels, Rows, Scalar, Weights
from jaxml.latent import _covariance, _em, _seeding
from jaxml.latent._em import Params

__all__ = [
    "aic", "bic", "elbo", "joint", "log_likelihood", "predict", "responsibilities", "sample",
    "score",
]  # fmt: skip


def joint(params: Params, X: Rows) -> Float[Array, "k n"]:
    """Return log p(x_i, j)."""
    return _em.joint(params, _covariance.whitener(params.covariances), X)


_log_likelihood = jax.jit(lambda params, X: _em.posterior(joint(params, X))[0])
_responsibilities = jax.jit(lambda params, X: _em.posterior(joint(params, X))[1].T)


def log_likelihood(params: Params, X: ArrayLike) -> Column:
    """Return log p(x_i) of each row."""
    X = _check.rows(X, d=params.means.shape[1])
    return _check.scores(X, _log_likelihood(params, X))


def score(params: Params, X: ArrayLike, *, sample_weight: Weights = None) -> Scalar:
    """Return L, the weighted mean of log p(x_i)."""
    return weighted_mean(log_likelihood(params, X), _optional(sample_weight, X))


def _optional(s: Any, X: Any) -> Column | None:
    return None if s is None else _check.weights(s, _check.array("X", X, ndim=2))


def responsibilities(params: Params, X: ArrayLike) -> Float[Array, "n k"]:
    """Return r_ij = p(j | x_i), the posterior probability of each component; rows sum to 1."""
    X = _check.rows(X, d=params.means.shape[1])
    return _check.scores(X, _responsibilities(params, X))


def predict(params: Params, X: ArrayLike) -> Labels:
    """Return the likeliest component of each row, the first of equal ones; a traced NaN gives 0."""
    return jnp.argmax(responsibilities(params, X), axis=1).astype(jnp.int32)


def elbo(
    params: Params, X: ArrayLike, q: Float[Array, "n k"], *, sample_weight: Weights = None
) -> Scalar:
    """Return the lower bound of L that any q with rows on the simplex gives; L at q = r.

        (1/s) sum_i s_i sum_j q_ij [log p(x_i, j) - log q_ij]

    Reference: Bishop (2006), eq. (9.71).
    """
    X = _check.rows(X, d=params.means.shape[1])
    q = jnp.asarray(q, X.dtype)
    if q.shape != (X.shape[0], params.weights.shape[0]):
        want = (X.shape[0], params.weights.shape[0])
        raise ValueError(f"q needs a probability for each row and component: expected {want}")
    return weighted_mean(_bounds(params, X, q), _optional(sample_weight, X))


@jax.jit
def _bounds(params: Params, X: Rows, q: Float[Array, "n k"]) -> Column:
    # 0 log 0 = 0, whatever the density of a component of weight 0
    expected = jnp.where(q > 0, q * jnp.where(q > 0, joint(params, X).T, 0.0), 0.0)
    return jnp.sum(expected - xlogx(q), axis=1)


def sample(params: Params, *, key: Key, n_samples: int) -> tuple[Rows, Labels]:
    """Draw rows (n_samples, d), static in number, and the component that each came from."""
    n = _check.integer("n_samples", n_samples, 1)
    _seeding.key_numbers("key", key)
    return _sample(params, key, n=n)


@partial(jax.jit, static_argnames="n")
def _sample(params: Params, key: Key, *, n: int) -> tuple[Rows, Labels]:
    which, noise = jax.random.split(key)
    pi, mu, covariances = params
    labels = jax.random.categorical(which, jnp.log(pi), shape=(n,)).astype(jnp.int32)
    e = jax.random.normal(noise, (n, mu.shape[1]), mu.dtype)
    L = _covariance.factor(covariances)
    L = jnp.broadcast_to(L, (pi.shape[0], *L.shape[1:]))

    def add(j: Array, X: Rows) -> Rows:
        return jnp.where(
            (labels == j)[:, None], mu[j][None, :] + _covariance.whiten(L[j], e.T).T, X
        )

    return jax.lax.fori_loop(0, pi.shape[0], add, e), labels


def _free(params: Params) -> int:
    k, d = params.means.shape
    return k - 1 + k * d + _covariance.n_parameters(params.covariances, d)


def aic(params: Params, X: ArrayLike, *, sample_weight: Weights = None) -> Scalar:
    """Return 2 p - 2 s L for p free parameters (Akaike, 1974); weights count rows."""
    s = _check.weights(sample_weight, _check.array("X", X, ndim=2))
    return 2 * _free(params) - 2 * total(s) * score(params, X, sample_weight=s)


def bic(params: Params, X: ArrayLike, *, sample_weight: Weights = None) -> Scalar:
    """Return p log s - 2 s L for p free parameters (Schwarz, 1978); weights count rows."""
    s = _check.weights(sample_weight, _check.array("X", X, ndim=2))
    size = total(s)
    return _free(params) * jnp.log(size) - 2 * size * score(params, X, sample_weight=s)
