"""The nearest of k centroids c_j for rows a_i.

    l_i = argmin_j ||c_j||^2 - 2 a_i'c_j

||a_i||^2 is left out, since it is the same for every j, unless two centroids are so close that the
rounding of products could decide: then distances are sums of differences. Ties go to the lowest j.
"""

import jax
import jax.numpy as jnp

from jaxml._numerics import matmul
from jaxml._typing import Array, Bool, Column, Float, Labels, Rows, Scalar

__all__ = ["assign", "by_differences", "crowded", "nearest", "two_nearest"]

AT_ONCE = 2**27  # scores held at a time
UNROLLED = 64  # clusters up to which a running minimum is written out


def nearest(A: Rows, C: Float[Array, "k d"]) -> Labels:
    """l_i for every row; 0 for a row with NaN."""
    return two_nearest(A, C)[0]


def two_nearest(A: Rows, C: Float[Array, "k d"]) -> tuple[Labels, Column, Column]:
    """l_i and the two least of ||c_j||^2 - 2 a_i'c_j; what is not asked for is not computed."""

    def look(A: Rows) -> tuple[Labels, Column, Column]:
        return _two_lowest(squares[:, None] - 2 * matmul(C, A.T))

    squares = jnp.sum(C * C, axis=1)
    n, size = A.shape[0], max(1, AT_ONCE // C.shape[0])
    if n <= size or jax.device_count() > 1:  # rows on several devices stay where they are
        return look(A)
    whole = n // size * size
    parts = jax.lax.map(look, A[:whole].reshape(-1, size, A.shape[1]))
    return jax.tree.map(lambda p, r: jnp.concatenate([p.ravel(), r]), parts, look(A[whole:]))


def _two_lowest(scores: Float[Array, "k n"]) -> tuple[Labels, Column, Column]:
    """In each column the row of the least score, the first of equal ones; and the two least."""
    k = scores.shape[0]
    if k > UNROLLED:
        # argmin keeps pairs and is slow on a CPU: plain reductions instead.
        least = jnp.min(scores, axis=0)
        index = jnp.arange(k, dtype=jnp.int32)[:, None]
        found = jnp.min(jnp.where(scores == least[None, :], index, k), axis=0)
        labels = jnp.where(found < k, found, 0)
        return labels, least, jnp.min(jnp.where(index == labels[None, :], jnp.inf, scores), axis=0)
    least, labels = scores[0], jnp.zeros(scores.shape[1], jnp.int32)
    second = jnp.full_like(least, jnp.inf)
    for j in range(1, k):
        second = jnp.minimum(second, jnp.maximum(least, scores[j]))
        lower = scores[j] < least
        least, labels = jnp.where(lower, scores[j], least), jnp.where(lower, j, labels)
    return labels, least, second


def crowded(C: Float[Array, "k d"]) -> Bool[Array, ""]:
    """Whether two centroids are closer than products of this dtype tell apart well."""
    others = jnp.arange(C.shape[0])

    def look(j: Array, least: Scalar) -> Scalar:
        D = jnp.sum((C - C[j][None, :]) ** 2, axis=1)
        return jnp.minimum(least, jnp.min(jnp.where(others == j, jnp.inf, D)))

    least = jax.lax.fori_loop(0, C.shape[0], look, jnp.asarray(jnp.inf, C.dtype))
    return least < 2**10 * jnp.finfo(C.dtype).eps * jnp.max(jnp.sum(C * C, axis=1))


def by_differences(A: Rows, C: Float[Array, "k d"], alive: Array | None = None) -> tuple:
    """l_i, the nearest of the centroids that are alive, and ||a_i - c_{l_i}||^2."""

    def look(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        labels, D = carry
        to = jnp.sum((A - C[j][None, :]) ** 2, axis=1)
        to = to if alive is None else jnp.where(alive[j], to, jnp.inf)
        return jnp.where(to < D, j, labels).astype(jnp.int32), jnp.minimum(to, D)

    n = A.shape[0]
    start = jnp.zeros(n, jnp.int32), jnp.full(n, jnp.inf, A.dtype)
    return jax.lax.fori_loop(0, C.shape[0], look, start)


def assign(A: Rows, C: Float[Array, "k d"]) -> Labels:
    """l_i, by products where those are safe."""
    return jax.lax.cond(crowded(C), lambda A, C: by_differences(A, C)[0], nearest, A, C)
