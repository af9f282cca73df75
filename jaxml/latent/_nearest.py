"""The nearest of k centroids c_j for rows a_i.

    l_i = argmin_j ||c_j||^2 - 2 a_i'c_j

||a_i||^2 is left out, since it is the same for every j, unless two centroids are so close that the
rounding of products could decide: then distances are sums of differences. Ties go to the lowest j.
"""

import jax
import jax.numpy as jnp

from jaxml._numerics import matmul
from jaxml._typing import Array, Bool, Column, Float, Labels, Rows, Scalar

__all__ = ["assign", "by_differences", "crowded", "distances", "lowest", "nearest"]

UNROLLED = 64  # clusters up to which a running minimum is written out


def nearest(A: Rows, C: Float[Array, "k d"]) -> Labels:
    """l_i for every row; 0 for a row with NaN."""
    return lowest(jnp.sum(C * C, axis=1)[:, None] - 2 * matmul(C, A.T))


def lowest(scores: Float[Array, "k n"]) -> Labels:
    """The row of the least score in each column, the first of equal ones; 0 where all are NaN."""
    k = scores.shape[0]
    if k > UNROLLED:
        # argmin keeps pairs and is slow on a CPU: two plain reductions instead.
        least = jnp.min(scores, axis=0)
        index = jnp.arange(k, dtype=jnp.int32)[:, None]
        found = jnp.min(jnp.where(scores == least[None, :], index, k), axis=0)
        return jnp.where(found < k, found, 0)
    best, labels = scores[0], jnp.zeros(scores.shape[1], jnp.int32)
    for j in range(1, k):
        lower = scores[j] < best
        best, labels = jnp.where(lower, scores[j], best), jnp.where(lower, j, labels)
    return labels


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


def distances(A: Rows, C: Float[Array, "k d"], labels: Labels) -> Column:
    """||a_i - c_{l_i}||^2 by differences, which do not cancel as the expanded square does."""
    return jnp.sum((A - C[labels]) ** 2, axis=1)
