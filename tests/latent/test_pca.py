"""PCA against scikit-learn, NumPy and theorems; the contract of a model; derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from jaxml import Code, datasets
from jaxml._numerics import default_tol
from jaxml.latent import pca
from tests import processes, tolerances

METHODS = ("covariance", "svd", "randomized")
SHAPES = ((30, 5, 2), (8, 12, 3))


def problem(n=30, d=5, *, dtype="float64", seed=0):
    """Return (X, sample_weight) with variances well apart."""
    rng = np.random.default_rng([seed, n, d])
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    X = rng.normal(size=(n, d)) * 3.0 * 0.6 ** np.arange(d) @ turn + rng.normal(size=d)
    return X.astype(dtype), rng.uniform(0.5, 2.0, n).astype(dtype)


def fit(X, k=2, method="covariance", **other):
    if method == "statistics":
        sums = pca.statistics(X, sample_weight=other.pop("sample_weight", None))
        return pca.from_statistics(sums, n_components=k, **other)
    return pca.fit(X, n_components=k, method=method, key=jax.random.key(3), **other)


@functools.cache
def jitted(k, method):
    return jax.jit(lambda X, s: fit(X, k, method, sample_weight=s))


def code(found):
    return Code(int(found.info.code))


def host(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def agree(got, want, tol):
    for a, b in zip(host(got), host(want), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=tol * max(np.abs(b).max(initial=0), 1.0))


def covariance(X, s):
    X, s = np.asarray(X, float), np.asarray(s, float)
    A = X - (s / s.sum()) @ X
    return (A * s[:, None]).T @ A / (s.sum() - 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
def test_against_sklearn(method, n, d, k):
    X, _ = problem(n, d)
    s = np.random.default_rng(1).integers(1, 3, n)
    theirs = PCA(k, svd_solver="full").fit(np.repeat(X, s, axis=0))
    found = fit(X, k, method, sample_weight=s)
    assert code(found) is Code.CONVERGED
    params = found.params
    signs = np.sign(np.sum(np.asarray(params.components) * theirs.components_, axis=1))
    np.testing.assert_allclose(params.components, signs[:, None] * theirs.components_, atol=1e-9)
    np.testing.assert_allclose(params.explained_variance, theirs.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(
        pca.explained_variance_ratio(params), theirs.explained_variance_ratio_, rtol=1e-10
    )
    Z = pca.transform(params, X)
    np.testing.assert_allclose(Z, signs * theirs.transform(X), atol=1e-8)
    np.testing.assert_allclose(
        pca.inverse_transform(params, Z), theirs.inverse_transform(theirs.transform(X)), atol=1e-8
    )
    theirs.whiten = True
    W = pca.transform(params, X, whiten=True)
    np.testing.assert_allclose(W, signs * theirs.transform(X), atol=1e-8)
    agree(pca.inverse_transform(params, W, whiten=True), pca.inverse_transform(params, Z), 1e-10)
    if n > d:  # elsewhere sigma^2 is divided by min(n, d) - k there
        theirs.whiten = False
        np.testing.assert_allclose(params.noise_variance, theirs.noise_variance_, rtol=1e-10)
        np.testing.assert_allclose(
            pca.log_likelihood(params, X), theirs.score_samples(X), rtol=1e-9
        )


def test_published_deviations():
    """R's prcomp on iris, and the shares printed with it."""
    X = np.asarray(datasets.iris(dtype="float64").X)
    params = fit(X, 4).params
    # The shipped table is Fisher's own; the published figures come from the copy in R.
    want = [2.0562689, 0.4926162, 0.2796596, 0.1543862]
    np.testing.assert_allclose(np.sqrt(params.explained_variance), want, rtol=1e-6)
    np.testing.assert_allclose(
        pca.explained_variance_ratio(params), [0.9246, 0.0531, 0.0171, 0.0052], atol=5e-5
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rank", [2, 5])
def test_identities(method, dtype, rank):
    X, s = problem(dtype=dtype)
    X[:, rank:] = X[:, : 5 - rank] + X[:, 1:2] if rank < 5 else X[:, rank:]
    S = covariance(X, s)
    for k in range(1, rank + 1):
        found = jitted(k, method)(X, s)
        assert code(found) is Code.CONVERGED
        mean, V, values, noise = (np.asarray(leaf, float) for leaf in found.params)
        tol = {"float64": 1e-10, "float32": 1e-4}[dtype]
        np.testing.assert_allclose(V @ V.T, np.eye(k), atol=tol)
        np.testing.assert_allclose(mean, (s / s.sum()) @ X, atol=10 * tol)
        A = np.asarray(X, float) - mean
        lost = (s * ((A - A @ V.T @ V) ** 2).sum(1)).sum() / (s.sum() - 1)
        np.testing.assert_allclose(float(found.info.objective), lost, atol=tol * np.trace(S))
        np.testing.assert_allclose(values.sum() + lost, np.trace(S), rtol=10 * tol)
        assert noise <= values.min()
        assert (np.diff(values) <= 0).all()
        lead = V[np.arange(k), np.abs(V).argmax(1)]
        assert (lead > 0).all()


def test_ties_in_the_sign_rule_go_to_the_lowest_index():
    X = np.outer(np.arange(-3.0, 4.0), [-1.0, 1.0, -1.0])
    for method in METHODS:
        V = np.asarray(fit(X, 1, method).params.components)[0]
        np.testing.assert_allclose(V, np.array([1.0, -1.0, 1.0]) / np.sqrt(3), atol=1e-12)


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_streams(dtype):
    X, s = problem(dtype=dtype)
    a, b, c = (pca.statistics(X[i : i + 10], sample_weight=s[i : i + 10]) for i in (0, 10, 20))
    whole, tol = pca.statistics(X, sample_weight=s), 10 * tolerances.of(dtype).rounding
    for merged in (pca.merge(pca.merge(a, b), c), pca.merge(a, pca.merge(b, c))):
        agree(merged, whole, tol)
    agree(pca.merge(jax.tree.map(jnp.zeros_like, a), a), a, 0.0)
    found = pca.from_statistics(merged, n_components=2)
    agree(found.params, fit(X, sample_weight=s).params, 10 * tol)
    assert code(found) is Code.CONVERGED
    bad = jax.jit(lambda X, s: pca.statistics(X, sample_weight=s))(X, -s)
    assert np.isnan(bad.mass)
    assert int(jax.jit(lambda t: pca.from_statistics(t, n_components=1))(bad).info.code) == 9


@pytest.mark.parametrize("method", METHODS)
def test_properties(method):
    @given(st.integers(0, 50), st.sampled_from(["float32", "float64"]), st.sampled_from(SHAPES),
           st.integers(-3, 3), st.sampled_from([0.0, 1.0, 100.0]))  # fmt: skip
    def holds(seed, dtype, shape, power, offset):
        n, d, k = shape
        X, _ = problem(n, d, seed=seed)
        rng = np.random.default_rng(seed)
        X = (X * 10.0**power + offset).astype(dtype)
        s = rng.integers(0, 3, n).astype(dtype)
        s[: k + 2] = 1
        found = jitted(k, method)(X, s)
        assert code(found) < Code.DEGENERATE
        if code(found) is not Code.CONVERGED:
            return
        S = covariance(X, s)
        V, values = (np.asarray(leaf, float) for leaf in found.params[1:3])
        top = np.linalg.eigvalsh(S)[-1]
        # Recomputed in NumPy; far from 0 the rounding of X itself is no error of the fit.
        again = np.linalg.norm(V @ S - values[:, None] * V, axis=1).max() / top
        assert again <= 10 * default_tol(dtype)
        assert float(found.info.residual) <= default_tol(dtype)

    holds()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_rows_order_and_rotation(method, dtype):
    X, _ = problem(dtype=dtype)
    rng = np.random.default_rng(4)
    s = rng.integers(0, 4, 30)
    tol = {"float64": 1e-8, "float32": 1e-3}[dtype]
    want = fit(X, 2, method, sample_weight=s)
    rows = np.repeat(np.arange(30), s)
    agree(fit(X[rows], 2, method).params, want.params, tol)
    bad = X.copy()
    bad[s == 0] = 1e4
    agree(fit(bad, 2, method, sample_weight=s).params, want.params, tol)
    order = rng.permutation(30)
    agree(fit(X[order], 2, method, sample_weight=s[order]).params, want.params, tol)
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0].astype(dtype)
    turned = fit(X @ turn, 2, method, sample_weight=s).params
    agree(turned.explained_variance, want.params.explained_variance, tol)
    P, Q = (np.asarray(p.components).T @ np.asarray(p.components) for p in (turned, want.params))
    np.testing.assert_allclose(turn @ P @ turn.T, Q, atol=tol)
    agree(fit(X + 2.0, 2, method, sample_weight=s).params.components, want.params.components, tol)


