"""The weight of the rows in each cell of a confusion matrix."""

import jax
import jax.numpy as jnp

from jaxml import _groups
from jaxml._typing import Array, Float, Int, Weights

__all__ = ["table"]


def table(
    i: Int[Array, " n"], j: Int[Array, " n"], s: Weights, k: int, dtype: jnp.dtype
) -> Float[Array, "k k"]:
    """sum_i s_i over the rows of each pair (i, j); without weights a count, exact below 2^31."""
    if s is None:
        counts = jnp.zeros(k * k, jnp.int32).at[i * k + j].add(1, mode="promise_in_bounds")
        return counts.reshape(k, k).astype(dtype)

    def by_pair(i: Array, j: Array, s: Array) -> Array:
        return _groups.sums(_groups.given, i * k + j, k * k, s[:, None])[0].reshape(k, k)

    def by_row(i: Array, j: Array, s: Array) -> Array:  # a product of (k, n) and (n, k)
        columns = jnp.where(j[:, None] == jnp.arange(k)[None, :], s[:, None], 0.0)
        return _groups.sums(_groups.given, i, k, columns)[0]

    return jax.lax.platform_dependent(i, j, s, cpu=by_pair, default=by_row)
