"""Sums over the rows of each cell: of a confusion matrix, or of a reliability diagram."""

import jax
import jax.numpy as jnp

from jaxml._numerics import matmul
from jaxml._typing import Array, Float, Int, Weights

__all__ = ["by_cell", "table"]

GROUPS = 64  # partial sums of a cell, so that a long float32 sum in order loses no digits
ENTRIES = 2**14  # that stay in the first cache


def by_cell(at: Int[Array, " n"], V: Float[Array, "n m"], k: int) -> Float[Array, "k m"]:
    """sum_i [at_i = c] v_i of each cell c: a scatter of rows on a CPU, else a one-hot product."""
    n, m = V.shape
    groups = min(GROUPS, max(1, ENTRIES // (k * m)))

    def scattered(at: Array, V: Array) -> Array:
        group = jnp.arange(n, dtype=jnp.int32) % groups
        nothing = jnp.zeros((groups * k, m), V.dtype)
        parts = nothing.at[group * k + at].add(V, mode="promise_in_bounds")
        return parts.reshape(groups, k, m).sum(axis=0)

    def product(at: Array, V: Array) -> Array:
        return matmul((jnp.arange(k)[:, None] == at[None, :]).astype(V.dtype), V)

    return jax.lax.platform_dependent(at, V, cpu=scattered, default=product)


def table(
    i: Int[Array, " n"], j: Int[Array, " n"], s: Weights, k: int, dtype: jnp.dtype
) -> Float[Array, "k k"]:
    """sum_i s_i over the rows of each pair (i, j); without weights a count, exact below 2^31."""
    if s is None:
        counts = jnp.zeros(k * k, jnp.int32).at[i * k + j].add(1, mode="promise_in_bounds")
        return counts.reshape(k, k).astype(dtype)

    def scattered(i: Array, j: Array, s: Array) -> Array:
        return by_cell(i * k + j, s[:, None], k * k)[:, 0].reshape(k, k)

    def product(i: Array, j: Array, s: Array) -> Array:
        return by_cell(i, jnp.where(j[:, None] == jnp.arange(k)[None, :], s[:, None], 0.0), k)

    return jax.lax.platform_dependent(i, j, s, cpu=scattered, default=product)
