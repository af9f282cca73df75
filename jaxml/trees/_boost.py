"""The rounds of boosting: a tree on the derivatives at the scores so far, and the best of them.

    z <- z + learning_rate w_leaf,    w = -G/(H + l2) in a leaf;    see _newton

Each round draws its rows and features anew. Given rows for validation, the round of their least
mean loss is the last that is kept.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Bool, Column, Float, Int, Key, Rows, Scalar
from jaxml.trees import _ensemble, _grow, _newton
from jaxml.trees._bins import Bins
from jaxml.trees._histogram import by_node
from jaxml.trees._inputs import Options, Validation
from jaxml.trees._split import Criterion

__all__ = ["Rounds", "drift", "kept", "run"]

SAMPLE = 256  # rows whose scores are worked out twice


class Rounds(NamedTuple):
    """The trees of T rounds for k outputs, their leaves already times the learning rate."""

    tree: _grow.Tree  # with leading axes (T, k)
    value: Float[Array, "T k m"]
    z: Float[Array, "n k"]  # scores of the rows after the last round
    kept: Int[Array, ""]  # rounds up to the best, T without validation
    best: Float[Array, "n k"]  # scores after that round


class _State(NamedTuple):
    at: Int[Array, ""]
    tree: _grow.Tree
    value: Array
    z: Array
    best: Array  # scores of the best round
    kept: Int[Array, ""]
    z_val: Array
    lowest: Scalar  # validation loss of the best round


def run(
    bins: Bins,
    y: Array,
    s: Column,
    base: Float[Array, " k"],
    options: Options,
    key: Key | None,
    validation: Validation | None,
    *,
    loss: _newton.Loss,
    n_estimators: int,
    max_depth: int,
    patience: int | None,
) -> Rounds:
    """All rounds in one loop, each of k trees; see Rounds."""
    (d, n), k, m = bins.codes.shape, len(base), 2 ** (max_depth + 1) - 1
    rate, l2 = options.learning_rate, options.l2
    criterion = Criterion(
        lambda L, R: _newton.split_gain(L[0], L[1], R[0], R[1], l2),  # of sums (G, H, rows)
        lambda sums: sums[1],
    )

    def one_tree(g: Array, h: Array, here: Array, features: Array | None) -> tuple:
        u = jnp.stack([g, h, here.astype(g.dtype)], axis=1)
        floor = jnp.maximum(options.min_split_gain, _newton.least_gain(g, h, l2))
        tree, leaf = _grow.grow(
            bins, u, criterion, max_depth=max_depth, features=features, missing=True,
            min_gain=floor, min_mass=options.min_child_weight,
        )  # fmt: skip
        G, H = by_node(leaf, u[:, :2], m).T
        value = rate * _newton.leaf_weight(G, H, l2)
        return tree, value, value[leaf]

    def one_round(state: _State) -> _State:
        here, features = _drawn(key, state.at, s > 0, d, options)
        g, h = _newton.derivatives(loss, state.z, y)
        part = jnp.where(here, s, 0.0)[:, None]
        g, h = (jnp.where(here[:, None], part * a, 0.0) for a in (g, h))
        grown, value, moves = jax.lax.map(
            lambda gh: one_tree(gh[0], gh[1], here, features), (g.T, h.T)
        )
        keep = partial(jax.tree.map, lambda a, b: a.at[state.at].set(b))
        state = state._replace(
            at=state.at + 1,
            tree=keep(state.tree, grown),
            value=state.value.at[state.at].set(value),
            z=state.z + moves.T,
        )
        if validation is None:
            return state._replace(kept=state.at)
        z_val = state.z_val + _ensemble.of_round(grown, value, validation.X)
        J = _newton.mean_loss(loss, z_val, validation.y, jnp.ones(len(z_val), z_val.dtype))
        better = state.lowest > J
        return state._replace(
            z_val=z_val,
            lowest=jnp.where(better, J, state.lowest),
            kept=jnp.where(better, state.at, state.kept),
            best=jnp.where(better, state.z, state.best),
        )

    def going(state: _State) -> Array:
        more = state.at < n_estimators
        return more if patience is None else more & (state.at - state.kept < patience)

    z = jnp.broadcast_to(base[None, :], (n, k))
    z_val = jnp.zeros((0, k), s.dtype)
    lowest = jnp.asarray(jnp.inf, s.dtype)
    if validation is not None:
        z_val = jnp.broadcast_to(base[None, :], (len(validation.X), k))
        lowest = _newton.mean_loss(loss, z_val, validation.y, jnp.ones(len(z_val), s.dtype))
    T = (n_estimators, k, m)
    tree = _grow.Tree(
        jnp.full(T, -1, jnp.int32), jnp.zeros(T, s.dtype), jnp.zeros(T, bool), jnp.zeros(T, s.dtype)
    )
    kept = z if validation is not None else jnp.zeros((0, k), s.dtype)
    start = _State(jnp.int32(0), tree, jnp.zeros(T, s.dtype), z, kept, jnp.int32(0), z_val, lowest)
    end = jax.lax.while_loop(going, one_round, start)
    best = end.z if validation is None else end.best
    return Rounds(end.tree, end.value, end.z, end.kept, best)


def _drawn(
    key: Key | None, at: Array, there: Bool[Array, " n"], d: int, options: Options
) -> tuple[Bool[Array, " n"], Bool[Array, " d"] | None]:
    """The rows, of those there, and the features that round `at` sees; None is all features."""
    features = None
    if key is not None:
        rows, columns = jax.random.split(jax.random.fold_in(key, at))
        if options.subsample is not None:
            there = there & (jax.random.uniform(rows, there.shape) < options.subsample)
        if options.colsample is not None:
            rank = jnp.argsort(jnp.argsort(jax.random.uniform(columns, (d,))))
            features = rank < jnp.maximum(jnp.round(options.colsample * d), 1)
    return there, features


def kept(rounds: Rounds) -> tuple[_grow.Tree, Float[Array, "T k m"]]:
    """The trees up to the best round, and their leaves; those after it are leaves of 0."""
    kept = (jnp.arange(len(rounds.value)) < rounds.kept)[:, None, None]
    tree = rounds.tree._replace(
        feature=jnp.where(kept, rounds.tree.feature, -1),
        gain=jnp.where(kept, rounds.tree.gain, 0.0),
    )
    return tree, jnp.where(kept, rounds.value, 0.0)


def drift(rounds: Rounds, base: Float[Array, " k"], X: Rows) -> Scalar:
    """The largest difference between z and what the trees say, relative to the largest score."""
    some = slice(None, None, -(-X.shape[0] // SAMPLE))
    again = _ensemble.scores(base, *rounds.tree[:3], rounds.value, X[some])
    apart = jnp.max(jnp.abs(again - rounds.z[some]))
    return apart / jnp.maximum(jnp.max(jnp.abs(again)), 1e-30)
