"""k-means against enumeration, scikit-learn and NumPy; its theorems; its derivatives."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml import Code
from jaxml.latent import _seeding, kmeans
from tests import tolerances
from tests.latent.kmeans_problems import code, data, inertia, jitted_step, shift, start

# Oracles ----------------------------------------------------------------------------------------


def test_every_partition_of_a_few_rows(key):
    rng = np.random.default_rng(0)
    for k, n in ((3, 7),):
        X = rng.normal(size=(n, 2))
        best = np.inf
        for labels in itertools.product(range(k), repeat=n):
            l = np.array(labels)
            if len(set(labels)) == k:
                C = np.array([X[l == j].mean(0) for j in range(k)])
                best = min(best, ((X - C[l]) ** 2).sum())
        fits = [kmeans.fit(X, n_clusters=k, key=key, tol=0.0, n_init=m) for m in (1, 20)]
        for fit in fits:
            assert float(fit.info.objective) >= best * (1 - 1e-12)
            assert shift(X, fit.params.centroids, np.ones(n)) < 1e-28
        np.testing.assert_allclose(fits[1].info.objective, best, rtol=1e-12)
        assert float(fits[1].info.objective) <= float(fits[0].info.objective)


@pytest.mark.parametrize(("k", "dtype"), [(5, "float32"), (2, "float64"), (70, "float64")])
def test_against_scikit_learn_from_the_same_start(k, dtype):
    cluster = pytest.importorskip("sklearn.cluster")
    X, s = data(300, 3, dtype=dtype)
    want = cluster.KMeans(k, init=X[:k], n_init=1, tol=0, max_iter=500).fit(X, sample_weight=s)
    got = kmeans.fit(X, n_clusters=k, init=start(X, k), sample_weight=s, tol=0.0, max_iter=500)
    assert code(got) is Code.CONVERGED
    tol = tolerances.of(dtype).fit
    np.testing.assert_allclose(got.info.objective, want.inertia_, rtol=tol)
    np.testing.assert_allclose(got.params.centroids, want.cluster_centers_, rtol=0, atol=10 * tol)
    np.testing.assert_array_equal(kmeans.predict(got.params, X), want.labels_)


def test_plus_plus_spreads_over_the_places():
    X = np.repeat(np.array([[0.0], [10], [20], [30]]), [50, 3, 2, 1], axis=0)
    for seed in range(5):
        C = kmeans.init(X, n_clusters=4, key=jax.random.key(seed)).centroids[:, 0]
        np.testing.assert_allclose(np.sort(C), [0, 10, 20, 30], atol=1e-12)
    # Where nothing is left to spread over, rows are drawn all the same, by weight.
    s = np.array([0.0, 1, 1, 0])
    C = kmeans.init(np.ones((4, 2)), n_clusters=3, key=jax.random.key(0), sample_weight=s).centroids
    np.testing.assert_allclose(C, 1.0, atol=1e-15)


def test_rows_are_drawn_with_their_probability():
    p = jnp.array([0.0, 1, 2, 0, 5, 2, 0])
    u = (jnp.arange(10_000) + 0.5) / 10_000
    counts = np.bincount(_seeding._draw(p, u), minlength=7)
    np.testing.assert_array_equal(counts, [0, 1000, 2000, 0, 5000, 2000, 0])
    assert int(_seeding._draw(p, jnp.array([1.0 - 1e-16]))[0]) in (4, 5)


# Theorems ---------------------------------------------------------------------------------------


@given(
    st.sampled_from([(12, 2, 3)]),
    st.sampled_from(["float32", "float64"]),
    st.integers(0, 100),
    st.sampled_from([0.0, 1e-4]),
    st.booleans(),
)
def test_converged_means_a_small_shift_recomputed_in_numpy(shape, dtype, seed, tol, lumped):
    n, d, k = shape
    X, s = data(n, d, dtype=dtype, seed=seed)
    X = np.round(X) if lumped else X
    s = np.where(np.random.default_rng(seed).uniform(size=n) < 0.2, 0, s).astype(dtype)
    fit = kmeans.fit(X, n_clusters=k, key=jax.random.key(seed), sample_weight=s, tol=tol)
    places = len(np.unique(X[s > 0], axis=0))
    assert np.isfinite(fit.params.centroids).all()
    assert (code(fit) is Code.DEGENERATE) == (places < k)
    J = inertia(X, fit.params.centroids, s)
    np.testing.assert_allclose(fit.info.objective, J, rtol=1e-5, atol=1e-6)
    if code(fit) is Code.CONVERGED:
        eps = float(np.finfo(dtype).eps)
        assert shift(X, fit.params.centroids, s) <= 10 * tol + 100 * eps**2


@given(st.integers(0, 1000), st.sampled_from(["float32", "float64"]))
def test_the_objective_never_rises(seed, dtype):
    X, s = data(40, 2, dtype=dtype, seed=seed)
    C = jnp.asarray(np.random.default_rng(seed).normal(size=(4, 2)).astype(dtype) * 3)
    J = [inertia(X, C, s)]
    for _ in range(8):
        C = jitted_step(jnp.asarray(X), jnp.asarray(s), C).moved
        J.append(inertia(X, C, s))
    assert (np.diff(J) <= 4 * np.finfo(dtype).eps * J[0]).all()


# Derivatives ------------------------------------------------------------------------------------


def test_derivatives_against_refits():
    X, s = data(20, 2, seed=5)
    init = kmeans.fit(X, n_clusters=3, key=jax.random.key(0), sample_weight=s, tol=0.0).params

    def fit(X, s):
        return kmeans.fit(X, n_clusters=3, init=init, sample_weight=s, tol=0.0)

    def both(X, s):
        return fit(X, s).params.centroids, fit(X, s).info.objective

    rng = np.random.default_rng(0)
    h = 1e-4
    for at in (0, 1):
        d = [np.zeros_like(X), np.zeros_like(s)]
        d[at] = rng.choice([-1.0, 1.0], size=d[at].shape)
        got = jax.jvp(both, (X, s), tuple(d))[1]
        one, two = (fit(X + c * h * d[0], s + c * h * d[1]) for c in (1, -1))
        want = (one.params.centroids - two.params.centroids) / (2 * h)
        np.testing.assert_allclose(got[0], want, rtol=0, atol=1e-7)
        slope = (one.info.objective - two.info.objective) / (2 * h)
        np.testing.assert_allclose(got[1], slope, rtol=1e-7)
    u = rng.normal(size=(3, 2))
    _, pull = jax.vjp(lambda X: fit(X, s).params.centroids, X)
    v = rng.normal(size=X.shape)
    push = jax.jvp(lambda X: fit(X, s).params.centroids, (X,), (v,))[1]
    np.testing.assert_allclose(np.sum(pull(u)[0] * v), np.sum(u * push), rtol=1e-12)
