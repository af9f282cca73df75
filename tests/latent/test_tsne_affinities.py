"""The gradient and the affinities of t-SNE against double loops, bisection and identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.latent import _affinities, _forces, tsne
from tests.latent.tsne_problems import blobs, double_loop, joint

TWO = ([[1.0, 0.0], [0.0, 1.0]], [[-4.961291e-05, -1.072243e-04], [9.259460e-05, 2.702024e-04]])
FOUR = (
    [[1.0, 0.0], [0.0, 1.0], [5.0, 2.0], [7.3, 2.2]],
    [[6.080564e-05, -7.120823e-05], [-1.718945e-04, -4.000536e-05],
     [-2.271720e-04, 8.663310e-05], [-1.032577e-04, -3.582033e-05]],
)  # fmt: skip


@pytest.mark.parametrize(("X", "Y", "perplexity"), [(*TWO, 1.0), (*FOUR, 1.5), (*FOUR, 2.9)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradient_at_few_points(X, Y, perplexity, dtype):
    X, Y = jnp.array(X, dtype), jnp.array(Y, dtype)
    P = tsne.affinities(X, perplexity=perplexity)
    np.testing.assert_allclose(P, joint(X, perplexity), atol=1e-6 if dtype == "float32" else 1e-12)
    kl, G, _ = double_loop(Y, np.asarray(P, np.float64))
    assert abs(float(tsne.loss(Y, P)) - kl) < (1e-6 if dtype == "float32" else 1e-13)
    np.testing.assert_allclose(jax.grad(tsne.loss)(Y, P), G, atol=1e-7)


def test_forces_in_tiles_and_along_a_graph_are_the_gradient():
    X, _ = blobs(23)
    Y = jnp.asarray(np.random.default_rng(1).normal(size=(23, 3)) * 4)
    graph = _affinities.neighbor_graph(jnp.asarray(X), jnp.asarray(4.0), 22)
    kl, G, _ = double_loop(Y, joint(X, 4.0))
    slots = _forces.slots(graph)
    R, Z = _forces.push(Y)
    got = 4 * (_forces.pull_of_graph(Y, graph, slots) - R / Z)
    np.testing.assert_allclose(got, G, atol=1e-12 * np.abs(G).max())
    assert abs(float(_forces.kl_of_graph(Y, graph, Z)) - kl) < 1e-12


def test_a_graph_of_few_neighbors_sums_to_one():
    X, _ = blobs(40)
    graph = _affinities.neighbor_graph(jnp.asarray(X), jnp.asarray(3.0), 7)
    assert abs(float((graph.times * graph.p).sum()) - 1) < 1e-12
    # p written out as a matrix, from either end of a pair, is symmetric.
    P = np.zeros((40, 40))
    for s in range(7):
        for i in range(40):
            j = int(graph.neighbor[s, i])
            assert i != j
            assert P[i, j] in (0.0, float(graph.p[s, i]))
            P[i, j] = P[j, i] = float(graph.p[s, i])
    assert abs(P.sum() - 1) < 1e-12
    D = ((X[:, None] - X[None]) ** 2).sum(axis=2)
    np.fill_diagonal(D, np.inf)
    assert (
        np.sort(np.asarray(graph.neighbor), axis=0) == np.sort(D.argsort(1)[:, :7].T, axis=0)
    ).all()


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-3), ("float64", 1e-8)])
@pytest.mark.parametrize("kind", ["normal", "narrow", "outlier", "tiny"])
def test_every_row_has_the_perplexity(dtype, rtol, kind):
    rng = np.random.default_rng(0)
    n = 60
    D = rng.uniform(1, 9, (n, n))
    if kind == "narrow":  # exp(-100 b) underflows in float32
        D = 100 + rng.uniform(-1, 1, (n, n))
    elif kind == "outlier":
        D[0] *= 1e8
    elif kind == "tiny":
        D *= 1e-20
    target = 25.0 if kind == "normal" else 30.0
    C = _affinities.rows_of_entropy(
        jnp.asarray(D, dtype), ~jnp.eye(n, dtype=bool), jnp.log(jnp.asarray(target, dtype))
    )
    C = np.asarray(C, np.float64)
    H = -np.where(C > 0, C * np.log(np.where(C > 0, C, 1.0)), 0.0).sum(axis=0)
    np.testing.assert_allclose(np.exp(H), target, rtol=rtol)
    np.testing.assert_allclose(C.sum(axis=0), 1, rtol=1e-5)


def test_more_equal_rows_than_the_perplexity():
    X = np.concatenate([np.zeros((10, 2)), np.random.default_rng(0).normal(size=(20, 2)) + 5])
    P = np.asarray(tsne.affinities(X, perplexity=4.0))
    assert np.isfinite(P).all()
    assert abs(P.sum() - 1) < 1e-12
    np.testing.assert_allclose(P[:10, :10][~np.eye(10, dtype=bool)], 1 / 9 / 30, rtol=1e-9)


def test_affinities_do_not_see_rotation_shift_or_scale():
    X, _ = blobs(20)
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    P = tsne.affinities(X, perplexity=5.0)
    np.testing.assert_allclose(tsne.affinities(1e3 * X @ Q + 7, perplexity=5.0), P, atol=1e-12)
    order = np.random.default_rng(1).permutation(20)
    np.testing.assert_allclose(
        tsne.affinities(X[order], perplexity=5.0), np.asarray(P)[order][:, order], atol=1e-14
    )


def test_derivatives_of_affinities_are_those_of_the_solution():
    X, _ = blobs(8)
    Y = jnp.asarray(np.random.default_rng(1).normal(size=(8, 2)))

    def f(X, perplexity):
        return tsne.loss(Y, tsne.affinities(X, perplexity=perplexity))

    x, g = jnp.asarray(X), jax.grad(f, argnums=(0, 1))(jnp.asarray(X), 3.0)
    v = np.random.default_rng(2).normal(size=X.shape)
    h = 1e-4
    slope = (f(x + h * v, 3.0) - f(x - h * v, 3.0)) / (2 * h)
    assert abs(float((g[0] * v).sum() - slope)) < 1e-7
    assert abs(float(g[1] - (f(x, 3.0 + h) - f(x, 3.0 - h)) / (2 * h))) < 1e-7
