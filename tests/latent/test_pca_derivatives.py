"""Derivatives of PCA against finite differences of refits, where they exist."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.latent import pca
from tests.latent.pca_problems import SHAPES, fit, host, problem

H = 1e-4


def _difference(f, at):
    return jax.tree.map(
        lambda a, b, c, e: (a - 8 * b + 8 * c - e) / (12 * H),
        *(f(at + t * H) for t in (-2.0, -1.0, 1.0, 2.0)),
    )


@pytest.mark.parametrize(
    ("method", "n", "d", "k"),
    [
        ("covariance", *SHAPES[0]),
        ("covariance", *SHAPES[1]),
        ("randomized", *SHAPES[0]),
        ("statistics", *SHAPES[0]),
    ],
)
def test_derivatives_against_refits(method, n, d, k):
    """Of every parameter where eigenvalues are apart: vectors, variances, mean, noise."""
    X, s = problem(n, d, seed=6)
    rng = np.random.default_rng(8)
    dX, ds = rng.normal(size=X.shape), 0.3 * rng.normal(size=n)

    @jax.jit
    def along(t):
        found = fit(X + t * dX, k, method, sample_weight=s + t * ds, tol=1e-13)
        return found.params, found.info.objective, pca.log_likelihood(found.params, X).sum()

    want = _difference(along, 0.0)
    _, got = jax.jvp(along, (0.0,), (1.0,))
    for a, b in zip(host(got), host(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * max(np.abs(b).max(), 1e-3))
    u = jax.tree.map(lambda leaf: np.cos(1.0 + np.arange(leaf.size)).reshape(leaf.shape), got)
    (pulled,) = jax.vjp(along, 0.0)[1](u)
    inner = sum(np.sum(a * b) for a, b in zip(host(u), host(got), strict=True))
    np.testing.assert_allclose(pulled, inner, rtol=1e-9)


@pytest.mark.parametrize("method", ["covariance", "randomized", "statistics"])
def test_the_projector_has_a_derivative_where_eigenvalues_repeat(method):
    rng = np.random.default_rng(9)
    Z = rng.normal(size=(20, 5))
    X = np.linalg.qr(Z - Z.mean(0))[0] * [3.0, 3.0, 3.0, 1.0, 1.0]
    dX = rng.normal(size=X.shape)

    @jax.jit
    def projector(t):
        V = fit(X + t * dX, 3, method, tol=1e-13).params.components
        return V.T @ V

    want = _difference(projector, 0.0)
    np.testing.assert_allclose(jax.jacfwd(projector)(0.0), want, atol=1e-6)
    np.testing.assert_allclose(jax.jacrev(projector)(0.0), want, atol=1e-6)
    plain = jax.jacfwd(lambda t: jnp.linalg.eigh((X + t * dX).T @ (X + t * dX))[1][:, 2:])(0.0)
    assert not np.isfinite(plain).all() or np.abs(plain).max() > 1e6  # what the rule is for
