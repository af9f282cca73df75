"""Grow one tree level by level, for any criterion that is a function of sums over a node's rows.

    split (j, t) of node v: rows with x_j <= t go left, to node 2v + 1, the others to 2v + 2
    gain(L, R),    L = sum_{i left} u_i,    R = sum_{i right} u_i,    u_i the statistics of row i

Each node takes the split of the largest gain; of equal ones the lowest feature, then the lowest
threshold. It stays a leaf if no gain exceeds min_gain or max_depth is reached. The nodes of a level
that may still be split have slots, at most n/2 of them, so that deep trees cost no more than rows.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Bool, Float, Int, Key, Rows, Scalar
from jaxml.trees._bins import Bins
from jaxml.trees._histogram import histogram
from jaxml.trees._sampling import best_of_some, random_order

__all__ = ["Criterion", "Grown", "Tree", "depth", "grow", "leaves"]

Sums = Float[Array, "c ..."]
LARGEST = 2**29  # numbers in the histograms of a level: 2 GB in float32


class Criterion(NamedTuple):
    """What is maximized. Sums have the statistics in front; the last counts the rows, exactly."""

    gain: Callable[[Sums, Sums], Array]  # (L, R) -> gain, for sides that both have rows
    mass: Callable[[Sums], Array]  # what min_mass bounds from below on both sides


class Tree(NamedTuple):
    """A tree as a heap of m = 2^(depth + 1) - 1 nodes: the children of v are 2v + 1 and 2v + 2."""

    feature: Int[Array, " m"]  # j, -1 at a leaf
    threshold: Float[Array, " m"]  # t; rows with x_j <= t go left
    missing_left: Bool[Array, " m"]  # whether rows without x_j (NaN) go left
    gain: Float[Array, " m"]  # of the split, 0 at a leaf


class Grown(NamedTuple):
    """A tree, and where the rows that it grew on ended."""

    tree: Tree
    leaf: Int[Array, " n"]


class _Level(NamedTuple):
    depth: Int[Array, ""]
    tree: Tree
    leaf: Int[Array, " n"]  # the node of each row
    slot: Int[Array, " n"]  # its slot, S if the node is final
    node: Int[Array, " S"]  # the node of each slot, m if it is empty


class _Split(NamedTuple):
    """The best split of each slot."""

    gain: Float[Array, " S"]
    feature: Int[Array, " S"]
    code: Int[Array, " S"]  # rows with a code of at most this go left
    missing_left: Bool[Array, " S"]
    rows: Float[Array, "S 2"]  # how many go left and right


def depth(max_depth: int, n: int) -> int:
    """The depth that n rows can use of max_depth: each split parts one row at least."""
    return min(max_depth, n - 1)


def grow(
    bins: Bins,
    u: Float[Array, "n c"],
    criterion: Criterion,
    *,
    max_depth: int,
    min_gain: Scalar,
    min_mass: Scalar,
    missing: bool = False,
    features: Bool[Array, " d"] | None = None,
    max_features: int | None = None,
    key: Key | None = None,
) -> Grown:
    """Grow a tree on binned rows; to be called inside a jitted fit.

    Args:
      bins: Codes and thresholds.
      u: Statistics of each row; the last is 1, or 0 for a row of weight 0, where all are 0.
      criterion: Gain and mass as functions of sums of u.
      max_depth: Static; the heap has 2^(max_depth + 1) - 1 nodes.
      min_gain: A split needs more.
      min_mass: Of each side of a split.
      missing: Static; whether the last code is that of NaN, to be sent to the better side.
      features: Which features the tree may use; None is all.
      max_features: Static; how many features, drawn anew, a node looks at, and at more only until
        one has two values among its rows; None is all.
      key: For max_features.

    Raises:
      ValueError: The histograms of a level would be larger than 2^29 numbers.
    """
    (d, n), m = bins.codes.shape, 2 ** (max_depth + 1) - 1
    n_bins, n_slots = bins.thresholds.shape[1] + 1, min(2 ** max(max_depth - 1, 0), max(n // 2, 1))
    if d * n_bins * (n_slots + 1) * u.shape[1] > LARGEST:
        raise ValueError(
            f"max_depth={max_depth} needs {n_slots} histograms of {d} features and {n_bins} bins, "
            f"more than {LARGEST} numbers: lower max_depth or n_bins"
        )

    def going(level: _Level) -> Array:
        return (level.depth < max_depth) & (level.node < m).any()

    usable = jnp.ones((d, n_slots), bool)
    if features is not None:
        usable = usable & features[:, None]

    def descend(level: _Level) -> _Level:
        def sums(codes: Array) -> Array:
            return histogram(codes, level.slot, u, n_slots=n_slots, n_bins=n_bins)

        def search(H: Array, allowed: Array) -> _Split:
            return _search(H, criterion, min_mass, allowed, missing)

        if key is None or max_features is None or max_features >= d:
            best = search(sums(bins.codes), usable)
        else:
            order = random_order(level.node, usable, key)
            best = best_of_some(
                order, max_features, level.node < m, level.slot, bins.codes, sums, search
            )
        return _divide(level, best, bins, min_gain, missing)

    tree = Tree(
        jnp.full(m, -1, jnp.int32),
        jnp.zeros(m, bins.thresholds.dtype),
        jnp.zeros(m, bool),
        jnp.zeros(m, u.dtype),
    )
    top = jnp.zeros(n, jnp.int32)  # where all rows begin; those of weight 0 add nothing
    node = jnp.full(n_slots, m, jnp.int32).at[0].set(0)
    end = jax.lax.while_loop(going, descend, _Level(jnp.int32(0), tree, top, top, node))
    return Grown(end.tree, end.leaf)


def _search(
    H: Float[Array, "d b S c"],
    criterion: Criterion,
    min_mass: Scalar,
    allowed: Bool[Array, "d S"],
    missing: bool,
) -> _Split:
    """The best split of each slot: the bins one by one, all features and slots at once."""
    H = jnp.moveaxis(H, 3, 1)  # (d, c, b, S)
    d, c, n_bins, n_slots = H.shape
    total = jnp.sum(H, axis=2)
    lost = H[:, :, -1] if missing else None

    def score(left: Array) -> Array:
        L, R = jnp.moveaxis(left, 1, 0), jnp.moveaxis(total - left, 1, 0)
        fits = (L[-1] > 0) & (R[-1] > 0)
        fits = fits & (criterion.mass(L) >= min_mass) & (criterion.mass(R) >= min_mass)
        return jnp.where(fits, criterion.gain(L, R), -jnp.inf)

    def one(b: Array, state: tuple) -> tuple:
        left, best, code, to_left = state
        left = left + jax.lax.dynamic_index_in_dim(H, b, axis=2, keepdims=False)
        gain = score(left)
        better = gain > best
        best, code = jnp.where(better, gain, best), jnp.where(better, b, code)
        if lost is not None:
            to_left = to_left & ~better
            gain = score(left + lost)
            better = gain > best
            best, code = jnp.where(better, gain, best), jnp.where(better, b, code)
            to_left = to_left | better
        return left, best, code, to_left

    nowhere = jnp.zeros((d, n_slots), jnp.int32)
    start = (jnp.zeros((d, c, n_slots), H.dtype), nowhere - jnp.inf, nowhere, nowhere > 0)
    start = (start[0], start[1].astype(H.dtype), *start[2:])
    _, best, code, to_left = jax.lax.fori_loop(0, n_bins - 1, one, start)
    best = jnp.where(allowed, best, -jnp.inf)
    j = jnp.argmax(best, axis=0)  # the first of equals

    def at(a: Array) -> Array:
        return jnp.take_along_axis(a, j[None, :], axis=0)[0]

    counts = H[j, -1, :, jnp.arange(n_slots)]  # (S, b)
    left = jnp.arange(n_bins)[None, :] <= at(code)[:, None]
    if missing:
        left = left.at[:, -1].set(at(to_left))
    n_left = jnp.sum(jnp.where(left, counts, 0.0), axis=1)
    n_right = jnp.sum(counts, axis=1) - n_left
    side = at(to_left)
    if missing:  # where no row is missing, later ones go with the majority
        side = jnp.where(counts[:, -1] > 0, side, n_left >= n_right)
    return _Split(
        at(best), j.astype(jnp.int32), at(code), side, jnp.stack([n_left, n_right], axis=1)
    )


def _divide(level: _Level, best: _Split, bins: Bins, min_gain: Scalar, missing: bool) -> _Level:
    """Write the splits down, send the rows on, and give slots to the nodes that may be split."""
    m, n_slots, (d, n) = len(level.tree.feature), len(level.node), bins.codes.shape
    n_bins = bins.thresholds.shape[1] + 1
    split = (level.node < m) & (best.gain > min_gain)
    at = jnp.where(split, level.node, m)
    found = Tree(
        best.feature, bins.thresholds[best.feature, best.code], best.missing_left, best.gain
    )
    tree = jax.tree.map(lambda a, b: a.at[at].set(b, mode="drop"), level.tree, found)
    # Slots of the children, in the order of the nodes; one that cannot be split gets none.
    open_ = (split[:, None] & (best.rows >= 2)).reshape(-1)
    rank = jnp.where(open_, jnp.cumsum(open_) - 1, n_slots)
    children = (2 * level.node[:, None] + jnp.array([1, 2])[None, :]).reshape(-1)
    node = jnp.full(n_slots, m, jnp.int32).at[rank].set(children, mode="drop")
    # Rows: those in no slot see an extra one, which is never split.
    split, feature, code, side = (
        jnp.pad(a, (0, 1)) for a in (split, best.feature, best.code, best.missing_left)
    )
    rank = jnp.pad(rank, (0, 2), constant_values=n_slots).astype(jnp.int32)
    v = level.slot
    own = bins.codes.reshape(-1)[feature[v] * n + jnp.arange(n)].astype(jnp.int32)
    right = own > code[v]
    if missing:
        right = jnp.where(own == n_bins - 1, ~side[v], right)
    leaf = jnp.where(split[v], 2 * level.leaf + 1 + right, level.leaf)
    return _Level(level.depth + 1, tree, leaf, rank[2 * v + right], node)


def leaves(tree: Tree, X: Rows) -> Int[Array, " n"]:
    """The leaf that each row falls into, by its numbers."""
    m = len(tree.feature)
    tiny = jnp.finfo(X.dtype).tiny
    i = jnp.arange(len(X))

    def step(_: Array, v: Array) -> Array:
        j = tree.feature[v]
        x = X[i, jnp.maximum(j, 0)]
        x = jnp.where(jnp.abs(x) < tiny, 0.0, x)
        left = jnp.where(jnp.isnan(x), tree.missing_left[v], x <= tree.threshold[v])
        return jnp.where(j < 0, v, 2 * v + 2 - left)

    return jax.lax.fori_loop(0, (m + 1).bit_length() - 2, step, jnp.zeros(len(X), jnp.int32))
