"""Rows sorted by score and, of equal scores, by label: runs of ties, and pairs counted exactly."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _order
from jaxml._lanes import any_lane
from jaxml._typing import Array, Bool, Column, Int

__all__ = ["Runs", "count_pairs", "runs"]


class Runs(NamedTuple):
    """Where the run of equal scores that a sorted row belongs to begins and ends."""

    first: Int[Array, " n"]
    last: Int[Array, " n"]


def runs(sorted_keys: Array) -> Runs:
    """The runs of equal entries."""
    n = sorted_keys.shape[0]
    new = _begins(sorted_keys)
    index = jnp.arange(n, dtype=jnp.int32)
    first = jax.lax.cummax(jnp.where(new, index, 0))
    ends = jnp.concatenate([new[1:], jnp.ones(1, bool)])
    last = jax.lax.cummin(jnp.where(ends, index, n - 1), reverse=True)
    return Runs(first, last)


def count_pairs(z: Column, label: Int[Array, " n"]) -> tuple[Array, Array]:
    """2 U and 2 n+ n- in the dtype of z; U counts pairs (+, -) with z+ > z-, and half a tie.

    Counted in 64-bit integers, so exact for all n < 2^31 until the result is rounded.
    """
    new, positive = _sorted(z, label)
    with jax.enable_x64(True):
        index = jax.lax.iota(jnp.int32, z.shape[0])
        start = jax.lax.cummax(jnp.where(new, index, 0))
        negatives = jnp.cumsum(1 - positive, dtype=jnp.int32)
        # In a run negatives come first: at a positive row the count holds all that are tied.
        below = jnp.where(start > 0, negatives[jnp.maximum(start - 1, 0)], 0)
        pairs = jnp.where(positive == 1, below.astype(jnp.int64) + negatives, 0)
        n_neg = negatives[-1].astype(jnp.int64)
        both = 2 * n_neg * (z.shape[0] - n_neg)
        return jnp.sum(pairs).astype(z.dtype), both.astype(z.dtype)


def _sorted(z: Column, label: Int[Array, " n"]) -> tuple[Bool[Array, " n"], Int[Array, " n"]]:
    """Rows by (z, label): whether each begins a run of equal z, and its label."""
    k = _order.key(z)

    def split(packed: Array) -> tuple[Array, Array]:
        return _begins(packed >> 1), (packed & 1).astype(jnp.int32)

    with jax.enable_x64(True):
        if k.dtype == jnp.int32:
            return split(jax.lax.sort((k.astype(jnp.int64) << 1) | label.astype(jnp.int64)))
        # A key and a label need 65 bits. Counted from the smallest magnitude but 0, keys lose one
        # or more, unless the scores span 2^1023.
        size = jnp.where(k < 0, -1 - k, k)  # the bits of |z|
        nonzero = size > 0
        least = jnp.min(jnp.where(nonzero, size, jnp.iinfo(k.dtype).max)) - 1
        short = jnp.where(nonzero, size - least, 0)
        fits = jnp.max(short) < 2**62

        def packed(k: Array, short: Array, label: Array) -> tuple[Array, Array]:
            return split(
                jax.lax.sort((jnp.where(k < 0, -short, short) << 1) | label.astype(jnp.int64))
            )

        def gathered(k: Array, short: Array, label: Array) -> tuple[Array, Array]:
            del short
            order = _order.argsort(k, label)
            return _begins(k[order]), label[order]

        return jax.lax.cond(~any_lane(~fits), packed, gathered, k, short, label)


def _begins(sorted_keys: Array) -> Bool[Array, " n"]:
    return jnp.concatenate([jnp.ones(1, bool), sorted_keys[1:] != sorted_keys[:-1]])