@pytest.mark.parametrize("method", METHODS)
def test_contract(method):
    X, s = problem()
    for bad in (np.nan, np.inf):
        Y = X.copy()
        Y[4, 1] = bad
        with pytest.raises(ValueError, match="X contains NaN or inf"):
            fit(Y, 2, method)
        found = jitted(2, method)(Y, s)
        assert code(found) is Code.NONFINITE_INPUT
        assert all(np.isnan(leaf).all() for leaf in host(found.params))
    for weights, want in (
        (0 * s, Code.DEGENERATE),
        (-s, Code.DEGENERATE),
        (s * np.nan, Code.NONFINITE_INPUT),
    ):
        assert code(jitted(2, method)(X, weights)) is want
        with pytest.raises(ValueError, match="sample_weight"):
            fit(X, 2, method, sample_weight=weights)
    assert code(fit(X, 2, method, sample_weight=s / s.sum())) is Code.DEGENERATE  # no M - 1
    batch = [problem(seed=seed) for seed in range(3)]
    stacked = jax.jit(jax.vmap(lambda X, s: fit(X, 2, method, sample_weight=s)))
    Xs, ss = (np.stack(part) for part in zip(*batch, strict=True))
    good = stacked(Xs, ss)
    for i in range(3):
        one = fit(Xs[i], 2, method, sample_weight=ss[i])
        row = jax.tree.map(lambda leaf, i=i: leaf[i], good)
        for other in (row, jitted(2, method)(Xs[i], ss[i])):
            agree(other.params, one.params, 1e-9)
            assert code(other) is Code.CONVERGED
    Xs[1, 0, 0] = np.nan
    mixed = stacked(Xs, ss)
    np.testing.assert_array_equal(mixed.info.code, [0, Code.NONFINITE_INPUT, 0])
    for a, b in zip(host(mixed), host(good), strict=True):
        assert a[[0, 2]].tobytes() == b[[0, 2]].tobytes()
    again = [host(fit(X, 2, method, sample_weight=s)) for _ in range(2)]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(*again, strict=True))
    kept = X.copy()
    fit(X, 2, method)
    np.testing.assert_array_equal(X, kept)


