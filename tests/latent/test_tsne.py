"""Fits of t-SNE: certificates by double loops, and grids, blobs and digits laid out well."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml import Code, datasets
from jaxml.latent import tsne
from tests.latent.tsne_problems import KEY, QUICK, blobs, code, double_loop, joint


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_certificate_recomputed_by_double_loops(dtype):
    X, _ = blobs(24, dtype)
    fit = tsne.fit(X, key=KEY, perplexity=4.0, max_iter=2000, tol=0.01, learning_rate=10.0)
    assert code(fit) is Code.CONVERGED
    assert 250 <= int(fit.info.n_iter) < 2000
    assert float(fit.info.residual) <= 0.01
    Y = fit.params.embedding
    assert Y.dtype == fit.info.objective.dtype == dtype
    kl, G, A = double_loop(Y, joint(X, 4.0))
    residual = np.linalg.norm(G) / np.linalg.norm(A)
    assert abs(residual - float(fit.info.residual)) < (1e-4 if dtype == "float32" else 1e-10)
    assert abs(kl - float(fit.info.objective)) < (1e-4 if dtype == "float32" else 1e-10)
    np.testing.assert_allclose(np.asarray(Y).mean(axis=0), 0, atol=1e-4)


@given(st.integers(0, 100), st.sampled_from(["float32", "float64"]), st.sampled_from([2.0, 6.0]))
def test_converged_is_a_small_residual(seed, dtype, perplexity):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(14, 3)) * 10.0 ** rng.integers(-3, 4)
    X[3] = X[2]
    fit = tsne.fit(
        X.astype(dtype), key=KEY, perplexity=perplexity, learning_rate=5.0, max_iter=600, tol=0.01
    )
    assert code(fit) < Code.DEGENERATE
    assert np.isfinite(fit.params.embedding).all()
    _, G, A = double_loop(fit.params.embedding, joint(X.astype(dtype), perplexity))
    again = np.linalg.norm(G) / np.linalg.norm(A)
    assert (again <= 0.01 * 10) or code(fit) is Code.MAX_ITER


@pytest.mark.parametrize("n", [60, 540])  # all pairs; a graph
def test_blobs_come_out_apart(n):
    X, of = blobs(n, "float32")
    fit = tsne.fit(X, key=KEY, perplexity=10.0, max_iter=500)
    Y = np.asarray(fit.params.embedding)
    centers = np.stack([Y[of == c].mean(axis=0) for c in range(3)])
    nearest = ((Y[:, None] - centers[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == of).all()


def test_a_grid_stays_a_grid():
    X = np.stack(np.meshgrid(np.linspace(0, 1, 21), np.linspace(0, 1, 21)), axis=-1).reshape(-1, 2)
    fit = tsne.fit(X.astype("float32"), key=KEY, perplexity=50.0, init="random", max_iter=500)
    Y = np.asarray(fit.params.embedding)
    D = np.sqrt(((Y[:, None] - Y[None]) ** 2).sum(axis=2))
    np.fill_diagonal(D, np.inf)
    least = D.min(axis=1)
    assert least.min() > 0.1
    assert least.min() / least.mean() > 0.5
    assert least.max() / least.mean() < 2


@pytest.fixture(scope="module")
def digits():
    """600 digits, enough for a graph, and the fits of 260, 400 and 700 steps."""
    X = np.asarray(datasets.digits(dtype="float32").X)[:600]
    return X, [tsne.fit(X, key=KEY, max_iter=steps, perplexity=20.0) for steps in (260, 400, 700)]


def test_digits_are_trustworthy_and_the_divergence_falls(digits):
    manifold = pytest.importorskip("sklearn.manifold")
    X, fits = digits
    assert manifold.trustworthiness(X, np.asarray(fits[-1].params.embedding), n_neighbors=5) > 0.95
    kl = [float(fit.info.objective) for fit in fits]
    assert kl[0] > kl[1] > kl[2]
    # What the graph leaves out of P is little: the divergence from all pairs is nearly the same.
    with jax.enable_x64(True):
        P = tsne.affinities(X.astype("float64"), perplexity=20.0)
        dense = float(tsne.loss(jnp.asarray(fits[-1].params.embedding, "float64"), P))
    assert abs(dense - kl[2]) < 0.1


def test_no_worse_than_scikit_learn(digits):
    manifold = pytest.importorskip("sklearn.manifold")
    X, _ = digits
    start = np.random.default_rng(0).normal(size=(600, 2)).astype("float32") * 1e-4
    ours = tsne.fit(X, key=KEY, max_iter=400, perplexity=20.0, init=start)
    peer = manifold.TSNE(init=start, perplexity=20.0, max_iter=400).fit(X)
    P = joint(X, 20.0)
    kl = [
        float(tsne.loss(jnp.asarray(Y, "float64"), P))
        for Y in (ours.params.embedding, peer.embedding_)
    ]
    assert kl[0] < 1.05 * kl[1]


@pytest.mark.parametrize("steps", [1, 2, 19, 20, 21])
def test_objective_is_finite_after_any_number_of_steps(steps):
    X, _ = blobs(20)
    fit = tsne.fit(X, key=KEY, **{**QUICK, "max_iter": steps})
    assert code(fit) is Code.MAX_ITER
    assert int(fit.info.n_iter) == steps
    assert np.isfinite(fit.info.objective)


def test_hyperparameters_are_what_they_say():
    X, _ = blobs(20)
    given_at = np.random.default_rng(0).normal(size=(20, 3))
    given_at -= given_at.mean(axis=0)
    how = {"init": given_at, "n_components": 3, "perplexity": 4.0, "learning_rate": 2.0}
    Y = np.asarray(tsne.fit(X, key=KEY, max_iter=1, early_exaggeration=3.0, **how).params.embedding)
    P = joint(X, 4.0)
    # The first step: gains 0.8 where v = 0, momentum no part yet.
    _, G, _ = double_loop(given_at, P)
    _, _, A = double_loop(given_at, P)
    np.testing.assert_allclose(Y, given_at - 2.0 * 0.8 * (G + 2 * A), atol=1e-10)
    Y = tsne.fit(X, key=KEY, max_iter=1, exaggeration_iter=0, **how).params.embedding
    np.testing.assert_allclose(Y, given_at - 2.0 * 0.8 * G, atol=1e-10)
    auto = tsne.fit(X, key=KEY, max_iter=3, perplexity=4.0).params.embedding
    assert (
        auto
        == tsne.fit(X, key=KEY, max_iter=3, perplexity=4.0, learning_rate=50.0).params.embedding
    ).all()


def test_start_by_principal_components():
    X, _ = blobs(30)
    Y = np.asarray(
        tsne.fit(X, key=KEY, **{**QUICK, "max_iter": 1, "learning_rate": 1e-12}).params.embedding
    )
    Xc = X - X.mean(axis=0)
    V = np.linalg.svd(Xc)[2][:2].T
    V = V * np.sign(V[np.abs(V).argmax(axis=0), [0, 1]])
    want = Xc @ V
    np.testing.assert_allclose(Y, 1e-4 * want / want[:, 0].std(), atol=1e-11)
    wide = tsne.fit(X[:6].repeat(3, axis=1), key=KEY, **{**QUICK, "perplexity": 2.0, "max_iter": 1})
    assert np.isfinite(wide.params.embedding).all()
    # One feature: the second column comes from the key, or it would stay 0 for ever.
    flat = tsne.fit(X[:, :1], key=KEY, **QUICK).params.embedding
    assert np.asarray(flat)[:, 1].std() > 0


def test_rotated_and_reordered_rows():
    X, _ = blobs(24)
    start = np.random.default_rng(0).normal(size=(24, 2)) * 1e-2
    fit = tsne.fit(X, key=KEY, init=start, **QUICK).params.embedding
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    np.testing.assert_allclose(
        tsne.fit(X @ Q, key=KEY, init=start, **QUICK).params.embedding, fit, atol=1e-6
    )
    order = np.random.default_rng(2).permutation(24)
    moved = tsne.fit(X[order], key=KEY, init=start[order], **QUICK).params.embedding
    np.testing.assert_allclose(moved, np.asarray(fit)[order], atol=1e-6)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    # Gains look at single numbers, so a turned start ends elsewhere, but about as well.
    turned = tsne.fit(X, key=KEY, init=start @ turn, **{**QUICK, "max_iter": 400})
    straight = tsne.fit(X, key=KEY, init=start, **{**QUICK, "max_iter": 400})
    assert abs(float(turned.info.objective - straight.info.objective)) < 0.3
