"""Starting centroids by k-means++: spread over the data, each drawn far from those before it.

    P(next = a_i) proportional to s_i D_i,    D_i = min_j ||a_i - c_j||^2

Of a few rows drawn so, the one that lowers sum_i s_i D_i most is taken. Where every D_i is 0, rows
are drawn by weight alone.

Reference: Arthur, Vassilvitskii (2007), k-means++: the advantages of careful seeding, section 2.2;
the number of candidates, 2 + log k, is that of its section 7.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._numerics import matmul
from jaxml._sums import total
from jaxml._typing import Array, Column, Float, Int, Key, Rows

__all__ = ["key_numbers", "plus_plus"]


def key_numbers(name: str, key: Any) -> tuple[Array, str]:
    """Return the numbers of a key and the name of its generator, checked.

    Raises:
      TypeError: Not a key.
      ValueError: A batch of keys.
    """
    key = _check.key(name, key)
    return jax.random.key_data(key), str(jax.random.key_impl(key))


def _draw(p: Column, u: Float[Array, " l"]) -> Int[Array, " l"]:
    """Rows with probability p_i / sum p, by inversion: u lies in [0, 1)."""
    # In two levels, since a long running sum in float32 loses its last rows.
    n = p.shape[0]
    w = math.isqrt(n - 1) + 1
    P = jnp.pad(p, (0, w * w - n)).reshape(w, w)
    sums = jnp.sum(P, axis=1)
    upto = jnp.cumsum(sums)
    level = u * upto[-1]
    row = jnp.minimum(jnp.sum(upto[None, :] <= level[:, None], axis=1), w - 1)
    inside = jnp.cumsum(P[row], axis=1)
    rest = level - (upto[row] - sums[row])
    at = row * w + jnp.minimum(jnp.sum(inside <= rest[:, None], axis=1), w - 1)
    # Rounding at the end of a level may point at a row without weight: then the first that has one.
    valid = (at < n) & (p[jnp.minimum(at, n - 1)] > 0)
    first = jnp.min(jnp.where(p > 0, jnp.arange(n), n - 1))
    return jnp.where(valid, at, first).astype(jnp.int32)


def plus_plus(A: Rows, s: Column, key: Key, *, k: int) -> Float[Array, "k d"]:
    """K rows of A by greedy k-means++; A is centered, or distances by expansion lose digits."""
    d = A.shape[1]
    candidates = 2 + int(math.log(k))
    squares = jnp.sum(A * A, axis=1)
    first, rest = jax.random.split(key)
    start = A[_draw(s, jax.random.uniform(first, (1,), A.dtype))[0]]

    def distances(C: Float[Array, "l d"]) -> Float[Array, "l n"]:
        to = jnp.sum(C * C, axis=1)[:, None] - 2 * matmul(C, A.T)
        return jnp.maximum(squares[None, :] + to, 0.0)

    def add(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        C, D = carry
        u = jax.random.uniform(jax.random.fold_in(rest, j), (candidates,), A.dtype)
        potential = s * D
        uniform = ~(total(potential) > 0)
        drawn = A[_draw(jnp.where(uniform, s, potential), u)]
        closer = jnp.minimum(D[None, :], distances(drawn))
        best = jnp.argmin(matmul(closer, s))
        return jax.lax.dynamic_update_index_in_dim(C, drawn[best], j, 0), closer[best]

    C = jnp.broadcast_to(start[None, :], (k, d))
    return jax.lax.fori_loop(1, k, add, (C, distances(start[None, :])[0]))[0]