def test_arguments():
    X, _ = problem()
    with pytest.raises(ValueError, match=r"at most min\(n, d\) = 5: got 6"):
        fit(X, 6)
    with pytest.raises(ValueError, match="n_components must be >= 1"):
        fit(X, 0)
    with pytest.raises(TypeError, match="n_components"):
        fit(X, 0.9)
    with pytest.raises(ValueError, match="one of auto, covariance, svd, randomized"):
        fit(X, 2, "full")
    with pytest.raises(ValueError, match="needs a key"):
        pca.fit(X, n_components=2, method="randomized")
    with pytest.raises(ValueError, match="tol must be > 0"):
        fit(X, tol=0.0)
    for empty in (X[:0], X[:, :0], X[:, 0]):
        with pytest.raises(ValueError, match="X "):
            fit(empty, 1)
    with pytest.raises(TypeError, match="Complex"):
        fit(X + 0j)
    params = fit(X).params
    with pytest.raises(ValueError, match=r"5 feature\(s\)"):
        pca.transform(params, X[:, :3])
    with pytest.raises(ValueError, match=r"2 component\(s\)"):
        pca.inverse_transform(params, X)
    with pytest.raises(ValueError, match="NaN"):
        pca.transform(params, X * np.nan)
    with pytest.raises(ValueError, match="at most d = 5"):
        pca.from_statistics(pca.statistics(X), n_components=6)
    assert {leaf.dtype.name for leaf in host(fit(np.round(X).astype("int32")).params)} == {
        "float64"
    }
    flat = np.random.default_rng(0).normal(size=(80, 60))
    slow = fit(flat, 2, "randomized", max_iter=1, tol=1e-14)
    assert code(slow) is Code.MAX_ITER
    assert int(slow.info.n_iter) == 1


