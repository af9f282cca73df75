"""Grow one tree level by level, for any criterion that is a function of sums over a node's rows.

    split (j, t) of node v: rows with x_j <= t go left, to node 2v + 1, the others to 2v + 2
    gain(L, R),    L = sum_{i left} u_i,    R = sum_{i right} u_i,    u_i the statistics of row i

Each node takes the split of the largest gain; of equal ones the lowest feature, then the lowest
threshold. It stays a leaf if no gain exceeds min_gain or max_depth is reached. The nodes of a level
that may still be split have slots, at most n/2 of them, so that deep trees cost no more than rows.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Bool, Float, Int, Key, Rows, Scalar
from jaxml.trees._bins import Bins
from jaxml.trees._sampling import best_of, best_of_some, random_order
from jaxml.trees._split import SLOTS, Best, Criterion, of_each, of_feature

__all__ = ["Grown", "Tree", "depth", "grow", "leaves"]

LARGEST = 2**28  # numbers in the histograms of a feature: 1 GB in float32
SMALL = 2**16  # numbers that leave room in cache for others


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
        one can be split there; None is all.
      key: For max_features.

    Raises:
      ValueError: The tree, or the histograms of a feature, would be larger than 2^28 numbers.
    """
    (d, n), m = bins.codes.shape, 2 ** (max_depth + 1) - 1
    n_bins, n_slots = bins.thresholds.shape[1] + 1, min(2 ** max(max_depth - 1, 0), max(n // 2, 1))
    n_slots = n_slots if n_slots <= SLOTS else -(-n_slots // SLOTS) * SLOTS
    size = n_bins * (n_slots + 1) * u.shape[1]
    if max(size, m) > LARGEST:
        raise ValueError(
            f"max_depth={max_depth} needs a tree of {m} nodes and {n_slots} histograms of {n_bins} "
            f"bins, more than {LARGEST} numbers: lower max_depth or n_bins"
        )

    def going(level: _Level) -> Array:
        return (level.depth < max_depth) & (level.node < m).any()

    def descend(level: _Level) -> _Level:
        def one(code: Array) -> Best:
            return of_feature(
                code, level.slot, u, criterion, min_mass, n_slots=n_slots, n_bins=n_bins,
                used=jnp.sum(level.node < m), missing=missing,
            )  # fmt: skip

        usable = jnp.ones((d, n_slots), bool)
        if features is not None:
            usable = usable & features[:, None]
        if key is None or max_features is None or max_features >= d:
            # Histograms stay in cache; those of two features, where they do, keep two cores busy.
            together = 2 if size <= SMALL else 1
            feature, best = best_of(of_each(one, bins.codes, together=together), usable)
        else:
            order = random_order(level.node, usable, key)
            open_ = level.node < m
            feature, best = best_of_some(order, max_features, open_, level.slot, bins.codes, one)
        return _divide(level, feature, best, bins, min_gain, missing)

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


def _divide(
    level: _Level,
    feature: Int[Array, " S"],
    best: Best,
    bins: Bins,
    min_gain: Scalar,
    missing: bool,
) -> _Level:
    """Write the splits down, send the rows on, and give slots to the nodes that may be split."""
    m, n_slots, n = len(level.tree.feature), len(level.node), len(level.slot)
    n_bins = bins.thresholds.shape[1] + 1
    split = (level.node < m) & (best.gain > min_gain)
    at = jnp.where(split, level.node, m)
    # All values against NaN have no threshold: the largest number parts them as well as inf.
    threshold = jnp.minimum(
        bins.thresholds[feature, best.code], jnp.finfo(bins.thresholds.dtype).max
    )
    found = Tree(feature, threshold, best.missing_left, best.gain)
    tree = jax.tree.map(lambda a, b: a.at[at].set(b, mode="drop"), level.tree, found)
    # Slots of the children, in the order of the nodes; one that cannot be split gets none.
    open_ = (split[:, None] & (best.rows >= 2)).reshape(-1)
    rank = jnp.where(open_, jnp.cumsum(open_) - 1, n_slots)
    children = (2 * level.node[:, None] + jnp.array([1, 2], jnp.int32)[None, :]).reshape(-1)
    node = jnp.full(n_slots, m, jnp.int32).at[rank].set(children, mode="drop")
    # Rows: those in no slot see an extra one, which is never split. Its rule is one number, split |
    # side | code, to be looked up once; the barrier keeps XLA from working it out for each row.
    rule = split << 9 | best.missing_left << 8 | best.code
    feature, rule = jnp.pad(feature, (0, 1)), jnp.pad(rule, (0, 1))
    rank = jnp.pad(rank, (0, 2), constant_values=n_slots).astype(jnp.int32)
    feature, rule, rank = jax.lax.optimization_barrier((feature, rule, rank))
    v = level.slot
    asked = _at(rule, v)
    own = _at(bins.codes.reshape(-1), _at(feature, v) * n + jnp.arange(n)).astype(jnp.int32)
    right = own > (asked & 255)
    if missing:
        right = jnp.where(own == n_bins - 1, (asked & 256) == 0, right)
    leaf = jnp.where((asked & 512) > 0, 2 * level.leaf + 1 + right, level.leaf)
    return _Level(level.depth + 1, tree, leaf, _at(rank, 2 * v + right), node)


def _at(table: Array, i: Int[Array, " n"]) -> Array:
    return table.at[i].get(mode="promise_in_bounds")


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
