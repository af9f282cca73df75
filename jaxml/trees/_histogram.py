"""Sums of per-row statistics by feature, bin and node: all that the search for splits needs.

    H[j, b, v] = sum_i [code_ij = b] [slot_i = v] u_i,    u_i the statistics of row i

On a CPU a feature is one scatter-add of rows u_i, in the order of the rows; on an accelerator,
whose scatter-add has no fixed order, a product with indicators. Both are repeatable bit by bit.
"""

import jax
import jax.numpy as jnp

from jaxml._numerics import matmul
from jaxml._typing import Array, Float, Int

__all__ = ["by_node", "histogram"]

BLOCK = 2**14  # rows of indicators at a time on an accelerator


def histogram(
    codes: Int[Array, "d n"],
    slot: Int[Array, " n"],
    u: Float[Array, "n c"],
    *,
    n_slots: int,
    n_bins: int,
) -> Float[Array, "d b v c"]:
    """Return H; rows whose slot is n_slots are in no sum."""

    def scattered(codes: Array, slot: Array, u: Array) -> Array:
        return _scattered(codes, slot, u, n_slots, n_bins)

    def product(codes: Array, slot: Array, u: Array) -> Array:
        return _product(codes, slot, u, n_slots, n_bins)

    return jax.lax.platform_dependent(codes, slot, u, cpu=scattered, default=product)


def _scattered(codes: Array, slot: Array, u: Array, n_slots: int, n_bins: int) -> Array:
    width = n_slots + 1  # a slot more, for the rows that are in none

    def feature(code: Array) -> Array:
        nothing = jnp.zeros((n_bins * width, u.shape[1]), u.dtype)
        at = code.astype(jnp.int32) * width + slot
        return nothing.at[at].add(u, mode="promise_in_bounds")

    H = jax.lax.map(feature, codes).reshape(len(codes), n_bins, width, u.shape[1])
    return H[:, :, :n_slots]


def _product(codes: Array, slot: Array, u: Array, n_slots: int, n_bins: int) -> Array:
    (d, n), c = codes.shape, u.shape[1]
    size = min(n, BLOCK)
    rest = -n % size
    codes, slot = jnp.pad(codes, ((0, 0), (0, rest))), jnp.pad(slot, (0, rest))
    u = jnp.pad(u, ((0, rest), (0, 0)))

    def add(i: Array, H: Array) -> Array:
        code = jax.lax.dynamic_slice_in_dim(codes, i * size, size, axis=1)
        v = jax.lax.dynamic_slice_in_dim(slot, i * size, size)
        rows = jax.lax.dynamic_slice_in_dim(u, i * size, size)
        own = (v[:, None] == jnp.arange(n_slots)[None, :]).astype(u.dtype)
        Z = (own[:, :, None] * rows[:, None, :]).reshape(size, n_slots * c)

        def feature(code: Array) -> Array:
            return matmul((jnp.arange(n_bins)[:, None] == code[None, :]).astype(u.dtype), Z)

        return H + jax.lax.map(feature, code)

    H = jax.lax.fori_loop(0, (n + rest) // size, add, jnp.zeros((d, n_bins, n_slots * c), u.dtype))
    return H.reshape(d, n_bins, n_slots, c)


def by_node(node: Int[Array, " n"], u: Float[Array, "n c"], size: int) -> Float[Array, "m c"]:
    """sum_i [node_i = v] u_i for v < size."""

    def scattered(node: Array, u: Array) -> Array:
        return jnp.zeros((size, u.shape[1]), u.dtype).at[node].add(u, mode="promise_in_bounds")

    def product(node: Array, u: Array) -> Array:
        def add(i: Array, sums: Array) -> Array:
            v = jax.lax.dynamic_slice_in_dim(node, i * block, block)
            rows = jax.lax.dynamic_slice_in_dim(u, i * block, block)
            return sums + matmul((jnp.arange(size)[:, None] == v[None, :]).astype(u.dtype), rows)

        nothing = jnp.zeros((size, u.shape[1]), u.dtype)
        return jax.lax.fori_loop(0, len(node) // block, add, nothing)

    n = len(node)
    block = min(n, max(1, 2**22 // size))
    rest = -n % block
    padded = jnp.pad(node, (0, rest)), jnp.pad(u, ((0, rest), (0, 0)))
    return jax.lax.platform_dependent(*padded, cpu=scattered, default=product)
