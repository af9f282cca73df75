"""A problem for the tests of forests, and the parts of a fitted forest in NumPy."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml.trees import _bootstrap, forest

__all__ = [
    "DEPTH", "B", "D", "K", "N", "bags", "each_tree", "fit", "jitted", "key", "leaves", "nodes",
    "problem", "same",
]  # fmt: skip

N, D, K, B, DEPTH, Q = 48, 5, 3, 6, 3, 2  # one shape for most tests: one compilation
SHAPE = {"n_classes": K, "n_estimators": B, "max_depth": DEPTH}


def problem(seed=0, dtype="float64"):
    """Return (X, y, sample_weight): three classes, none of them missing."""
    rng = np.random.default_rng([seed, 9])
    X = rng.standard_normal((N, D))
    y = np.digitize(X[:, 0] * X[:, 1] + 0.4 * rng.standard_normal(N), [-0.3, 0.3])
    y[:K] = np.arange(K)
    return X.astype(dtype), y, rng.uniform(0.5, 2.0, N).astype(dtype)


def fit(X, y, s, key, **other):
    """Fit in the one shape, or others."""
    return forest.fit(X, y, key=key, sample_weight=s, **{**SHAPE, "max_features": Q, **other})


@functools.cache
def jitted() -> Any:
    """The fit, jitted from outside; one object, one cache."""
    return jax.jit(fit)


def key(seed=0):
    """The key of a seed."""
    return jax.random.key(seed)


def leaves(found):
    """The leaves of a tree as NumPy arrays."""
    return [np.asarray(leaf) for leaf in jax.tree.leaves(found)]


def same(a, b):
    """Assert that two trees have equal leaves."""
    for x, y in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def bags(s, seed=0, trees=B):
    """How often each tree has seen each row, (B, n)."""
    keys = jax.random.split(key(seed), (trees, 2))[:, 0]
    return np.array([_bootstrap.counts(k, jnp.asarray(s)) for k in keys])


def nodes(one, X):
    """(node, its rows, whether it is split) of one tree, by its numbers."""
    inside = {0: np.ones(len(X), bool)}
    for v, (j, t) in enumerate(zip(one.feature, one.threshold, strict=True)):
        if v not in inside:
            continue
        yield v, inside[v], j >= 0
        if j >= 0:
            left = X[:, j] <= t
            inside[2 * v + 1], inside[2 * v + 2] = inside[v] & left, inside[v] & ~left


def each_tree(params):
    """The trees of a forest, one by one, in NumPy."""
    host = jax.tree.map(np.asarray, params.trees)
    return [jax.tree.map(lambda leaf, b=b: leaf[b], host) for b in range(len(host.feature))]
