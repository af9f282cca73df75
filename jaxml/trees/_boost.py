"""The rounds of boosting: derivatives of any loss, the best constant, and a tree on each gradient.

    g_i = dl/dz (z_i, y_i),    h_i = d2l/dz2 (z_i, y_i),    z <- z + learning_rate w_leaf
    gain(L, R) = 1/2 [G_L^2/(H_L + l2) + G_R^2/(H_R + l2) - G^2/(H + l2)],    w = -G/(H + l2)
               = 1/2 [(G_L B - G_R A)^2 / (A B (A + B)) - l2 G^2 / ((A + B)(H + l2))]

with sums G of s_i g_i and H of s_i h_i, A = H_L + l2 and B = H_R + l2. The second form does not
cancel where both sides want the same.

Reference: Chen, Guestrin (2016), XGBoost, eq. (5) and (7).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml._numerics import total
from jaxml._typing import Array, Column, Float, Int, Key, Rows, Scalar
from jaxml.trees import _grow
from jaxml.trees._bins import Bins
from jaxml.trees._histogram import by_node

__all__ = ["Options", "Rounds", "Validation", "constant", "derivatives", "gain", "run", "weight"]

Loss = Callable[[Any, Any], Scalar]  # (z, y) -> loss of one row; z () or (k,)
NEWTON = 40  # steps towards the best constant; halving ones for several outputs


class Options(NamedTuple):
    """Real hyperparameters, traced."""

    learning_rate: Scalar
    l2: Scalar
    min_split_gain: Scalar
    min_child_weight: Scalar
    subsample: Scalar | None  # None is 1: no row is left out
    colsample: Scalar | None


class Validation(NamedTuple):
    """Rows that tell when to stop."""

    X: Rows
    y: Array


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


def _guarded(a: Array, b: Array) -> Array:
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1.0), 0.0)


def weight(G: Array, H: Array, l2: Array) -> Array:
    """-G / (H + l2), 0 where there is no curvature."""
    return _guarded(-G, H + l2)


def gain(L: Array, R: Array, l2: Array) -> Array:
    """The gain of a split from the sums (G, H, ...) of its sides."""
    (G_L, H_L), (G_R, H_R) = L[:2], R[:2]
    A, B, G, H = H_L + l2, H_R + l2, G_L + G_R, H_L + H_R
    apart = _guarded((G_L * B - G_R * A) ** 2, A * B * (A + B))
    return 0.5 * (apart - _guarded(l2 * G**2, (A + B) * (H + l2)))


def derivatives(
    loss: Loss, z: Float[Array, "n k"], y: Array
) -> tuple[Float[Array, "n k"], Float[Array, "n k"]]:
    """First derivatives of the loss of each row, and second ones of each output by itself.

    Where a row has a slope but no positive curvature, it gets the largest one of all rows, or 1.
    """
    k = z.shape[1]

    def slope(z: Array, y: Array) -> Array:
        return jax.grad(lambda z: loss(z if k > 1 else z[0], y))(z)

    def curvature(z: Array, y: Array) -> Array:
        def along(c: Array) -> Array:
            e = (jnp.arange(k) == c).astype(z.dtype)
            return jax.jvp(lambda z: slope(z, y), (z,), (e,))[1] @ e

        return jax.vmap(along)(jnp.arange(k))

    g, h = jax.vmap(slope)(z, y), jax.vmap(curvature)(z, y)
    most = jnp.max(h)
    bound = jnp.where(most > 0, most, 1.0)
    return g, jnp.where(h > 0, h, jnp.where(g != 0, bound, 0.0))


def mean_loss(loss: Loss, z: Float[Array, "n k"], y: Array, s: Column) -> Scalar:
    """1/S sum_i s_i l(z_i, y_i)."""
    each = jax.vmap(loss)(z if z.shape[1] > 1 else z[:, 0], y)
    return total(jnp.where(s > 0, s * each, 0.0)) / total(s)


def constant(loss: Loss, y: Array, s: Column, k: int) -> Float[Array, " k"]:
    """The scores b, the same for all rows, of least loss: Newton's steps, halved where they fail.

    Where the least is at infinity (one class only) b stops after 40 steps.
    """

    def at(b: Array) -> Array:
        return jnp.broadcast_to(b[None, :], (len(y), k))

    def step(_: Array, state: tuple) -> tuple:
        b, J, size = state
        g, h = derivatives(loss, at(b), y)
        G, H = (jax.vmap(total, 1)(jnp.where(s[:, None] > 0, s[:, None] * a, 0.0)) for a in (g, h))
        new = b + size * weight(G, H, jnp.zeros((), s.dtype))
        J_new = mean_loss(loss, at(new), y, s)
        # Outputs that compensate each other overshoot twofold: the halved step is Newton's for two.
        better = J_new <= J + 4 * jnp.finfo(s.dtype).eps * jnp.abs(J)
        return (
            jnp.where(better, new, b),
            jnp.where(better, J_new, J),
            jnp.where(better, size, size / 2),
        )

    zero = jnp.zeros(k, s.dtype)
    size = jnp.asarray(1.0 if k == 1 else 0.5, s.dtype)
    return jax.lax.fori_loop(0, NEWTON, step, (zero, mean_loss(loss, at(zero), y, s), size))[0]


def run(
    bins: Bins,
    y: Array,
    s: Column,
    base: Float[Array, " k"],
    options: Options,
    key: Key | None,
    validation: Validation | None,
    *,
    loss: Loss,
    n_estimators: int,
    max_depth: int,
    patience: int | None,
) -> Rounds:
    """All rounds in one loop, each of k trees; see Rounds."""
    (d, n), k, m = bins.codes.shape, len(base), 2 ** (max_depth + 1) - 1
    rate, l2 = options.learning_rate, options.l2
    criterion = _grow.Criterion(partial(gain, l2=l2), lambda sums: sums[1])

    def one_tree(g: Array, h: Array, here: Array, features: Array | None) -> tuple:
        u = jnp.stack([g, h, here.astype(g.dtype)], axis=1)
        floor = (32 * jnp.finfo(g.dtype).eps) ** 2
        floor = floor * _guarded(jnp.sum(jnp.abs(g)) ** 2, jnp.sum(h) + l2)
        tree, leaf = _grow.grow(
            bins, u, criterion, max_depth=max_depth, features=features, missing=True,
            min_gain=jnp.maximum(options.min_split_gain, floor), min_mass=options.min_child_weight,
        )  # fmt: skip
        G, H = by_node(leaf, u[:, :2], m).T
        value = rate * weight(G, H, l2)
        return tree, value, value[leaf]

    def one_round(state: _State) -> _State:
        here, features = s > 0, None
        if key is not None:
            rows, columns = jax.random.split(jax.random.fold_in(key, state.at))
            if options.subsample is not None:
                here = here & (jax.random.uniform(rows, (n,)) < options.subsample)
            if options.colsample is not None:
                rank = jnp.argsort(jnp.argsort(jax.random.uniform(columns, (d,))))
                features = rank < jnp.maximum(jnp.round(options.colsample * d), 1)
        g, h = derivatives(loss, state.z, y)
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
        z_val = state.z_val + sum_of_trees(grown, value, validation.X)
        J = mean_loss(loss, z_val, validation.y, jnp.ones(len(z_val), z_val.dtype))
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
        lowest = mean_loss(loss, z_val, validation.y, jnp.ones(len(z_val), s.dtype))
    T = (n_estimators, k, m)
    tree = _grow.Tree(
        jnp.full(T, -1, jnp.int32), jnp.zeros(T, s.dtype), jnp.zeros(T, bool), jnp.zeros(T, s.dtype)
    )
    kept = z if validation is not None else jnp.zeros((0, k), s.dtype)
    start = _State(jnp.int32(0), tree, jnp.zeros(T, s.dtype), z, kept, jnp.int32(0), z_val, lowest)
    end = jax.lax.while_loop(going, one_round, start)
    best = end.z if validation is None else end.best
    return Rounds(end.tree, end.value, end.z, end.kept, best)


def sum_of_trees(tree: _grow.Tree, value: Float[Array, "k m"], X: Rows) -> Float[Array, "n k"]:
    """What the k trees of one round add to the scores of rows."""

    def one(tree_value: tuple) -> Array:
        tree, value = tree_value
        return value[_grow.leaves(tree, X)]

    return jax.lax.map(one, (tree, value)).T
