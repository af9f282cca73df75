"""k-means against enumeration, scikit-learn and NumPy; its contract, its theorems, its limits."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml import Code
from jaxml.latent import _lloyd, _seeding, kmeans
from jaxml.latent.kmeans import Params
from tests import processes, tolerances

SQUARE = np.array([[0, 0], [0.5, 0], [0.5, 1], [1, 1]])


def code(fit):
    """The code of a fit as a Code."""
    return Code(int(fit.info.code))


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


# Known answers ----------------------------------------------------------------------------------


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


# The contract -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonfinite_input(bad, key):
    X, s = data()
    params = kmeans.fit(X, n_clusters=3, key=key).params
    X[5, 1] = bad
    for verb in (
        lambda X: kmeans.fit(X, n_clusters=3, key=key),
        lambda X: kmeans.init(X, n_clusters=3, key=key),
        lambda X: kmeans.predict(params, X),
        lambda X: kmeans.inertia(params, X),
    ):
        with pytest.raises(ValueError, match="X contains NaN or inf"):
            verb(X)
    fit = jax.jit(lambda X, s: kmeans.fit(X, n_clusters=3, key=key, sample_weight=s))(X, s)
    assert code(fit) is Code.NONFINITE_INPUT
    assert np.isnan(fit.params.centroids).all()
    s[2] = bad
    with pytest.raises(ValueError, match="sample_weight contains NaN or inf"):
        kmeans.fit(data()[0], n_clusters=3, key=key, sample_weight=s)
    labels = jax.jit(kmeans.predict)(params, X)
    assert int(labels[5]) in range(3)


def test_bad_arguments(key):
    X, s = data()
    for call, error, match in (
        (lambda: kmeans.fit(X, n_clusters=31, key=key), ValueError, "at most the 30 rows"),
        (lambda: kmeans.fit(X, n_clusters=0, key=key), ValueError, "n_clusters must be >= 1"),
        (lambda: kmeans.fit(X, n_clusters=2.0, key=key), TypeError, "n_clusters is static"),
        (lambda: kmeans.fit(X, n_clusters=2), ValueError, "key is missing"),
        (lambda: kmeans.fit(X, n_clusters=2, key=3), TypeError, "random key"),
        (lambda: kmeans.fit(X, n_clusters=2, key=jax.random.split(key)), ValueError, "one key"),
        (lambda: kmeans.fit(X, n_clusters=2, init=X[:2]), TypeError, "init must be a Params"),
        (lambda: kmeans.fit(X, n_clusters=2, init=start(X, 3)), ValueError, "must have shape"),
        (lambda: kmeans.fit(X, n_clusters=2, init=start(X, 2), n_init=2), ValueError, "n_init"),
        (lambda: kmeans.fit(X, n_clusters=2, key=key, tol=-1.0), ValueError, "tol must be >= 0"),
        (lambda: kmeans.fit(X, n_clusters=2, key=key, max_iter=0), ValueError, "max_iter"),
        (lambda: kmeans.fit(X[:, 0], n_clusters=2, key=key), ValueError, "2 axes"),
        (lambda: kmeans.fit(X[:0], n_clusters=2, key=key), ValueError, r"0 sample\(s\)"),
        (lambda: kmeans.fit(X + 0j, n_clusters=2, key=key), TypeError, "Complex"),
        (lambda: kmeans.fit(X, n_clusters=2, key=key, sample_weight=s[1:]), ValueError, "per row"),
        (lambda: kmeans.fit(X, n_clusters=2, key=key, sample_weight=0 * s), ValueError, "zero"),
        (lambda: kmeans.predict(start(X, 2), X[:, :1]), ValueError, r"2 feature\(s\)"),
    ):
        with pytest.raises(error, match=match):
            call()


@pytest.mark.parametrize("dtype", ["int32", "float32", "float64"])
def test_dtypes(dtype, key):
    X = np.round(4 * data()[0]).astype(dtype)
    fit = kmeans.fit(X, n_clusters=3, key=key)
    want = "float32" if dtype == "float32" else "float64"
    for leaf in (fit.params.centroids, fit.info.objective, fit.info.residual):
        assert leaf.dtype == want
    assert kmeans.predict(fit.params, X).dtype == "int32"
    assert kmeans.init(X, n_clusters=3, key=key).centroids.dtype == want


def test_weights_are_repeated_rows_and_zero_is_a_removed_row():
    X, _ = data()
    s = np.random.default_rng(1).integers(0, 4, 30)
    s[:3] = 1
    one = kmeans.fit(X, n_clusters=3, init=start(X, 3), sample_weight=s, tol=0.0)
    two = kmeans.fit(np.repeat(X, s, axis=0), n_clusters=3, init=start(X, 3), tol=0.0)
    np.testing.assert_allclose(one.params.centroids, two.params.centroids, rtol=1e-12)
    np.testing.assert_allclose(one.info.objective, two.info.objective, rtol=1e-12)
    spoiled = np.where((s == 0)[:, None], 1e3, X)
    three = kmeans.fit(spoiled, n_clusters=3, init=start(X, 3), sample_weight=s, tol=0.0)
    np.testing.assert_allclose(three.params.centroids, one.params.centroids, rtol=1e-12)


def test_order_of_rows_and_rotation():
    X, s = data()
    rng = np.random.default_rng(3)
    order = rng.permutation(30)
    Q = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    want = kmeans.fit(X, n_clusters=3, init=start(X, 3), sample_weight=s).params.centroids
    got = kmeans.fit(X[order], n_clusters=3, init=start(X, 3), sample_weight=s[order])
    np.testing.assert_allclose(got.params.centroids, want, rtol=1e-9)
    got = kmeans.fit(X @ Q, n_clusters=3, init=start(X @ Q, 3), sample_weight=s)
    np.testing.assert_allclose(got.params.centroids, want @ Q, rtol=0, atol=1e-9)


def test_transformations_agree(key):
    batch = [data(seed=seed) for seed in range(3)]
    keys = jax.random.split(key, 3)

    def fit(X, s, key):
        return kmeans.fit(X, n_clusters=3, key=key, n_init=2, sample_weight=s)

    X, s = (np.stack(part) for part in zip(*batch, strict=True))
    many = jax.jit(jax.vmap(fit))(X, s, keys)
    jitted = jax.jit(fit)
    for i in range(3):
        for other in (fit(X[i], s[i], keys[i]), jitted(X[i], s[i], keys[i])):
            for a, b in zip(jax.tree.leaves(other), jax.tree.leaves(many), strict=True):
                np.testing.assert_allclose(a, b[i], rtol=1e-12, atol=1e-12)
        again = jitted(X[i], s[i], keys[i])
        assert all(
            np.asarray(a).tobytes() == np.asarray(b).tobytes()
            for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(other), strict=True)
        )
    X[1, 4, 0] = np.nan
    mixed = jax.jit(jax.vmap(fit))(X, s, keys)
    assert [Code(int(c)) for c in mixed.info.code] == [0, Code.NONFINITE_INPUT, 0]
    for a, b in zip(jax.tree.leaves(mixed), jax.tree.leaves(many), strict=True):
        assert np.asarray(a)[[0, 2]].tobytes() == np.asarray(b)[[0, 2]].tobytes()
    assert jitted._cache_size() == 1


def test_max_iter_and_tol():
    X, _ = data(300, 3)
    short = kmeans.fit(X, n_clusters=5, init=start(X, 5), max_iter=1, tol=0.0)
    assert code(short) is Code.MAX_ITER
    assert int(short.info.n_iter) == 1
    step = _lloyd.step(jnp.asarray(X), jnp.ones(300), jnp.asarray(X[:5]))
    np.testing.assert_allclose(short.params.centroids, step.moved, rtol=1e-12)
    np.testing.assert_allclose(short.info.residual, shift(X, step.moved, np.ones(300)), rtol=1e-9)
    exact = kmeans.fit(X, n_clusters=5, init=start(X, 5), tol=0.0)
    loose = kmeans.fit(X, n_clusters=5, init=start(X, 5), tol=1e-2)
    assert float(exact.info.residual) == 0.0
    assert int(loose.info.n_iter) < int(exact.info.n_iter)
    again = kmeans.fit(X, n_clusters=5, init=exact.params, tol=0.0)
    np.testing.assert_allclose(again.params.centroids, exact.params.centroids, rtol=1e-12)
    assert int(again.info.n_iter) == 2


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


jitted_step = jax.jit(_lloyd.step)


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


# Forms that only sizes or devices reach ---------------------------------------------------------


def test_no_array_of_rows_times_clusters_times_features():
    X = jnp.zeros((66, 5))
    text = jax.jit(lambda X: kmeans.fit(X, n_clusters=3, key=jax.random.key(0))).lower(X).as_text()
    assert "tensor<66x5xf64>" in text
    assert not re.search(r"tensor<(66x3x5|66x5x3|3x66x5)xf64>", text)


def test_blocks_of_many_rows(monkeypatch):
    monkeypatch.setattr(_lloyd, "TILE", 50_000)
    X, s = data(10_007, 20, dtype="float32")
    C = jnp.asarray(X[:4])
    at = jitted_step(jnp.asarray(X), jnp.asarray(s), C)
    labels = ((X[:, None].astype("float64") - X[None, :4]) ** 2).sum(2).argmin(1)
    groups = [(X[labels == j].astype("float64"), s[labels == j]) for j in range(4)]
    want = [np.average(rows, axis=0, weights=weights) for rows, weights in groups]
    np.testing.assert_allclose(at.moved, want, rtol=0, atol=1e-4)
    np.testing.assert_allclose(at.mass, np.bincount(labels, s, 4), rtol=1e-5)
    for n in (10_007, 9_600):  # in tiles, with and without rows left over
        got = _lloyd._in_tiles(jnp.asarray(X[:n]), jnp.asarray(s[:n]), len(C))(C)
        for a, b in zip(
            got, _lloyd._in_one(jnp.asarray(X[:n]), jnp.asarray(s[:n]), len(C))(C), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-2)


def test_the_form_for_an_accelerator(monkeypatch):
    """One-hot products give the sums that scattering gives, and nothing is scattered."""
    X, s = (jnp.asarray(a) for a in data(50, 3))
    labels = jnp.arange(50, dtype=jnp.int32) % 4
    want = _lloyd._sums(X, s, labels, 5)
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *args, default, **_: default(*args))
    for a, b in zip(_lloyd._sums(X, s, labels, 5), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    monkeypatch.undo()
    fit = jax.jit(lambda X: kmeans.fit(X, n_clusters=3, key=jax.random.key(0), n_init=2))
    text = fit.trace(X).lower(lowering_platforms=("cuda",)).as_text()
    assert not re.search(r"stablehlo\.scatter[^}]*stablehlo\.add", text)  # no atomics


SHARDED = """
    from jaxml.latent import gmm, kmeans
    rng = np.random.default_rng(0)
    X = rng.normal(size=(96, 3)) + 3.0 * rng.integers(0, 3, size=(96, 1))
    s = rng.uniform(0.5, 2.0, 96)
    C = kmeans.Params(jnp.asarray(X[:3]))
    mixture = gmm.Params(jnp.full(3, 1 / 3), C.centroids, jnp.stack([jnp.eye(3)] * 3))
    same(lambda X, s: kmeans.fit(X, n_clusters=3, init=C, sample_weight=s), X, s, atol=1e-9)
    same(lambda X, s: gmm.fit(X, n_components=3, init=mixture, sample_weight=s), X, s, atol=1e-9)
"""


def test_sharded_rows():
    processes.run_on_two_devices(SHARDED)
