"""What a grown tree holds: predictions at its leaves, and what its splits brought, by feature.

    p_vc = sum_{i in v} s_i [y_i = c] / W_v,    m_v = sum_{i in v} s_i y_i / W_v
    D_j = 1/W sum of the gains of the splits on x_j,    sum_j D_j = I(root) - I(T)

The last equation certifies a tree: on its left are the sums that chose the splits, on its right
those of the rows in the leaves.

Symbols: v a leaf, W_v the weight of its rows, W that of all; I(T) = sum_v W_v / W I_v the impurity.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._numerics import xlogx
from jaxml._sums import weighted_mean
from jaxml._typing import Array, Bool, Column, Float, Int, Scalar
from jaxml.trees._grow import Grown
from jaxml.trees._histogram import by_node
from jaxml.trees.impurity import spread

__all__ = ["Leaves", "by_feature", "commonest", "importances", "of", "shares", "where_known"]


class Leaves(NamedTuple):
    """What a tree predicts, and the two sides of its certificate."""

    value: Float[Array, "m ..."]  # p (m, k), or m_v (m,)
    decrease: Float[Array, " d"]  # D
    impurity: Scalar  # I(T)
    missed: Scalar  # |I(root) - I(T) - sum_j D_j| / I(root)


def of(
    grown: Grown, y: Array, s: Column, u: Array, a: Scalar | None, W: Scalar, d: int, criterion: str
) -> Leaves:
    """Leaves of a tree grown on the statistics u, about a for targets; see _criteria."""
    tree, leaf = grown
    m = len(tree.feature)
    if a is None:
        value, before, after = shares(leaf, u, W, m, criterion)
    else:
        value, before, after = _means(leaf, y, s, u, a, m)
    decrease = by_feature(tree.feature, tree.gain / jnp.where(W > 0, W, 1.0), d)
    missed = jnp.abs(before - after - jnp.sum(decrease)) / jnp.where(before > 0, before, 1.0)
    return Leaves(value, decrease, after, jax.lax.stop_gradient(missed))


def shares(
    leaf: Array, u: Array, W: Scalar, m: int, criterion: str
) -> tuple[Array, Scalar, Scalar]:
    """Shares of the classes in each leaf, and the impurity of the root and of the tree."""
    sums = by_node(leaf, u[:, :-1], m)

    def impurity(p: Array) -> Array:
        return jnp.sum(p * (1 - p) if criterion == "gini" else -xlogx(p), axis=-1)

    weight = jnp.sum(sums, axis=1)
    p = sums / jnp.where(weight > 0, weight, 1.0)[:, None]
    W = jnp.where(W > 0, W, 1.0)
    return p, impurity(jnp.sum(sums, axis=0) / W), jnp.sum(weight / W * impurity(p))


def _means(
    leaf: Array, y: Column, s: Column, u: Array, a: Scalar, m: int
) -> tuple[Array, Scalar, Scalar]:
    """Mean of each leaf, in two passes, and the variance of the root and within the leaves."""
    weight, sums = by_node(leaf, u[:, :2], m).T
    weight = jnp.where(weight > 0, weight, 1.0)
    first = a + sums / weight
    rest = jnp.where(s > 0, s * (y - first[leaf]), 0.0)
    mean = first + by_node(leaf, rest[:, None], m)[:, 0] / weight
    within = weighted_mean((y - mean[leaf]) ** 2, s)
    return mean, spread(y, s), within


def by_feature(feature: Int[Array, "..."], gain: Float[Array, "..."], d: int) -> Float[Array, " d"]:
    """Sums of the gains of all splits by their feature; those of leaves are 0."""
    return by_node(jnp.maximum(feature, 0).reshape(-1), gain.reshape(-1, 1), d)[:, 0]


def importances(decrease: Float[Array, " d"]) -> Float[Array, " d"]:
    """The shares D_j / sum_j D_j, 0 where nothing was split."""
    whole = jnp.sum(decrease)
    return decrease / jnp.where(whole > 0, whole, 1.0)


def where_known(known: Bool[Array, " n"], value: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
    """The value of the rows that are known, NaN for the others."""
    return jnp.where(known.reshape(-1, *[1] * (value.ndim - 1)), value, jnp.nan)


def commonest(value: Float[Array, "n k"]) -> Int[Array, " n"]:
    """The class of largest value in each row, of equals the lowest; -1 for a row with NaN."""
    known = ~jnp.isnan(value).any(axis=1)
    return jnp.where(known, jnp.argmax(value, axis=1), -1).astype(jnp.int32)
