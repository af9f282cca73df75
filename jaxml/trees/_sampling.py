"""Nodes that look at a few features each, drawn at random, as the trees of a forest do.

A node takes the first q features of a random order of its own. If none of them has two values
among the rows of the node, it goes on until one has, so that a node becomes a leaf only where all
its rows are alike; this one is then its feature. Rows bring along the codes of what their node
looks at: d / q times less to add up than with all features.

Reference: Breiman (2001), Random forests, section 4.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Bool, Float, Int, Key

__all__ = ["best_of_some", "random_order"]

Split = TypeVar("Split")  # a tuple of arrays with one entry per slot, its feature among them


def random_order(node: Int[Array, " S"], usable: Bool[Array, "d S"], key: Key) -> Int[Array, "d S"]:
    """The features in the order of each node, followed by d where they are not usable."""
    # Drawn by node, not by slot: what a node looks at depends on nothing else.
    d = len(usable)
    draw = jax.vmap(lambda v: jax.random.uniform(jax.random.fold_in(key, v), d), out_axes=1)(node)
    order = jnp.argsort(jnp.where(usable, draw, 2.0), axis=0)
    counted = jnp.arange(d)[:, None] < jnp.sum(usable, axis=0)[None, :]
    return jnp.where(counted, order, d).astype(jnp.int32)


def best_of_some(
    order: Int[Array, "d S"],
    q: int,
    open_: Bool[Array, " S"],
    slot: Int[Array, " n"],
    codes: Int[Array, "d n"],
    sums: Callable[[Array], Float[Array, "q b S c"]],
    search: Callable[[Array, Array], Split],
) -> Split:
    """Return the best split of each open slot.

    Args:
      order: From random_order.
      q: Static; how many features a node looks at.
      open_: Slots that hold a node.
      slot: Of each row, S if it is in none.
      codes: Of all features.
      sums: The histograms of some features by their codes.
      search: The best split of each slot by histograms, among allowed (q, S) of the features.
    """
    (d, n), n_slots = codes.shape, order.shape[1]
    order = jnp.pad(order, ((0, -d % q), (0, 0)), constant_values=d)

    def look(r: Array) -> tuple[Split, Array]:
        own = jax.lax.dynamic_slice_in_dim(order, r * q, q)
        place = jnp.argsort(own, axis=0)  # ascending: of equal gains the lowest feature
        own = jnp.take_along_axis(own, place, axis=0)
        there, own = own < d, jnp.minimum(own, d - 1)
        of_row = jnp.pad(own, ((0, 0), (0, 1)))[:, slot]
        H = sums(codes.reshape(-1)[of_row * n + jnp.arange(n)[None, :]])
        several = (jnp.sum(H[..., -1] > 0, axis=1) > 1) & there
        first = jnp.min(jnp.where(several, place, q), axis=0)
        found = search(H, several & ((r == 0) | (place == first[None, :])))
        feature = own[found.feature, jnp.arange(n_slots)]
        return found._replace(feature=feature), several.any(axis=0)

    def again(state: tuple) -> tuple:
        r, best, stuck = state
        found, several = look(r)

        def newer(a: Array, b: Array) -> Array:
            return jnp.where(stuck.reshape(-1, *[1] * (a.ndim - 1)), a, b)

        return r + 1, jax.tree.map(newer, found, best), stuck & ~several

    def going(state: tuple) -> Array:
        return state[2].any() & (state[0] * q < d)

    shapes = jax.eval_shape(look, jnp.int32(0))[0]
    nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
    return jax.lax.while_loop(going, again, (jnp.int32(0), nothing, open_))[1]