H = 1e-4


def _difference(f, at):
    return jax.tree.map(
        lambda a, b, c, e: (a - 8 * b + 8 * c - e) / (12 * H),
        *(f(at + t * H) for t in (-2.0, -1.0, 1.0, 2.0)),
    )


@pytest.mark.parametrize(
    ("method", "n", "d", "k"),
    [
        ("covariance", *SHAPES[0]),
        ("covariance", *SHAPES[1]),
        ("randomized", *SHAPES[0]),
        ("statistics", *SHAPES[0]),
    ],
)
def test_derivatives_against_refits(method, n, d, k):
    """Of every parameter where eigenvalues are apart: vectors, variances, mean, noise."""
    X, s = problem(n, d, seed=6)
    rng = np.random.default_rng(8)
    dX, ds = rng.normal(size=X.shape), 0.3 * rng.normal(size=n)

    @jax.jit
    def along(t):
        found = fit(X + t * dX, k, method, sample_weight=s + t * ds, tol=1e-13)
        return found.params, found.info.objective, pca.log_likelihood(found.params, X).sum()

    want = _difference(along, 0.0)
    _, got = jax.jvp(along, (0.0,), (1.0,))
    for a, b in zip(host(got), host(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * max(np.abs(b).max(), 1e-3))
    u = jax.tree.map(lambda leaf: np.cos(1.0 + np.arange(leaf.size)).reshape(leaf.shape), got)
    (pulled,) = jax.vjp(along, 0.0)[1](u)
    inner = sum(np.sum(a * b) for a, b in zip(host(u), host(got), strict=True))
    np.testing.assert_allclose(pulled, inner, rtol=1e-9)


@pytest.mark.parametrize("method", ["covariance", "randomized", "statistics"])
def test_the_projector_has_a_derivative_where_eigenvalues_repeat(method):
    rng = np.random.default_rng(9)
    Z = rng.normal(size=(20, 5))
    X = np.linalg.qr(Z - Z.mean(0))[0] * [3.0, 3.0, 3.0, 1.0, 1.0]
    dX = rng.normal(size=X.shape)

    @jax.jit
    def projector(t):
        V = fit(X + t * dX, 3, method, tol=1e-13).params.components
        return V.T @ V

    want = _difference(projector, 0.0)
    np.testing.assert_allclose(jax.jacfwd(projector)(0.0), want, atol=1e-6)
    np.testing.assert_allclose(jax.jacrev(projector)(0.0), want, atol=1e-6)
    plain = jax.jacfwd(lambda t: jnp.linalg.eigh((X + t * dX).T @ (X + t * dX))[1][:, 2:])(0.0)
    assert not np.isfinite(plain).all() or np.abs(plain).max() > 1e6  # what the rule is for


SHARDED = """
    from jaxml.latent import pca
    key = jax.random.key(0)
    for n, method in ((96, "covariance"), (2 * 4096 * 8, "covariance"), (96, "randomized")):
        rng = np.random.default_rng(n)
        X, s = rng.normal(size=(n, 5)) * [5, 3, 2, 1, 1] + 1, rng.uniform(0.5, 2.0, n)
        same(lambda X, s: pca.fit(X, n_components=2, method=method, key=key, sample_weight=s),
             X, s, atol=1e-9)
"""


def test_sharded_rows():
    processes.run_on_two_devices(SHARDED)


def test_without_x64():
    text = """
        import jax, numpy as np
        from jaxml.latent import pca
        X = np.random.default_rng(0).normal(size=(20, 4)) * [4, 2, 1, 1]
        for method in ("covariance", "svd", "randomized"):
            fit = pca.fit(X, n_components=2, method=method, key=jax.random.key(0))
            assert int(fit.info.code) == 0, fit.info
            assert {leaf.dtype.name for leaf in fit.params} == {"float32"}
        print("done")
    """
    assert processes.run(text, JAX_PLATFORMS="cpu").strip() == "done"
