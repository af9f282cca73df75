"""The best split of a node by one feature, from running sums over its bins.

    max over t of gain(L, R),    L = sum_{x <= t} u_i,    R = sum_{x > t} u_i

u_i are the statistics of row i, of which the criterion is a function; rows that miss the feature
are tried on both sides. Nodes are slots here: 0, 1, ... of the nodes that a level may split.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Bool, Float, Int, Scalar
from jaxml.trees._histogram import histogram, running

__all__ = ["SLOTS", "Best", "Criterion", "of_each", "of_feature", "ties"]

Sums = Float[Array, "c ..."]
SLOTS = 8  # searched at a time


class Criterion(NamedTuple):
    """What is maximized. Sums have the statistics in front; the last counts the rows, exactly."""

    gain: Callable[[Sums, Sums], Array]  # (L, R) -> gain, for sides that both have rows
    mass: Callable[[Sums], Array]  # what min_mass bounds from below on both sides


class Best(NamedTuple):
    """The best split of each slot, by one feature or by all."""

    gain: Float[Array, " S"]
    code: Int[Array, " S"]  # rows with a code of at most this go left
    missing_left: Bool[Array, " S"]
    rows: Float[Array, "S 2"]  # how many go left and right


def ties(gain: Array, best: Array) -> Bool[Array, "..."]:
    """Whether a gain is the best but for rounding, which the order of the rows may change."""
    return gain >= best - 32 * jnp.finfo(gain.dtype).eps * jnp.abs(best)


def of_each(search: Callable[[Array], Best], features: Array, *, together: int) -> Best:
    """The best splits by each feature, some of them searched together."""
    d = len(features)

    def some(j: Array) -> tuple[Best, ...]:
        return tuple(search(features[jnp.minimum(j + i, d - 1)]) for i in range(together))

    def in_order(*parts: Array) -> Array:
        return jnp.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:])[:d]

    return jax.tree.map(in_order, *jax.lax.map(some, jnp.arange(0, d, together)))


def of_feature(
    code: Int[Array, " n"],
    slot: Int[Array, " n"],
    u: Float[Array, "n c"],
    criterion: Criterion,
    min_mass: Scalar,
    *,
    n_slots: int,
    n_bins: int,
    used: Int[Array, ""],
    missing: bool,
) -> Best:
    """Return the best split of each slot by one feature, some slots at a time.

    Args:
      code: Codes of the rows.
      slot: Slots of the rows, n_slots for rows in none.
      u: Statistics of the rows.
      criterion: What is maximized.
      min_mass: Of each side.
      n_slots: Static; at most SLOTS, or a multiple of it.
      n_bins: Static.
      used: Slots from here on are empty, and not all are looked at.
      missing: Static; whether the last code is that of NaN.
    """
    # One slot more, for the rows that are in none.
    H = histogram(code, slot, u, n_slots=n_slots + 1, n_bins=n_bins)
    if n_slots <= SLOTS:
        return _search(H[:, :n_slots], criterion, min_mass, missing)

    def some(i: Array, best: Best) -> Best:
        part = jax.lax.dynamic_slice_in_dim(H, i * SLOTS, SLOTS, axis=1)
        found = _search(part, criterion, min_mass, missing)
        put = jax.lax.dynamic_update_slice_in_dim
        return jax.tree.map(lambda a, b: put(a, b, i * SLOTS, axis=0), best, found)

    nothing = Best(
        jnp.full(n_slots, -jnp.inf, u.dtype),
        jnp.zeros(n_slots, jnp.int32),
        jnp.zeros(n_slots, bool),
        jnp.zeros((n_slots, 2), u.dtype),
    )
    return jax.lax.fori_loop(0, (used + SLOTS - 1) // SLOTS, some, nothing)


def _search(
    H: Float[Array, "b S c"], criterion: Criterion, min_mass: Scalar, missing: bool
) -> Best:
    """The best split of each slot, from its histogram."""
    n_bins, n_slots, _ = H.shape
    left = running(H)
    total, left = left[-1], left[:-1]

    def best_of(left: Array) -> tuple[Array, Array]:
        L, R = jnp.moveaxis(left, 2, 0), jnp.moveaxis(total[None] - left, 2, 0)
        fits = (L[-1] > 0) & (R[-1] > 0)
        fits = fits & (criterion.mass(L) >= min_mass) & (criterion.mass(R) >= min_mass)
        gain = jnp.where(fits, criterion.gain(L, R), -jnp.inf)
        best, bins = jnp.max(gain, axis=0), jnp.arange(n_bins - 1, dtype=jnp.int32)
        first = jnp.where(ties(gain, best[None]), bins[:, None], n_bins - 2)
        return best, jnp.min(first, axis=0)  # of equals the lowest

    def none_of(left: Array) -> tuple[Array, Array]:
        return jnp.full(n_slots, -jnp.inf, left.dtype), jnp.zeros(n_slots, jnp.int32)

    def rows(at: Array) -> Array:
        return jnp.take_along_axis(left[..., -1], at[None], axis=0)[0]

    gain, at = best_of(left)  # rows that miss the feature have the last code: they go right
    n_all = total[:, -1]
    if not missing:
        n_left = rows(at)
        to_left = jnp.zeros(n_slots, bool)
    else:
        lost = H[-1]
        some = (lost[:, -1] > 0).any()
        other, there = jax.lax.cond(some, lambda a: best_of(a + lost[None]), none_of, left)
        equal = ties(other, gain) & ties(gain, other)
        to_left = jnp.where(equal, there < at, other > gain)
        gain, at = jnp.maximum(gain, other), jnp.where(to_left, there, at)
        n_left = rows(at) + jnp.where(to_left, lost[:, -1], 0)
        # Where no row is missing, later ones go with the majority.
        to_left = jnp.where(lost[:, -1] > 0, to_left, 2 * n_left >= n_all)
    return Best(gain, at, to_left, jnp.stack([n_left, n_all - n_left], axis=-1))
