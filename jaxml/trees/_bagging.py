"""The trees of a forest one after the other, and what they predict for rows they have not seen.

Memory is that of growing one tree, and of the heaps: predictions are added up on the way.
"""

import math
import numbers
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._lanes import one_at_a_time
from jaxml._sums import total
from jaxml._typing import Array, Column, Int, Key, Scalar
from jaxml.trees import _bootstrap, _criteria, _grow, _leaves
from jaxml.trees._bins import Bins
from jaxml.trees.tree import Params

__all__ = ["Votes", "feature_count", "run"]


class Votes(NamedTuple):
    """What is added up over the trees."""

    all: Array  # predictions of each row less a, (n,) or (n, k)
    unseen: Array  # of the trees that have not seen it
    others: Int[Array, " n"]  # how many these are
    residual: Scalar  # the largest share by which the decreases of a tree miss what it lowered


def feature_count(max_features: Any, d: int) -> int:
    """How many of d features a node looks at."""
    if max_features is None:
        return d
    if isinstance(max_features, str):
        how = _check.choice("max_features", max_features, ("sqrt", "log2"))
        return max(1, math.isqrt(d) if how == "sqrt" else int(math.log2(d)))
    number = isinstance(max_features, numbers.Real) and not isinstance(max_features, bool)
    if number and isinstance(max_features, numbers.Integral):
        if not 1 <= int(max_features) <= d:
            raise ValueError(f"max_features must lie in 1..{d} if an integer: got {max_features}")
        return int(max_features)
    if number and 0 < float(max_features) <= 1:
        return max(1, int(float(max_features) * d))
    raise ValueError(
        'max_features must be "sqrt", "log2", a number, a share in (0, 1] or None: '
        f"got {max_features!r}"
    )


def run(
    bins: Bins,
    y: Array,
    s: Column,
    keys: Key,
    least: Scalar,
    decrease: Scalar,
    *,
    criterion: str,
    n_classes: int | None,
    max_depth: int,
    max_features: int,
    bootstrap: bool,
) -> tuple[Params, Votes, Scalar]:
    """Grow a tree for each pair of keys (B, 2): one for its bootstrap, one for its features.

    Returns:
      The trees, their votes, and a, about which these are summed: of equal targets exactly these.
    """
    d, n = bins.codes.shape
    middle = jnp.zeros((), s.dtype) if n_classes else _criteria.target_statistics(y, s)[1]

    @one_at_a_time
    def grown(codes: Array, thresholds: Array, u: Array, W: Scalar, least: Scalar,
              decrease: Scalar, key: Key) -> _grow.Grown:  # fmt: skip
        return _grow.grow(
            Bins(codes, thresholds), u, _criteria.CRITERIA[criterion], max_depth=max_depth,
            min_gain=jnp.maximum(decrease * W, _criteria.least_gain(u, criterion)),
            min_mass=jnp.where(least > 1, least, 0.0), max_features=max_features, key=key,
        )  # fmt: skip

    def one(votes: Votes, keys: Key) -> tuple[Votes, Params]:
        draw, look = keys
        c = _bootstrap.counts(draw, s) if bootstrap else jnp.ones(n, jnp.int32)
        w = s * c
        W = total(w)
        u, a = _criteria.statistics(y, w, n_classes)
        fixed = jax.lax.stop_gradient((*bins, u, W, least, decrease))
        found = grown(*fixed, look)
        leaves = _leaves.of(found, y, w, u, a, W, d, criterion)
        own = leaves.value[found.leaf] - middle
        unseen = (c == 0).reshape(-1, *[1] * (own.ndim - 1))
        votes = Votes(
            votes.all + own,
            votes.unseen + jnp.where(unseen, own, 0.0),
            votes.others + (c == 0),
            jnp.maximum(votes.residual, leaves.missed),
        )
        tree = found.tree
        return votes, Params(tree.feature, tree.threshold, leaves.value, leaves.decrease)

    none = jnp.zeros((n,) if n_classes is None else (n, n_classes), s.dtype)
    start = Votes(none, none, jnp.zeros(n, jnp.int32), jnp.zeros((), s.dtype))
    votes, trees = jax.lax.scan(one, start, keys)
    return trees, votes, middle
