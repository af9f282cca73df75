"""PCA at its limits: full rank, few samples, equal eigenvalues, far offsets, small variances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code
from jaxml.latent import pca
from tests.latent.pca_problems import METHODS, code, fit, host, problem


@pytest.mark.parametrize("method", METHODS)
def test_as_many_components_as_there_can_be(method):
    X, _ = problem()
    found = fit(X, 5, method)
    assert code(found) is Code.CONVERGED
    assert float(found.params.noise_variance) == 0.0
    C = np.cov(X.T)
    A = X - X.mean(0)
    want = -0.5 * (
        5 * np.log(2 * np.pi)
        + np.linalg.slogdet(C)[1]
        + np.einsum("ni,ij,nj->n", A, np.linalg.inv(C), A)
    )
    np.testing.assert_allclose(pca.log_likelihood(found.params, X), want, rtol=1e-9)
    wide, _ = problem(4, 6)
    found = fit(wide, 4, method)  # rank 3: the fourth direction is anyone's
    assert code(found) is Code.DEGENERATE
    V = np.asarray(found.params.components)
    np.testing.assert_allclose(V @ V.T, np.eye(4), atol=1e-10)
    assert np.isfinite(pca.log_likelihood(found.params, wide)).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_two_points_one_sample_and_constant_data(method, dtype):
    two = fit(np.array([[0, 0, 0], [2, 0, 0]], dtype), 1, method)
    assert code(two) is Code.CONVERGED
    np.testing.assert_allclose(two.params.components, [[1, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(two.params.explained_variance, [2.0], rtol=1e-6)
    for X in (np.array([[1.5, -2.0, 0.1]]), np.full((7, 3), 0.1), np.full((7, 3), 1e6)):
        found = fit(X.astype(dtype), 1, method)
        assert code(found) is Code.DEGENERATE
        assert all(np.isfinite(leaf).all() for leaf in host(found))
        np.testing.assert_array_equal(pca.explained_variance_ratio(found.params), [0.0])
        np.testing.assert_allclose(np.linalg.norm(found.params.components), 1.0, rtol=1e-6)
        np.testing.assert_array_equal(
            np.asarray(pca.transform(found.params, X.astype(dtype), whiten=True)), 0.0
        )
        assert not np.isnan(pca.log_likelihood(found.params, X.astype(dtype))).any()


def test_a_gap_of_zero_is_degenerate():
    Z = np.random.default_rng(0).normal(size=(20, 4))
    Q = np.linalg.qr(Z - Z.mean(0))[0] * [3.0, 2.0, 2.0, 1.0]
    assert code(fit(Q, 1)) is Code.CONVERGED
    assert code(fit(Q, 2)) is Code.DEGENERATE
    assert code(fit(Q, 3)) is Code.CONVERGED
    g = jax.jit(jax.grad(lambda X: jnp.sum(fit(X, 2).params.components[0] ** 3)))(Q)
    assert np.isfinite(g).all()


@pytest.mark.parametrize("method", METHODS)
def test_far_from_zero_in_float32(method):
    rng = np.random.default_rng(2)
    X = (rng.normal(size=(300, 4)) * [4.0, 2.0, 1.0, 0.5] + 1e6).astype("float32")
    found = fit(X, 2, method)
    assert code(found) is Code.CONVERGED
    values, V = np.linalg.eigh(np.cov(X.astype(float).T))
    np.testing.assert_allclose(found.params.explained_variance, values[::-1][:2], rtol=1e-4)
    P = np.asarray(found.params.components)
    np.testing.assert_allclose(P.T @ P, V[:, 2:] @ V[:, 2:].T, atol=1e-4)
    parts = [pca.statistics(X[:100]), pca.statistics(X[100:])]
    streamed = pca.from_statistics(pca.merge(*parts), n_components=2)
    np.testing.assert_allclose(streamed.params.explained_variance, values[::-1][:2], rtol=1e-3)


def test_small_variances_keep_their_digits_in_svd():
    rng = np.random.default_rng(3)
    Z = rng.normal(size=(40, 3))
    Q = np.linalg.qr(Z - Z.mean(0))[0] * [1.0, 1e-4, 1e-8]
    got = fit(Q, 3, "svd").params.explained_variance
    np.testing.assert_allclose(got, np.array([1.0, 1e-8, 1e-16]) / 39, rtol=1e-6)
