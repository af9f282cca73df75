"""Nearest neighbors against brute force in NumPy and scikit-learn, and by symmetries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml.neighbors import _search, knn
from tests.neighbors.knn_problems import KINDS, brute, data

DTYPES = ("float32", "float64")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_search_is_brute_force(kind, dtype):
    X = data(kind, 800, 3, dtype)  # grouped minima: 800 rows, 13 candidates
    queries = X[::16]
    D, index = knn.search(X, queries, k=5)
    want, order = brute(X, queries, 5)
    assert D.dtype == dtype
    assert index.dtype == "int32"
    np.testing.assert_allclose(D, want, rtol=20 * np.finfo(dtype).eps, atol=0)
    assert (np.diff(D, axis=1) >= 0).all()
    # Float32 may see two distances as equal or exchanged that differ in float64 by a rounding.
    different = np.asarray(index) != order
    assert different.mean() <= (0.02 if dtype == "float32" and kind != "grid" else 0.0)


@pytest.mark.parametrize(("n", "k"), [(9, 9), (1, 1), (60, 60), (70, 3)])
def test_small_searches(n, k):
    X = data("normal", n, 2, "float64")
    D, index = knn.search(X, X, k=k)
    want, order = brute(X, X, k)
    np.testing.assert_allclose(D, want, atol=1e-14)
    assert (np.asarray(index) == order).all()


def test_against_scikit_learn():
    neighbors = pytest.importorskip("sklearn.neighbors")
    X, queries = data("normal", 300, 4, "float64"), data("normal", 50, 4, "float64", seed=1)
    D, index = (
        neighbors.NearestNeighbors(n_neighbors=7, algorithm="kd_tree").fit(X).kneighbors(queries)
    )
    got = knn.search(X, queries, k=7)
    np.testing.assert_allclose(got[0], D, rtol=1e-12)
    assert (np.asarray(got[1]) == index).all()
    y = np.random.default_rng(2).integers(0, 4, 300)
    peer = neighbors.KNeighborsClassifier(n_neighbors=7, algorithm="brute").fit(X, y)
    assert (np.asarray(knn.predict(X, y, queries, k=7, n_classes=4)) == peer.predict(queries)).all()
    share = knn.predict_proba(X, y, queries, k=7, n_classes=4)
    np.testing.assert_allclose(share, peer.predict_proba(queries), atol=1e-15)
    peer = neighbors.KNeighborsRegressor(n_neighbors=7).fit(X, X[:, 0] ** 2)
    np.testing.assert_allclose(knn.predict(X, X[:, 0] ** 2, queries, k=7), peer.predict(queries))


def test_blocks_and_unsure_queries_give_the_same(monkeypatch):
    X = jnp.asarray(data("normal", 700, 3, "float32")) / 8
    there = jnp.ones(700, bool)

    def blocked(queries, block, squares=_search._squares_by_row):
        how = {"k": 4, "block": block, "squares": squares}
        find = jax.jit(lambda Z, X, there: _search._in_blocks(Z, X, there, **how))
        return find(X, queries, there)

    whole = blocked(X, _search.LARGE_BLOCK, _search._squares)
    parts = blocked(X, 20_000)  # 25 blocks of 28 queries
    uneven = blocked(X[:691], 20_000)
    assert (whole[0] == parts[0]).all()
    assert (whole[0][:691] == uneven[0]).all()
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-6)  # sums fused in another way

    # Candidates that are wrong but for the certificate: every query must be compared with all rows.
    def useless(scores, c):
        return jnp.full((len(scores), c), -1e9), jnp.zeros((len(scores), c), jnp.int32)

    monkeypatch.setattr(_search, "_lowest", useless)
    for a, b in zip(blocked(X[:50], 20_000), whole, strict=True):
        np.testing.assert_allclose(a, b[:50], rtol=1e-6)


def test_float64_rows_whose_squares_float32_cannot_hold():
    X = 1e-25 * data("normal", 300, 3, "float64")
    X[:2] = [[1.0], [-1.0]]  # the mean of all stays among the small
    queries = X[np.argsort((X**2).sum(axis=1))[-32:-2]]  # so far out that their squares mislead
    for q in queries:
        D, index = knn.search(X, q[None, :], k=5)
        want, order = brute(X, q[None, :], 5)
        np.testing.assert_allclose(D, want, rtol=1e-12, atol=0)
        assert (np.asarray(index) == order).all()


def test_rows_that_tie_go_by_index():
    X = np.array([[1.0], [-1.0], [1.0], [0.0], [-1.0], [0.0]])
    D, index = knn.search(X, [[0.0]], k=5)
    assert index.tolist() == [[3, 5, 0, 1, 2]]
    assert D.tolist() == [[0.0, 0.0, 1.0, 1.0, 1.0]]


@pytest.mark.parametrize("scale", [1e-10, 1e10, 1e30, 1e-30])
def test_scales(scale):
    X = data("normal", 40, 3, "float32")
    D, index = knn.search(X, X, k=4)
    scaled = knn.search(X * np.float32(scale), X * np.float32(scale), k=4)
    assert (scaled[1] == index).all()
    np.testing.assert_allclose(scaled[0], D * np.float32(scale), rtol=1e-5)


# prediction ------------------------------------------------------------------------------------


def test_the_lowest_class_of_equals():
    X, y = [[0.0], [1.0], [2.0], [3.0]], [2, 1, 0, 2]
    assert knn.predict(X, y, [[0.4], [1.6]], k=2, n_classes=3).tolist() == [1, 0]
    assert knn.predict(X, y, [[1.5]], k=4, n_classes=3).tolist() == [2]


@given(st.integers(0, 1000), st.sampled_from(DTYPES))
def test_integer_weights_are_repeated_rows(seed, dtype):
    rng = np.random.default_rng(seed)
    X, queries = rng.integers(0, 4, (12, 2)).astype(dtype), rng.integers(0, 4, (6, 2)).astype(dtype)
    y, s = rng.integers(0, 3, 12), rng.integers(0, 4, 12)
    s[:2] = 2
    s[2] = 0
    # 36 rows in both: those left over stand far away.
    rows = np.repeat(np.arange(12), s)
    lack = 36 - len(rows)
    Z = np.concatenate([X[rows], np.full((lack, 2), 1e3, dtype)])
    y_rows = np.concatenate([y[rows], np.zeros(lack, int)])
    how, kind = ({"n_classes": 3}, int) if dtype == "float32" else ({}, dtype)
    got = knn.predict(X, y.astype(kind), queries, k=4, sample_weight=s.astype(dtype), **how)
    want = knn.predict(Z, y_rows.astype(kind), queries, k=4, **how)
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_a_row_of_weight_zero_is_not_there():
    X, y = np.array([[0.0], [1.0], [5.0]]), np.array([7.0, 1.0, 3.0])
    assert knn.predict(X, y, [[0.1]], k=2, sample_weight=[0, 1, 1]).tolist() == [2.0]
    # Fewer rows than k are there: those that are decide.
    assert knn.predict(X, y, [[0.1]], k=3, sample_weight=[0, 1, 0]).tolist() == [1.0]


@given(st.integers(0, 1000))
def test_order_and_rotation(seed):
    rng = np.random.default_rng(seed)
    X, queries, y = rng.normal(size=(30, 3)), rng.normal(size=(5, 3)), rng.integers(0, 3, 30)
    want = knn.predict(X, y, queries, k=5, n_classes=3)
    order = rng.permutation(30)
    Q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert (knn.predict(X[order], y[order], queries, k=5, n_classes=3) == want).all()
    assert (knn.predict(X @ Q + 1.0, y, queries @ Q + 1.0, k=5, n_classes=3) == want).all()


def test_digits():
    from jaxml import datasets

    X, y, *_ = datasets.digits()
    guess = knn.predict(X[::2], y[::2], X[1::2], k=3, n_classes=10)
    assert float((guess == y[1::2]).mean()) > 0.97


# concentration ---------------------------------------------------------------------------------


def test_concentration_falls_with_dimension():
    rng = np.random.default_rng(0)
    for d in (2, 8, 128):
        X = rng.normal(size=(400, d))
        X[0] += 0.0
        i, j = np.triu_indices(400, 1)
        D = ((X[i] - X[j]) ** 2).sum(axis=1)
        got = float(knn.concentration(X))
        assert abs(got - D.std() / D.mean()) < 1e-12
        assert abs(got / np.sqrt(2 / d) - 1) < 0.15
        far = float(knn.concentration((X + 1e3).astype("float32")))
        assert abs(far - got) < 1e-3 * max(1, d / 8)
    assert float(knn.concentration([[0.0], [3.0]])) == 0.0
    assert np.isnan(knn.concentration(np.ones((3, 2))))
    with pytest.raises(ValueError, match="2 rows or more"):
        knn.concentration([[1.0]])
