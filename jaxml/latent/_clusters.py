"""The fit of k-means from one start or several, and what certifies it. Symbols as in kmeans."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml._lanes import one_at_a_time
from jaxml._loop import Code, Fit, certify
from jaxml._numerics import matmul
from jaxml._sums import sum_over_rows, total
from jaxml._typing import Array, Column, Float, Rows, Scalar
from jaxml.latent import _lloyd, _nearest, _seeding

__all__ = ["Params", "inertia", "mean", "solve"]


class Params(NamedTuple):
    """k points that stand for the rows."""

    centroids: Float[Array, "k d"]  # c_j


def mean(X: Rows, s: Column) -> Float[Array, " d"]:
    """The weighted mean of the rows."""
    return sum_over_rows(matmul, s / total(s), X)


@jax.jit
def inertia(params: Params, X: Rows, s: Column) -> Scalar:
    """J; see kmeans.inertia."""
    C = params.centroids
    m = jax.lax.stop_gradient(jnp.mean(C, axis=0))

    centered = jax.lax.stop_gradient(C) - m[None, :]

    def sums(find: Any, X: Rows, s: Column) -> Scalar:
        labels = find(jax.lax.stop_gradient(X) - m[None, :], centered)
        return total(jnp.where(s > 0, s * _nearest.distances(X, C, labels), 0.0))

    def by(find: Any) -> Any:
        return partial(sum_over_rows, partial(sums, find))

    exactly = by(lambda A, C: _nearest.by_differences(A, C)[0])
    return jax.lax.cond(_nearest.crowded(centered), exactly, by(_nearest.nearest), X, s)


def solve(theta: Any, how: Any, *, k: int, n_init: int, max_iter: int, impl: str) -> Fit[Params]:
    """Descend from the start, or from n_init drawn ones, the best of which is kept."""
    (X, s), (start, tol) = theta, how
    m = mean(X, s)
    A = X - m[None, :]
    v = sum_over_rows(lambda p, A: matmul(p, A * A), s / total(s), A).mean()

    def run(A: Rows, s: Column, C: Array, v: Scalar, tol: Scalar) -> tuple:
        ended, n_iter = _lloyd.minimize(A, s, C, v, tol=tol, max_iter=max_iter)
        return ended, n_iter, inertia(Params(ended.centroids), A, s)

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
    least, most = jnp.min(s), jnp.max(s)
    unweighted = ~((least >= 0) & (most > 0))
    broken = ~jnp.isfinite(X).all() | ~jnp.isfinite(most) | jnp.isnan(least)
    return certify(
        Params(ended.centroids + m[None, :]),
        objective=J,
        residual=_lloyd.residual(ended, v),
        tol=tol,
        n_iter=n_iter,
        flags=(
            (Code.NONFINITE_INPUT, broken),
            (Code.DEGENERATE, unweighted | (ended.mass == 0).any()),
        ),
    )
