"""What several trees say together of rows that they need not have grown on.

    a forest  f(x) = 1/B sum_b f_b(x),    AdaBoost  F(x) = sum_m alpha_m g_m(x),
    boosting  z(x) = b + sum_t w_t(x),    k trees w_t in round t, one for each score

Each term is the value at the leaf that x falls into. They are added up in the order of the trees,
so that memory is that of one prediction.
"""

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Bool, Float, Int, Rows, Scalar
from jaxml.trees import _grow, _leaves
from jaxml.trees.tree import Params, apply

__all__ = ["mean", "of_round", "scores", "stages", "votes"]


def _value(one: Params, X: Rows) -> Array:
    return one.value[jnp.maximum(apply(one, X), 0)]


@jax.jit
def mean(trees: Params, X: Rows) -> Float[Array, "n ..."]:
    """f(x); NaN for a row with NaN or inf."""
    # About the first tree, so that the mean of equal numbers is that number.
    first = _value(jax.tree.map(lambda leaf: leaf[0], trees), X)

    def add(apart: Array, one: Params) -> tuple[Array, None]:
        return apart + (_value(one, X) - first), None

    f = first + jax.lax.scan(add, jnp.zeros_like(first), trees)[0] / len(trees.value)
    return _leaves.where_known(jnp.isfinite(X).all(axis=1), f)


@jax.jit
def votes(alpha: Float[Array, " m"], trees: Params, X: Rows) -> Float[Array, "n ..."]:
    """F(x); NaN for a row with NaN or inf."""

    def add(F: Array, one: tuple[Scalar, Params]) -> tuple[Array, None]:
        return F + one[0] * _value(one[1], X), None

    F = jax.lax.scan(add, _nothing(trees, X), (alpha, trees))[0]
    return _leaves.where_known(jnp.isfinite(X).all(axis=1), F)


@jax.jit
def stages(alpha: Float[Array, " m"], trees: Params, X: Rows) -> Float[Array, "m n ..."]:
    """F(x) / sum_m alpha_m of the first 1, 2, ..., m trees; 0 where none of them counts."""

    def add(state: tuple[Array, Scalar], one: tuple[Scalar, Params]) -> tuple:
        F, A = state[0] + one[0] * _value(one[1], X), state[1] + one[0]
        mean = F / jnp.where(A > 0, A, 1.0)
        return (F, A), _leaves.where_known(jnp.isfinite(X).all(axis=1), mean)

    start = (_nothing(trees, X), jnp.zeros((), X.dtype))
    return jax.lax.scan(add, start, (alpha, trees))[1]


def _nothing(trees: Params, X: Rows) -> Array:
    return jnp.zeros((X.shape[0], *trees.value.shape[2:]), X.dtype)


@jax.jit
def scores(
    base: Float[Array, " k"],
    feature: Int[Array, "T k m"],
    threshold: Float[Array, "T k m"],
    missing_left: Bool[Array, "T k m"],
    value: Float[Array, "T k m"],
    X: Rows,
) -> Float[Array, "n k"]:
    """z(x), b = base; a NaN in x goes to the side that missing_left says."""

    def add(z: Array, leaves: tuple) -> tuple[Array, None]:
        feature, threshold, missing_left, value = leaves
        trees = _grow.Tree(feature, threshold, missing_left, gain=value)  # gains are not looked at
        return z + of_round(trees, value, X), None

    z = jnp.broadcast_to(base[None, :], (len(X), len(base))).astype(X.dtype)
    return jax.lax.scan(add, z, (feature, threshold, missing_left, value))[0]


def of_round(trees: _grow.Tree, value: Float[Array, "k m"], X: Rows) -> Float[Array, "n k"]:
    """w_t(x) of the k trees of one round."""

    def one(tree_value: tuple) -> Array:
        tree, value = tree_value
        return value[_grow.leaves(tree, X)]

    return jax.lax.map(one, (trees, value)).T
