"""Data for the tests of PCA, with every method behind one call."""

import functools

import jax
import numpy as np

from jaxml.latent import pca
from tests.fits import code, host

__all__ = ["METHODS", "SHAPES", "agree", "code", "fit", "host", "jitted", "problem"]

METHODS = ("covariance", "svd", "randomized")
SHAPES = ((30, 5, 2), (8, 12, 3))


def problem(n=30, d=5, *, dtype="float64", seed=0):
    """Return (X, sample_weight) with variances well apart."""
    rng = np.random.default_rng([seed, n, d])
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    X = rng.normal(size=(n, d)) * 3.0 * 0.6 ** np.arange(d) @ turn + rng.normal(size=d)
    return X.astype(dtype), rng.uniform(0.5, 2.0, n).astype(dtype)


def fit(X, k=2, method="covariance", **other):
    """Fit with any method, that of merged statistics among them."""
    if method == "statistics":
        sums = pca.statistics(X, sample_weight=other.pop("sample_weight", None))
        return pca.from_statistics(sums, n_components=k, **other)
    return pca.fit(X, n_components=k, method=method, key=jax.random.key(3), **other)


@functools.cache
def jitted(k, method):
    """The fit of (X, sample_weight), jitted from outside; one object, one cache."""
    return jax.jit(lambda X, s: fit(X, k, method, sample_weight=s))


def agree(got, want, tol):
    """Leaf by leaf, relative to the largest entry of the leaf and at least to 1."""
    for a, b in zip(host(got), host(want), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=tol * max(np.abs(b).max(initial=0), 1.0))
