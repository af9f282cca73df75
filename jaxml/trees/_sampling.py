"""Nodes that look at a few features each, drawn at random, as the trees of a forest do.

A node takes the first q features of a random order of its own. If none of them can be split there,
as all rows of the node have one value, it goes on until one can, so that a node becomes a leaf only
where all its rows are alike; this one is then its feature. Rows bring along the codes of what their
node looks at: d / q times less to add up than with all features.

Reference: Breiman (2001), Random forests, section 4.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Bool, Int, Key
from jaxml.trees._split import Best, ties

__all__ = ["best_of", "best_of_some", "random_order"]


def random_order(node: Int[Array, " S"], usable: Bool[Array, "d S"], key: Key) -> Int[Array, "d S"]:
    """The features in the order of each node, followed by d where they are not usable."""
    # Drawn by node, not by slot: what a node looks at depends on nothing else.
    d = len(usable)
    draw = jax.vmap(lambda v: jax.random.uniform(jax.random.fold_in(key, v), (d,)), out_axes=1)(
        node
    )
    order = jnp.argsort(jnp.where(usable, draw, 2.0), axis=0)
    counted = jnp.arange(d)[:, None] < jnp.sum(usable, axis=0)[None, :]
    return jnp.where(counted, order, d).astype(jnp.int32)


def best_of(each: Best, allowed: Bool[Array, "d S"]) -> tuple[Int[Array, " S"], Best]:
    """Return the best of some features, of equals the first, and its split; each has (d, S)."""
    gain = jnp.where(allowed, each.gain, -jnp.inf)
    at = jnp.argmax(ties(gain, jnp.max(gain, axis=0)[None]), axis=0).astype(jnp.int32)
    return at, jax.tree.map(lambda a: a[at, jnp.arange(len(at))], each._replace(gain=gain))


def best_of_some(
    order: Int[Array, "d S"],
    q: int,
    open_: Bool[Array, " S"],
    slot: Int[Array, " n"],
    codes: Int[Array, "d n"],
    search: Callable[[Int[Array, " n"]], Best],
) -> tuple[Int[Array, " S"], Best]:
    """Return the feature and the best split of each open slot.

    Args:
      order: From random_order.
      q: Static; how many features a node looks at.
      open_: Slots that hold a node.
      slot: Of each row, S if it is in none.
      codes: Of all features.
      search: The best split of each slot by one feature, whose codes it is given; a gain of -inf
        where there is none.
    """
    (d, n), n_slots = codes.shape, order.shape[1]
    order = jnp.pad(order, ((0, -d % q), (0, 0)), constant_values=d)
    flat, row = codes.reshape(-1), jnp.arange(n)

    def look(r: Array) -> tuple[Array, Best]:
        own = jax.lax.dynamic_slice_in_dim(order, r * q, q)
        place = jnp.argsort(own, axis=0)  # ascending: of equal gains the lowest feature
        own = jnp.take_along_axis(own, place, axis=0, mode="promise_in_bounds")
        feature = jnp.minimum(own, d - 1)

        def one(of_slot: Array) -> Best:
            of_row = jnp.pad(of_slot, (0, 1))[slot]
            return search(flat.at[of_row * n + row].get(mode="promise_in_bounds"))

        each = jax.lax.map(one, feature)
        splits = (each.gain > -jnp.inf) & (own < d)
        first = jnp.min(jnp.where(splits, place, q), axis=0)
        at, best = best_of(each, splits & ((r == 0) | (place == first[None, :])))
        return feature[at, jnp.arange(n_slots)], best

    def again(state: tuple) -> tuple:
        r, found, stuck = state
        new = look(r)

        def newer(a: Array, b: Array) -> Array:
            return jnp.where(stuck.reshape(-1, *[1] * (a.ndim - 1)), a, b)

        return r + 1, jax.tree.map(newer, new, found), stuck & (new[1].gain == -jnp.inf)

    def going(state: tuple) -> Array:
        return state[2].any() & (state[0] * q < d)

    shapes = jax.eval_shape(look, jnp.int32(0))
    nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
    return jax.lax.while_loop(going, again, (jnp.int32(0), nothing, open_))[1]
