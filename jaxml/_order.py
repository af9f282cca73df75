"""Rows in the order of floats, exactly: floats become integers that sort alike.

XLA sorts integers without a comparator but floats and pairs with one, many times slower on a CPU.
So a float becomes an integer of the same order, and what must follow it through the sort is packed
below it in 64 bits (which do not need jax_enable_x64: no number of that width leaves argsort).
"""

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Int

__all__ = ["argsort", "key", "value"]

LOW = 0xFFFFFFFF


def key(z: Array) -> Array:
    """Integers of the width of z that order as z does: -0 equals 0, NaN lies beyond inf."""
    narrow = z.dtype == jnp.float32
    z = jax.lax.stop_gradient(jnp.where(z == 0, 0.0, z))
    b = jax.lax.bitcast_convert_type(z, jnp.int32 if narrow else jnp.int64)
    # Of negative numbers, the larger magnitude is the smaller number.
    return jnp.where(b < 0, b ^ jnp.iinfo(b.dtype).max, b)


def value(k: Int[Array, "..."]) -> Array:
    """The float of a key."""
    b = jnp.where(k < 0, k ^ jnp.iinfo(k.dtype).max, k)
    return jax.lax.bitcast_convert_type(b, jnp.float32 if k.dtype == jnp.int32 else jnp.float64)


def argsort(k: Int[Array, " n"], label: Int[Array, " n"] | None = None) -> Int[Array, " n"]:
    """Indices that sort by (k, label, index); label is 0 or 1, None for all the same.

    32-bit keys in one sort, 64-bit keys in two: by the low half, then stably by the high half.
    """
    with jax.enable_x64(True):
        index = jax.lax.iota(jnp.int64, k.shape[0])
        tail = index if label is None else index | (label.astype(jnp.int64) << 31)  # n < 2^31
        if k.dtype == jnp.int32:
            return _unpacked(jax.lax.sort((k.astype(jnp.int64) << 32) | tail))
        first = _unpacked(jax.lax.sort(((k & LOW) - 2**31 << 32) | tail))
        second = _unpacked(jax.lax.sort((k[first] >> 32 << 32) | index))
        return first[second]


def _unpacked(packed: Array) -> Int[Array, " n"]:
    return (packed & 0x7FFFFFFF).astype(jnp.int32)
