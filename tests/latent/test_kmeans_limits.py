"""k-means where it is delicate: empty clusters, equal rows, offsets, scales, float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code
from jaxml.latent import _lloyd, kmeans
from jaxml.latent.kmeans import Params
from tests.latent.kmeans_problems import code, data, inertia, start

SQUARE = np.array([[0, 0], [0.5, 0], [0.5, 1], [1, 1]])


def test_weighted_square():
    s = np.array([3.0, 1, 1, 3])
    init = Params(jnp.array([[0.0, 0], [1, 1]]))
    fit = kmeans.fit(SQUARE, n_clusters=2, init=init, sample_weight=s)
    assert code(fit) is Code.CONVERGED
    assert int(fit.info.n_iter) == 2
    np.testing.assert_allclose(fit.info.objective, 0.375, rtol=1e-12)
    np.testing.assert_allclose(fit.params.centroids, [[0.125, 0], [0.875, 1]], rtol=1e-12)
    assert kmeans.predict(fit.params, SQUARE).tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(kmeans.inertia(fit.params, SQUARE, sample_weight=s), 0.375)


def test_an_empty_cluster_moves_to_the_farthest_row_of_positive_weight():
    far = Params(jnp.array([[0.5, 0.5], [3, 3]]))
    fit = kmeans.fit(SQUARE, n_clusters=2, init=far)
    np.testing.assert_allclose(fit.info.objective, 0.25, rtol=1e-12)
    X, s = np.array([[-1.0], [1], [50]]), np.array([1.9, 0.1, 0.0])
    fit = kmeans.fit(X, n_clusters=2, init=Params(jnp.array([[-1.0], [10]])), sample_weight=s)
    np.testing.assert_allclose(fit.params.centroids, [[-1], [1]], atol=1e-12)
    # Of rows equally far, the first.
    moved = _lloyd.step(jnp.asarray(SQUARE), jnp.ones(4), jnp.asarray(far.centroids)).moved
    np.testing.assert_array_equal(moved[1], SQUARE[0])


def test_fewer_places_than_clusters():
    dtype = "float32"
    X = np.array([[0, 0], [1, 1], [0, 0], [1, 1], [2, 2]], dtype)
    for init in (X, X[::-1], X[[0, 0, 0, 0, 0]]):
        fit = kmeans.fit(X, n_clusters=5, init=Params(jnp.asarray(init)), tol=0.0)
        assert code(fit) is Code.DEGENERATE
        assert int(fit.info.n_iter) < 20
        np.testing.assert_allclose(fit.info.objective, 0.0, atol=1e-12)
    constant = np.full((100, 2), 1.1, dtype)
    assert code(kmeans.fit(constant, n_clusters=2, key=jax.random.key(0))) is Code.DEGENERATE
    fit = kmeans.fit(constant, n_clusters=1, key=jax.random.key(0))
    assert code(fit) is Code.CONVERGED
    # A row of weight 0 is no place.
    s = np.array([1, 1, 1, 1, 0])
    assert code(kmeans.fit(X, n_clusters=3, init=start(X, 3), sample_weight=s)) is Code.DEGENERATE


def test_as_many_clusters_as_rows(key):
    X, _ = data(9, dtype="float32")
    fit = kmeans.fit(X, n_clusters=9, key=key)
    assert code(fit) is Code.CONVERGED
    assert float(fit.info.objective) < 1e-10
    assert sorted(kmeans.predict(fit.params, X).tolist()) == list(range(9))


def test_float32_does_not_cancel():
    X = np.array([-1.0001, -0.9999, 0.9999, 1.0001], "float32")[:, None]
    fit = kmeans.fit(X, n_clusters=2, init=Params(jnp.asarray(X[[0, 3]])))
    np.testing.assert_allclose(fit.info.objective, 4e-8, rtol=1e-3)
    fit = kmeans.fit(X, n_clusters=4, init=Params(jnp.asarray(X)), tol=0.0)
    assert code(fit) is Code.CONVERGED
    assert float(fit.info.objective) == 0.0
    ones = np.ones((2, 1000), "float32") * np.array([[1.0], [1.001]], "float32")
    got = kmeans.inertia(Params(jnp.asarray(ones[:1])), ones)
    np.testing.assert_allclose(got, inertia(ones, ones[:1]), rtol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "offset", "tol"), [("float32", 1e3, 1e-3), ("float64", 1e8, 1e-6)]
)
def test_offsets_do_not_matter(dtype, offset, tol):
    X, s = data(dtype=dtype)
    far = (X + offset).astype(dtype)
    near = (far.astype("float64") - offset).astype(dtype)
    got, want = (
        kmeans.fit(A, n_clusters=3, init=start(A, 3), sample_weight=s) for A in (far, near)
    )
    assert code(got) is code(want) is Code.CONVERGED
    np.testing.assert_allclose(got.info.objective, want.info.objective, rtol=tol)
    np.testing.assert_array_equal(
        kmeans.predict(got.params, far), kmeans.predict(want.params, near)
    )


@pytest.mark.parametrize("scale", [1e-10, 1e10])
def test_scales_do_not_matter(scale):
    X, s = data()
    one = kmeans.fit(X, n_clusters=3, init=start(X, 3), sample_weight=s)
    two = kmeans.fit(scale * X, n_clusters=3, init=start(scale * X, 3), sample_weight=s)
    np.testing.assert_allclose(two.params.centroids, scale * one.params.centroids, rtol=1e-9)
    np.testing.assert_allclose(two.info.residual, one.info.residual, rtol=1e-6, atol=1e-12)
