"""The fit of k-means from one start or several, and what certifies it. Symbols as in kmeans."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _groups
from jaxml._lanes import one_at_a_time
from jaxml._loop import Code, Fit, certify, input_flags
from jaxml._sums import moments, total
from jaxml._typing import Array, Column, Float, Labels, Rows, Scalar
from jaxml.latent import _lloyd, _nearest, _seeding

__all__ = ["Params", "inertia", "solve"]


class Params(NamedTuple):
    """k points that stand for the rows."""

    centroids: Float[Array, "k d"]  # c_j


@jax.jit
def inertia(params: Params, X: Rows, s: Column) -> Scalar:
    """J; see kmeans.inertia."""
    C = params.centroids
    m = jax.lax.stop_gradient(jnp.mean(C, axis=0))
    labels = _nearest.assign(*jax.lax.stop_gradient((X - m[None, :], C - m[None, :])))
    return _distortion(X, s, C, labels)


def _distortion(X: Rows, s: Column, C: Float[Array, "k d"], labels: Labels) -> Scalar:
    """J at these labels, by differences, which do not cancel as the expanded square does."""

    def terms(X: Rows, s: Column, labels: Labels, C: Array) -> tuple[Array]:
        return (jnp.where(s[:, None] > 0, s[:, None] * (X - C[labels]) ** 2, 0.0),)

    (J,) = _groups.sums(terms, jnp.zeros_like(labels), 1, X, s, labels, about=(C,))
    return jnp.sum(J)


def solve(theta: Any, how: Any, *, k: int, n_init: int, max_iter: int, impl: str) -> Fit[Params]:
    """Descend from the start, or from n_init drawn ones, the best of which is kept."""
    (X, s), (start, tol) = theta, how
    m, sd = moments(X, s / total(s))
    A = X - m[None, :]
    v = jnp.mean(sd**2)

    def run(A: Rows, s: Column, C: Array, v: Scalar, tol: Scalar) -> tuple:
        ended, n_iter = _lloyd.minimize(A, s, C, v, tol=tol, max_iter=max_iter)
        C = ended.centroids
        return ended, n_iter, _distortion(A, s, C, _nearest.assign(A, C))

    def restart(A: Rows, s: Column, numbers: Array, v: Scalar, tol: Scalar) -> tuple:
        key = jax.random.wrap_key_data(numbers, impl=impl)
        return run(A, s, _seeding.plus_plus(A, s, key, k=k), v, tol)

    if isinstance(start, Params):
        ended, n_iter, J = run(A, s, start.centroids - m[None, :], v, tol)
    elif n_init == 1:
        ended, n_iter, J = restart(A, s, start, v, tol)
    else:
        keys = jax.random.split(jax.random.wrap_key_data(start, impl=impl), n_init)
        lanes = jax.vmap(one_at_a_time(restart), (None, None, 0, None, None))
        tried = lanes(A, s, jax.random.key_data(keys), v, tol)
        best = jnp.argmin(jnp.where(jnp.isfinite(tried[2]), tried[2], jnp.inf))
        ended, n_iter, J = jax.tree.map(lambda leaf: leaf[best], tried)
    return certify(
        Params(ended.centroids + m[None, :]),
        objective=J,
        residual=_lloyd.residual(ended, v),
        tol=tol,
        n_iter=n_iter,
        flags=(*input_flags(X, s, s, m), (Code.DEGENERATE, (ended.mass == 0).any())),
    )
