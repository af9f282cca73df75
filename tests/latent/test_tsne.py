"""t-SNE against double loops and scikit-learn, on grids, blobs and digits; its contract."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml import Code, datasets
from jaxml.latent import _affinities, _forces, tsne

KEY = jax.random.key(0)
QUICK = {"perplexity": 5.0, "max_iter": 60, "exaggeration_iter": 20, "learning_rate": 10.0}


def code(fit):
    """The code of a fit as a Code."""
    return Code(int(fit.info.code))


def conditional(X, perplexity):
    """c by bisection, row after row, in float64."""
    X = np.asarray(X, np.float64)
    n = len(X)
    C = np.zeros((n, n))
    for i in range(n):
        j = np.delete(np.arange(n), i)
        D = ((X[i] - X[j]) ** 2).sum(axis=1)
        low, high = -60.0, 60.0
        for _ in range(200):
            t = (low + high) / 2
            c = np.exp(-np.exp(t) * (D - D.min()))
            c /= c.sum()
            H = -(c[c > 0] * np.log(c[c > 0])).sum()
            low, high = (t, high) if np.log(perplexity) < H else (low, t)
        C[i, j] = c
    return C


def joint(X, perplexity):
    """P of all pairs."""
    C = conditional(X, perplexity)
    return (C + C.T) / (2 * len(C))


def double_loop(Y, P):
    """KL, its gradient and the attractive part of that, by two loops over points."""
    Y = np.asarray(Y, np.float64)
    n = len(Y)
    W = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j:
                W[i, j] = 1 / (1 + ((Y[i] - Y[j]) ** 2).sum())
    Q = W / W.sum()
    G, A, kl = np.zeros_like(Y), np.zeros_like(Y), 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                G[i] += 4 * (P[i, j] - Q[i, j]) * W[i, j] * (Y[i] - Y[j])
                A[i] += 4 * P[i, j] * W[i, j] * (Y[i] - Y[j])
                kl += P[i, j] * np.log(P[i, j] / Q[i, j]) if P[i, j] > 0 else 0.0
    return kl, G, A


def blobs(n=60, dtype="float64", seed=0):
    """Three groups far apart, and which one each row is of."""
    rng = np.random.default_rng(seed)
    of = np.arange(n) % 3
    return (rng.normal(size=(n, 4)) + 12 * np.eye(4)[of]).astype(dtype), of


# gradient and affinities -----------------------------------------------------------------------

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


# fits ------------------------------------------------------------------------------------------


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


# contract --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [30, 520])
def test_equal_rows_are_degenerate(n):
    fit = tsne.fit(np.full((n, 2), 3.0), key=KEY, **QUICK)
    assert code(fit) is Code.DEGENERATE
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fit))


@pytest.mark.parametrize("n", [30, 520])
def test_duplicates_among_others(n):
    X, _ = blobs(n)
    X[: n // 2] = X[0]
    fit = tsne.fit(X, key=KEY, **QUICK)
    assert code(fit) is Code.MAX_ITER
    assert np.isfinite(fit.params.embedding).all()


def test_bad_arguments():
    X, _ = blobs(20)
    for f in (tsne.affinities, lambda X, **kw: tsne.fit(X, key=KEY, **kw)):
        with pytest.raises(ValueError, match="perplexity must be less than the number of rows"):
            f(X, perplexity=20.0)
        with pytest.raises(ValueError, match="perplexity must be >= 1"):
            f(X, perplexity=0.5)
        with pytest.raises(ValueError, match="X contains NaN or inf"):
            f(np.where(np.arange(4) == 1, np.nan, X), perplexity=3.0)
        with pytest.raises(ValueError, match="2 axes"):
            f(X[:, 0], perplexity=3.0)
    with pytest.raises(ValueError, match=r"init must have shape \(20, 2\)"):
        tsne.fit(X, key=KEY, perplexity=3.0, init=X)
    with pytest.raises(ValueError, match="init must be one of pca, random"):
        tsne.fit(X, key=KEY, perplexity=3.0, init="spectral")
    with pytest.raises(ValueError, match="learning_rate must be one of auto"):
        tsne.fit(X, key=KEY, perplexity=3.0, learning_rate="fast")
    for name in ("learning_rate", "early_exaggeration", "tol"):
        with pytest.raises(ValueError, match=f"{name} must be > 0"):
            tsne.fit(X, key=KEY, perplexity=3.0, **{name: 0.0})
    with pytest.raises(ValueError, match="max_iter must be >= 1"):
        tsne.fit(X, key=KEY, perplexity=3.0, max_iter=0)
    big = np.zeros((513, 1))
    with pytest.raises(ValueError, match="more than 512 rows"):
        jax.jit(lambda p: tsne.fit(big, key=KEY, perplexity=p))(3.0)


@pytest.mark.parametrize("n", [24, 520])
def test_traced_numbers_that_are_bad(n):
    X, _ = blobs(n)
    fit = jax.jit(lambda X: tsne.fit(X, key=KEY, **QUICK))
    X[3, 1] = np.inf
    bad = fit(X)
    assert code(bad) is Code.NONFINITE_INPUT
    assert np.isnan(bad.params.embedding).all()


def test_divergence_is_told():
    X, _ = blobs(24)
    fit = tsne.fit(X, key=KEY, **{**QUICK, "learning_rate": 1e300})
    assert code(fit) is Code.DIVERGED
    assert np.isnan(fit.params.embedding).all()


def test_traced_perplexity_out_of_range_is_degenerate():
    X, _ = blobs(24)
    how = {**QUICK}
    del how["perplexity"]
    fits = jax.jit(jax.vmap(lambda p: tsne.fit(X, key=KEY, perplexity=p, **how)))(
        jnp.array([5.0, 24.0, 0.5, jnp.nan])
    )
    assert fits.info.code.tolist() == [1, 5, 5, 9]
    solo = tsne.fit(X, key=KEY, **QUICK).params.embedding
    np.testing.assert_allclose(fits.params.embedding[0], solo, atol=1e-9)


def test_jit_vmap_repeats_and_keys():
    X, _ = blobs(24)
    how = {**QUICK, "init": "random"}
    keys = jax.random.split(KEY, 3)
    one = jax.jit(lambda key: tsne.fit(X, key=key, **how))
    lanes = jax.jit(jax.vmap(one))(keys)
    for i in range(3):
        a, b, c = one(keys[i]), one(keys[i]), tsne.fit(X, key=keys[i], **how)
        assert (a.params.embedding == b.params.embedding).all()
        np.testing.assert_allclose(c.params.embedding, a.params.embedding, atol=1e-9)
        np.testing.assert_allclose(lanes.params.embedding[i], a.params.embedding, atol=1e-9)
    assert not np.allclose(lanes.params.embedding[0], lanes.params.embedding[1])


def test_fits_have_no_derivative_and_say_so():
    X, _ = blobs(24)

    def spread(X):
        return (tsne.fit(X, key=KEY, **QUICK).params.embedding ** 2).sum()

    assert (jax.grad(spread)(jnp.asarray(X)) == 0).all()
    assert "All derivatives of a fit are" in tsne.fit.__doc__


@pytest.mark.parametrize("n", [40, 600])
def test_lowers_for_cuda(n):
    traced = jax.jit(lambda X: tsne.fit(X, key=KEY, **QUICK)).trace(np.zeros((n, 4), "float32"))

    def adds_by_scatter(platform):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert "stablehlo.while" in text
        regions = re.findall(r"stablehlo\.scatter.*?stablehlo\.return[^\n]*", text, re.DOTALL)
        return any("stablehlo.add" in region for region in regions)

    # A GPU would add in any order. On a CPU, which adds in order, a graph is summed that way.
    assert not adds_by_scatter("cuda")
    assert adds_by_scatter("cpu") == (n > tsne.DENSE)
