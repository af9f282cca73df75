"""Sums of per-row statistics by bin and node: all that the search for a split needs.

    H[b, v] = sum_i [code_i = b] [slot_i = v] u_i,    u_i the statistics of row i

for one feature at a time. On a CPU this is one scatter-add of rows u_i, in the order of the rows;
on an accelerator, whose scatter-add has no fixed order, a product with indicators. Both repeat bit
by bit.
"""

import jax
import jax.numpy as jnp

from jaxml._numerics import matmul
from jaxml._typing import Array, Float, Int

__all__ = ["by_node", "histogram", "running"]

BLOCK = 2**22  # numbers in the indicators of a block of rows, on an accelerator


def histogram(
    code: Int[Array, " n"],
    slot: Int[Array, " n"],
    u: Float[Array, "n c"],
    *,
    n_slots: int,
    n_bins: int,
) -> Float[Array, "b v c"]:
    """Return H for slots 0..n_slots-1, which every row must have."""

    def scattered(code: Array, slot: Array, u: Array) -> Array:
        c = u.shape[1]
        u = jnp.pad(u, ((0, 0), (0, -c % 4)))  # whole vector registers: 3 take longer than 4
        nothing = jnp.zeros((n_bins * n_slots, u.shape[1]), u.dtype)
        at = code.astype(jnp.int32) * n_slots + slot
        H = nothing.at[at].add(u, mode="promise_in_bounds")
        return H.reshape(n_bins, n_slots, -1)[:, :, :c]

    def product(code: Array, slot: Array, u: Array) -> Array:
        return _product(code, slot, u, n_slots, n_bins)

    return jax.lax.platform_dependent(code, slot, u, cpu=scattered, default=product)


def _product(code: Array, slot: Array, u: Array, n_slots: int, n_bins: int) -> Array:
    n, c = u.shape
    size = min(n, max(1, BLOCK // max(n_bins, n_slots * c)))
    rest = -n % size
    code, slot, u = (jnp.pad(a, [(0, rest)] + [(0, 0)] * (a.ndim - 1)) for a in (code, slot, u))

    def add(i: Array, H: Array) -> Array:
        b, v, rows = (jax.lax.dynamic_slice_in_dim(a, i * size, size) for a in (code, slot, u))
        at_bin = (jnp.arange(n_bins)[:, None] == b[None, :]).astype(u.dtype)
        at_slot = (v[:, None] == jnp.arange(n_slots)[None, :]).astype(u.dtype)
        spread = (at_slot[:, :, None] * rows[:, None, :]).reshape(size, n_slots * c)
        return H + matmul(at_bin, spread)

    nothing = jnp.zeros((n_bins, n_slots * c), u.dtype)
    H = jax.lax.fori_loop(0, (n + rest) // size, add, nothing)
    return H.reshape(n_bins, n_slots, c)


def by_node(node: Int[Array, " n"], u: Float[Array, "n c"], size: int) -> Float[Array, "m c"]:
    """sum_i [node_i = v] u_i for v < size."""
    code = jnp.zeros(node.shape, jnp.uint8)
    return histogram(code, node, u, n_slots=size, n_bins=1)[0]


def running(H: Float[Array, "b ..."]) -> Float[Array, "b ..."]:
    """Sums up to each bin: faster on a CPU than jnp.cumsum, which takes no account of the rows."""

    def add(before: Array, h: Array) -> tuple[Array, Array]:
        return before + h, before + h

    return jax.lax.scan(add, jnp.zeros_like(H[0]), H)[1]
