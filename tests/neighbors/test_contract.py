"""The contract of nearest neighbors: errors, NaN, one answer by every route, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxml.neighbors import knn
from tests.neighbors.knn_problems import data


def test_bad_arguments():
    X = data("normal", 6, 2, "float64")
    with pytest.raises(
        ValueError, match="k must be at most the number of rows searched: got k=7, n=6"
    ):
        knn.search(X, X, k=7)
    with pytest.raises(ValueError, match="k must be >= 1"):
        knn.search(X, X, k=0)
    with pytest.raises(TypeError, match="k is static"):
        knn.search(X, X, k=2.0)
    with pytest.raises(ValueError, match=r"2 feature\(s\)"):
        knn.search(X, X[:, :1], k=1)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        knn.search(X[:0], X, k=1)
    with pytest.raises(ValueError, match="2 axes"):
        knn.search(X[:, 0], X, k=1)
    with pytest.raises(TypeError, match="Complex"):
        knn.search(X + 0j, X, k=1)
    with pytest.raises(ValueError, match="per row of X"):
        knn.predict(X, np.zeros(5, int), X, k=1, n_classes=2)
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        knn.predict(X, np.full(6, 2), X, k=1, n_classes=2)
    with pytest.raises(ValueError, match="zero everywhere"):
        knn.predict(X, np.zeros(6), X, k=1, sample_weight=np.zeros(6))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonfinite(bad):
    X = data("normal", 6, 2, "float64")
    Y = X.copy()
    Y[2, 1] = bad
    with pytest.raises(ValueError, match="X_train contains NaN or inf"):
        knn.search(Y, X, k=2)
    with pytest.raises(ValueError, match="X contains NaN or inf"):
        knn.search(X, Y, k=2)
    search = jax.jit(lambda Z, X: knn.search(Z, X, k=2))
    D, index = search(X, Y)
    assert np.isnan(D[2]).all()
    assert (index[2] == -1).all()
    want = search(X, X)
    for got, right in zip((D, index), want, strict=True):
        assert (np.delete(got, 2, axis=0) == np.delete(right, 2, axis=0)).all()
    D, index = search(Y, X)
    assert np.isnan(D).all()
    assert (index == -1).all()
    label = jax.jit(lambda X: knn.predict(X, np.zeros(6, int), Y, k=2, n_classes=2))(X)
    assert label.tolist() == [0, 0, -1, 0, 0, 0]
    mean = jax.jit(lambda y: knn.predict(X, y, X, k=1))(np.array([1.0, bad, 1, 1, 1, 1]))
    assert np.isfinite(mean).tolist() == [True, False, True, True, True, True]


def test_jit_vmap_loop_and_repeats():
    X = np.stack([data("normal", 50, 3, "float64", seed=s) for s in range(3)])
    X[1] = np.round(X[1])  # a lane whose queries are compared with all rows
    search = jax.jit(lambda Z: knn.search(Z, Z[:7], k=4))
    lanes = jax.jit(jax.vmap(search))(X)
    for i in range(3):
        eager, jitted, again = knn.search(X[i], X[i, :7], k=4), search(X[i]), search(X[i])
        for a, b, c, d in zip(eager, jitted, again, [lane[i] for lane in lanes], strict=True):
            assert (b == c).all()
            np.testing.assert_allclose(a, b, rtol=1e-14)
            np.testing.assert_allclose(b, d, rtol=1e-14)


def test_integers_lists_and_mixed_dtypes():
    D, index = knn.search([[0], [2]], [[1]], k=2)
    assert D.dtype == jnp.result_type(float)
    assert index.tolist() == [[0, 1]]
    assert knn.search(np.zeros((2, 1), "float32"), np.zeros((1, 1)), k=1)[0].dtype == "float64"


def test_derivatives():
    X = jnp.asarray(data("normal", 12, 2, "float64"))

    def total(Z, X):
        return knn.search(Z, X, k=3)[0].sum()

    queries = X[:4] + 0.05
    check_grads(total, (X, queries), order=1, modes=("fwd", "rev"), eps=1e-5, atol=1e-6, rtol=1e-6)
    # Coincident points pull on nothing: only the other neighbors count.
    g = jax.grad(total)(X, X)
    assert np.isfinite(g).all()
    y = jnp.arange(12.0)
    weight = jax.grad(lambda y: knn.predict(X, y, queries, k=3).sum())(y)
    assert abs(float(weight.sum()) - 4.0) < 1e-12
    flat = jax.grad(lambda q: knn.predict(X, y, q, k=3).sum())(queries)
    assert (flat == 0).all()


def test_lowers_for_cuda():
    X = np.zeros((3000, 4), "float32")
    text = jax.jit(lambda X: knn.search(X, X, k=5)).trace(X).lower(lowering_platforms=("cuda",))
    assert "top_k" in text.as_text()
