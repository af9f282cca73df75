"""Bootstraps as integer weights: how often a row is drawn when n are drawn with replacement.

    c ~ multinomial(n, 1/n, ..., 1/n),    E c_i = 1,    P(c_i = 0) = (1 - 1/n)^n, about e^(-1)

n counts the rows of positive weight. Draws are made one by one from a stream that does not depend
on how many there are, and rows are numbered without those of weight 0, so that such a row is a
removed row bit by bit.
"""

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Column, Int, Key

__all__ = ["counts"]


def counts(key: Key, s: Column) -> Int[Array, " n"]:
    """c, 0 where s_i = 0."""
    n = s.shape[0]
    number = jnp.cumsum(s > 0)  # of a row among those of positive weight, from 1
    many = number[-1]
    drawn = _scaled(jax.random.bits(key, (n,), jnp.uint32), many.astype(jnp.uint32))
    times = jnp.zeros(n, jnp.int32).at[drawn].add((jnp.arange(n) < many).astype(jnp.int32))
    return jnp.where(s > 0, times[jnp.maximum(number - 1, 0)], 0)


def _scaled(bits: Array, m: Array) -> Array:
    """floor(bits m / 2^32), uniform on 0..m-1 to m / 2^32; by halves, without 64 bits."""
    high, low, m_high, m_low = bits >> 16, bits & 0xFFFF, m >> 16, m & 0xFFFF
    one, other = low * m_high, high * m_low
    carried = ((low * m_low) >> 16) + (one & 0xFFFF) + (other & 0xFFFF)
    return high * m_high + (one >> 16) + (other >> 16) + (carried >> 16)
