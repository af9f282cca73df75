"""Many random bits at little cost: a counter-based generator, its rounds in one fused loop.

jax.random generates 32 bits from each 64 and, on a CPU, takes the rounds one by one through memory.
Here both halves are used, and a caller may cut words into integers of 8 or 16 bits.

Reference: Salmon et al. (2011), Parallel random numbers: as easy as 1, 2, 3, section 3 (Threefry).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Key

__all__ = ["integers", "threefry"]

ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA


def threefry(key: tuple[Array, Array], counter: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return the 20 rounds of Threefry-2x32 on counters, elementwise; all are uint32."""
    schedule = (*key, key[0] ^ key[1] ^ jnp.uint32(PARITY))
    x, y = counter[0] + schedule[0], counter[1] + schedule[1]
    for i in range(20):
        r = ROTATIONS[i % 8]
        x = x + y
        y = ((y << jnp.uint32(r)) | (y >> jnp.uint32(32 - r))) ^ x
        if i % 4 == 3:
            s = i // 4 + 1
            x = x + schedule[s % 3]
            y = y + schedule[(s + 1) % 3] + jnp.uint32(s)
    return x, y


def integers(key: Key, shape: tuple[int, ...], bits: int) -> Array:
    """Return independent uniform integers of 8, 16 or 32 bits, cut from words of 32."""
    *rows, d = shape or (1,)
    pairs = math.ceil(d * bits / 64)
    seed = jax.random.bits(key, (2,), jnp.uint32)  # whatever the kind of the key
    low, high = _counters((*rows, pairs))
    # Words are made once: fused into what cuts them, each part would make them again.
    halves = jax.lax.optimization_barrier(threefry((seed[0], seed[1]), (high, low)))
    words = jnp.concatenate(halves, axis=-1)
    if bits < 32:
        kind: Any = jnp.dtype(f"uint{bits}")
        words = jax.lax.bitcast_convert_type(words, kind)
    return words.reshape(*rows, pairs * (64 // bits))[..., :d].reshape(shape)


def _counters(shape: tuple[int, ...]) -> tuple[Array, Array]:
    """(low, high) words of the number of each entry, axis by axis, so that axes may be sharded."""
    low = jnp.zeros(shape, jnp.uint32)
    size = 1
    for axis in reversed(range(len(shape))):
        low = low + jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(size)
        size *= max(shape[axis], 1)
    if size > 2**32:
        raise ValueError(f"at most 2^38 random bits in a call: got {64 * size}")
    return low, jnp.zeros(shape, jnp.uint32)
