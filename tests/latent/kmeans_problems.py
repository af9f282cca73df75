"""Rows for the tests of k-means, and its objective and its residual in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml.latent import _lloyd
from jaxml.latent.kmeans import Params
from tests.fits import code

__all__ = ["code", "data", "inertia", "jitted_step", "shift", "start"]


def data(n=30, d=2, *, dtype="float64", seed=0):
    """Rows about three places, and weights."""
    rng = np.random.default_rng([seed, n, d])
    X = rng.normal(size=(n, d)) + 2.0 * rng.integers(0, 3, size=(n, 1))
    return X.astype(dtype), rng.uniform(0.5, 2.0, n).astype(dtype)


def inertia(X, C, s=None):
    """J by a plain sum over all distances."""
    D = ((np.asarray(X, float)[:, None] - np.asarray(C, float)[None]) ** 2).sum(2).min(1)
    return float(D.sum() if s is None else s.astype(float) @ D)


def shift(X, C, s):
    """The residual of the docstring, in float64 NumPy."""
    X, C, s = (np.asarray(a, float) for a in (X, C, s))
    labels = ((X[:, None] - C[None]) ** 2).sum(2).argmin(1)
    moved = C.copy()
    for j in set(labels[s > 0]):
        moved[j] = np.average(X[labels == j], axis=0, weights=s[labels == j])
    p = s / s.sum()
    v = (p @ (X - p @ X) ** 2).mean()
    return float(((moved - C) ** 2).sum() / v) if v else 0.0


def start(X, k):
    """The first k rows."""
    return Params(jnp.asarray(X[:k]))


jitted_step = jax.jit(_lloyd.step)
