"""PCA against scikit-learn, published deviations and theorems; what must not matter to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from jaxml import Code, datasets
from jaxml._numerics import default_tol
from jaxml.latent import pca
from tests.latent.pca_problems import METHODS, SHAPES, agree, code, fit, jitted, problem


def covariance(X, s):
    X, s = np.asarray(X, float), np.asarray(s, float)
    A = X - (s / s.sum()) @ X
    return (A * s[:, None]).T @ A / (s.sum() - 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
def test_against_sklearn(method, n, d, k):
    X, _ = problem(n, d)
    s = np.random.default_rng(1).integers(1, 3, n)
    theirs = PCA(k, svd_solver="full").fit(np.repeat(X, s, axis=0))
    found = fit(X, k, method, sample_weight=s)
    assert code(found) is Code.CONVERGED
    params = found.params
    signs = np.sign(np.sum(np.asarray(params.components) * theirs.components_, axis=1))
    np.testing.assert_allclose(params.components, signs[:, None] * theirs.components_, atol=1e-9)
    np.testing.assert_allclose(params.explained_variance, theirs.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(
        pca.explained_variance_ratio(params), theirs.explained_variance_ratio_, rtol=1e-10
    )
    Z = pca.transform(params, X)
    np.testing.assert_allclose(Z, signs * theirs.transform(X), atol=1e-8)
    np.testing.assert_allclose(
        pca.inverse_transform(params, Z), theirs.inverse_transform(theirs.transform(X)), atol=1e-8
    )
    theirs.whiten = True
    W = pca.transform(params, X, whiten=True)
    np.testing.assert_allclose(W, signs * theirs.transform(X), atol=1e-8)
    agree(pca.inverse_transform(params, W, whiten=True), pca.inverse_transform(params, Z), 1e-10)
    if n > d:  # elsewhere sigma^2 is divided by min(n, d) - k there
        theirs.whiten = False
        np.testing.assert_allclose(params.noise_variance, theirs.noise_variance_, rtol=1e-10)
        np.testing.assert_allclose(
            pca.log_likelihood(params, X), theirs.score_samples(X), rtol=1e-9
        )


def test_published_deviations():
    """R's prcomp on iris, and the shares printed with it."""
    X = np.asarray(datasets.iris(dtype="float64").X)
    params = fit(X, 4).params
    # The shipped table is Fisher's own; the published figures come from the copy in R.
    want = [2.0562689, 0.4926162, 0.2796596, 0.1543862]
    np.testing.assert_allclose(np.sqrt(params.explained_variance), want, rtol=1e-6)
    np.testing.assert_allclose(
        pca.explained_variance_ratio(params), [0.9246, 0.0531, 0.0171, 0.0052], atol=5e-5
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rank", [2, 5])
def test_identities(method, dtype, rank):
    X, s = problem(dtype=dtype)
    X[:, rank:] = X[:, : 5 - rank] + X[:, 1:2] if rank < 5 else X[:, rank:]
    S = covariance(X, s)
    for k in range(1, rank + 1):
        found = jitted(k, method)(X, s)
        assert code(found) is Code.CONVERGED
        mean, V, values, noise = (np.asarray(leaf, float) for leaf in found.params)
        tol = {"float64": 1e-10, "float32": 1e-4}[dtype]
        np.testing.assert_allclose(V @ V.T, np.eye(k), atol=tol)
        np.testing.assert_allclose(mean, (s / s.sum()) @ X, atol=10 * tol)
        A = np.asarray(X, float) - mean
        lost = (s * ((A - A @ V.T @ V) ** 2).sum(1)).sum() / (s.sum() - 1)
        np.testing.assert_allclose(float(found.info.objective), lost, atol=tol * np.trace(S))
        np.testing.assert_allclose(values.sum() + lost, np.trace(S), rtol=10 * tol)
        assert noise <= values.min()
        assert (np.diff(values) <= 0).all()
        lead = V[np.arange(k), np.abs(V).argmax(1)]
        assert (lead > 0).all()


def test_ties_in_the_sign_rule_go_to_the_lowest_index():
    X = np.outer(np.arange(-3.0, 4.0), [-1.0, 1.0, -1.0])
    for method in METHODS:
        V = np.asarray(fit(X, 1, method).params.components)[0]
        np.testing.assert_allclose(V, np.array([1.0, -1.0, 1.0]) / np.sqrt(3), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_properties(method):
    @given(st.integers(0, 50), st.sampled_from(["float32", "float64"]), st.sampled_from(SHAPES),
           st.integers(-3, 3), st.sampled_from([0.0, 1.0, 100.0]))  # fmt: skip
    def holds(seed, dtype, shape, power, offset):
        n, d, k = shape
        X, _ = problem(n, d, seed=seed)
        rng = np.random.default_rng(seed)
        X = (X * 10.0**power + offset).astype(dtype)
        s = rng.integers(0, 3, n).astype(dtype)
        s[: k + 2] = 1
        found = jitted(k, method)(X, s)
        assert code(found) < Code.DEGENERATE
        if code(found) is not Code.CONVERGED:
            return
        S = covariance(X, s)
        V, values = (np.asarray(leaf, float) for leaf in found.params[1:3])
        top = np.linalg.eigvalsh(S)[-1]
        # Recomputed in NumPy; far from 0 the rounding of X itself is no error of the fit.
        again = np.linalg.norm(V @ S - values[:, None] * V, axis=1).max() / top
        assert again <= 10 * default_tol(dtype)
        assert float(found.info.residual) <= default_tol(dtype)

    holds()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_rows_order_and_rotation(method, dtype):
    X, _ = problem(dtype=dtype)
    rng = np.random.default_rng(4)
    s = rng.integers(0, 4, 30)
    tol = {"float64": 1e-8, "float32": 1e-3}[dtype]
    want = fit(X, 2, method, sample_weight=s)
    rows = np.repeat(np.arange(30), s)
    agree(fit(X[rows], 2, method).params, want.params, tol)
    bad = X.copy()
    bad[s == 0] = 1e4
    agree(fit(bad, 2, method, sample_weight=s).params, want.params, tol)
    order = rng.permutation(30)
    agree(fit(X[order], 2, method, sample_weight=s[order]).params, want.params, tol)
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0].astype(dtype)
    turned = fit(X @ turn, 2, method, sample_weight=s).params
    agree(turned.explained_variance, want.params.explained_variance, tol)
    P, Q = (np.asarray(p.components).T @ np.asarray(p.components) for p in (turned, want.params))
    np.testing.assert_allclose(turn @ P @ turn.T, Q, atol=tol)
    agree(fit(X + 2.0, 2, method, sample_weight=s).params.components, want.params.components, tol)
