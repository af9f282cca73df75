"""The contract of k-means: inputs, codes, transformations, and one answer in every form."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code
from jaxml.latent import _bounds, _lloyd, _nearest, kmeans
from tests import processes
from tests.latent.kmeans_problems import code, data, shift, start

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


# Forms that only sizes or devices reach ---------------------------------------------------------


def test_no_array_of_rows_times_clusters_times_features():
    X = jnp.zeros((66, 5))
    text = jax.jit(lambda X: kmeans.fit(X, n_clusters=3, key=jax.random.key(0))).lower(X).as_text()
    assert "tensor<66x5xf64>" in text
    assert not re.search(r"tensor<(66x3x5|66x5x3|3x66x5)xf64>", text)


def test_scores_are_held_in_blocks(monkeypatch, rng):
    for n, k in ((50, 4), (48, 4), (50, 70)):
        A, C = rng.normal(size=(n, 3)), rng.normal(size=(k, 3))
        D = (C**2).sum(1) - 2 * A @ C.T
        want = D.argmin(1), *np.partition(D, 1, axis=1)[:, :2].T
        for at_once in (2**27, 12 * k):
            monkeypatch.setattr(_nearest, "AT_ONCE", at_once)
            for a, b in zip(_nearest.two_nearest(A, C), want, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_out_of_reach_keep_their_cluster(dtype):
    X, _ = data(400, 3, dtype=dtype)
    A, B = jnp.asarray(X), jnp.asarray(X[:6])
    labels, margins = _bounds.labels_and_margins(A, jnp.sum(A * A, axis=1), B)
    D = np.sqrt(((X[:, None].astype(float) - X[None, :6]) ** 2).sum(2))
    np.testing.assert_array_equal(labels, D.argmin(1))
    exact = np.diff(np.partition(D, 1, axis=1)[:, :2])[:, 0]
    assert (margins < exact).all()
    # The root of a rounding, where a row lies on its centroid.
    np.testing.assert_allclose(margins, exact, rtol=0, atol=50 * np.finfo(dtype).eps ** 0.5)
    held = changed = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        C = B + (0.003 * rng.normal(size=B.shape)).astype(dtype)
        near = _bounds.near(labels, margins, B, C)
        assert bool(near.hold(C))
        assert bool(near.hold(B + 1.9 * (C - B)))
        index, used = near.indices()
        assert bool(near.few)
        np.testing.assert_array_equal(index[used], np.flatnonzero(near.rows))
        for factor in (1.0, 3.0, 10.0, 30.0):
            at = np.asarray(B + factor * (C - B), float)
            moved = ((X[:, None] - at[None]) ** 2).sum(2).argmin(1) != np.asarray(labels)
            if bool(near.hold(jnp.asarray(at, dtype))):
                held += 1
                changed += moved.sum()
                assert not (moved & ~np.asarray(near.rows)).any()
    assert held > 100
    assert changed > 100
    far = _bounds.near(labels, margins, B, B + 10)
    assert not bool(far.few)
    assert not bool(near.hold(B + 10))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "k"), [(900, 7), (5, 3), (3, 3), (300, 1)])
def test_steps_over_near_rows_are_those_over_all(n, k, dtype):
    X, s = data(n, 3, dtype=dtype)
    s[1::7] = 0.0
    A, v = jnp.asarray(X - X.mean(0)), jnp.asarray(1.0, dtype)
    over_near, over_all = jax.jit(_lloyd._over_near_rows), jax.jit(_lloyd._over_all_rows)
    for steps in (2, 9, 300):
        for tol in (0.0, 1e-4):
            given = A, jnp.asarray(s), A[:k], v, jnp.asarray(tol, dtype)
            at, count = over_near(*given, steps=steps)
            want, wanted = over_all(*given, steps=steps)
            assert int(count) == int(wanted) <= steps
            for a, b in zip(at[:3], want[:3], strict=True):
                eps = np.finfo(dtype).eps
                np.testing.assert_allclose(a, b, rtol=20 * eps, atol=500 * eps)
            assert (float(at.shift) == 0) == (float(want.shift) == 0)


def test_a_large_problem_ends_where_a_plain_loop_does(monkeypatch):
    """Of a size at which rows are left out, with clusters that overlap."""
    n, k = 40_000, 12
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 40)) + 0.5 * rng.normal(size=(k, 40))[rng.integers(k, size=n)]
    assert X.size * k >= _lloyd.LARGE
    steps = []
    few = _bounds.Near.few.fget
    seen = property(lambda near: jax.debug.callback(steps.append, few(near)) or few(near))
    monkeypatch.setattr(_bounds.Near, "few", seen)
    fit = kmeans.fit(X, n_clusters=k, init=start(X, k), tol=0.0)
    jax.effects_barrier()
    C, before, count = X[:k], None, 0
    while before is None or (before != C).any():
        before, count = C, count + 1
        labels = ((C**2).sum(1) - 2 * X @ C.T).argmin(1)
        C = np.array([X[labels == j].mean(0) for j in range(k)])
    np.testing.assert_allclose(fit.params.centroids, C, rtol=0, atol=1e-10)
    assert int(fit.info.n_iter) == count
    assert any(steps)
    assert len(steps) < count  # passes over all rows


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
