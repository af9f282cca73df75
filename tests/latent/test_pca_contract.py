"""The contract of PCA: routes, streams, arguments, codes, devices, and life without x64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code
from jaxml.latent import pca
from tests import processes, tolerances
from tests.latent.pca_problems import METHODS, agree, code, fit, host, jitted, problem


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
