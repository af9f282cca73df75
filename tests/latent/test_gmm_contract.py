"""The contract of Gaussian mixtures: inputs, weights, dtypes, batches, blocks of rows."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code
from jaxml.latent import gmm
from tests import tolerances
from tests.latent.gmm_problems import FITS, code, data, start, step

# The contract ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonfinite_input(bad, key):
    X, s = data()
    params = start("full")
    X[5, 1] = bad
    for verb in (
        lambda X: gmm.fit(X, n_components=2, key=key),
        lambda X: gmm.log_likelihood(params, X),
        lambda X: gmm.responsibilities(params, X),
        lambda X: gmm.predict(params, X),
        lambda X: gmm.score(params, X),
    ):
        with pytest.raises(ValueError, match="X contains NaN or inf"):
            verb(X)
    fit = FITS["full"](X, s, params, 1e-3, 1e-6)
    assert code(fit) is Code.NONFINITE_INPUT
    assert not bool(fit.info.converged)
    assert all(np.isnan(leaf).all() for leaf in fit.params)
    X, _ = data()
    s[3] = bad
    assert code(FITS["full"](X, s, params, 1e-3, 1e-6)) is Code.NONFINITE_INPUT
    assert code(FITS["full"](X, np.zeros(40), params, 1e-3, 1e-6)) is Code.DEGENERATE


def test_bad_arguments(key):
    X, s = data()
    for call, error, match in (
        (lambda: gmm.fit(X, n_components=41, key=key), ValueError, "at most the 40 rows"),
        (lambda: gmm.fit(X, n_components=2), ValueError, "key is missing"),
        (lambda: gmm.fit(X, n_components=2, key="k"), TypeError, "random key"),
        (
            lambda: gmm.fit(X, n_components=2, key=key, covariance_type="round"),
            ValueError,
            "one of",
        ),
        (lambda: gmm.fit(X, n_components=2, key=key, reg_covar=-1.0), ValueError, "reg_covar"),
        (lambda: gmm.fit(X, n_components=2, init=start("diag")), ValueError, "must have shape"),
        (lambda: gmm.fit(X, n_components=2, init=start("full"), n_init=3), ValueError, "n_init"),
        (lambda: gmm.fit(X, n_components=2, init=3), TypeError, "init must be a Params"),
        (lambda: gmm.fit(X, n_components=2, key=key, sample_weight=-s), ValueError, ">= 0"),
        (lambda: gmm.fit(X, n_components=2, key=key, max_iter=-1), ValueError, "max_iter"),
        (lambda: gmm.fit(X[:0], n_components=2, key=key), ValueError, r"0 sample\(s\)"),
        (lambda: gmm.elbo(start("full"), X, np.ones((40, 3)) / 3), ValueError, "q needs"),
        (lambda: gmm.predict(start("full"), X[:, :1]), ValueError, r"2 feature\(s\)"),
    ):
        with pytest.raises(error, match=match):
            call()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_dtype_and_routes(dtype):
    X, _ = data(dtype=dtype)
    s = np.random.default_rng(1).integers(0, 4, 40).astype(dtype)
    init = start("full", dtype=dtype)
    one = gmm.fit(X, n_components=2, init=init, sample_weight=s, max_iter=20)
    two = gmm.fit(np.repeat(X, s.astype(int), axis=0), n_components=2, init=init, max_iter=20)
    spoiled = np.where((s == 0)[:, None], np.asarray(1e3, dtype), X)
    three = gmm.fit(spoiled, n_components=2, init=init, sample_weight=s, max_iter=20)
    again = gmm.fit(X, n_components=2, init=init, sample_weight=s, max_iter=20)
    for other in (two, three):
        for a, b in zip(one.params, other.params, strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerances.of(dtype).weights)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(again), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_batches_are_loops_and_one_bad_member_stays_alone():
    batch = [data(seed=seed) for seed in range(3)]
    X, s = (np.stack(part) for part in zip(*batch, strict=True))
    init = start("full")
    many = jax.jit(jax.vmap(lambda X, s: gmm.fit(X, n_components=2, init=init, sample_weight=s)))
    good = many(X, s)
    for i in range(3):
        one = FITS["full"](X[i], s[i], init, 1e-3, 1e-6)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(good), strict=True):
            np.testing.assert_allclose(a, b[i], rtol=1e-10, atol=1e-12)
    X[1, 4, 0] = np.nan
    mixed = many(X, s)
    assert [Code(int(c)) for c in mixed.info.code] == [0, Code.NONFINITE_INPUT, 0]
    for a, b in zip(jax.tree.leaves(mixed), jax.tree.leaves(good), strict=True):
        assert np.asarray(a)[[0, 2]].tobytes() == np.asarray(b)[[0, 2]].tobytes()


# Forms that only sizes or devices reach ----------------------------------------------------------


def test_no_array_of_rows_times_components_times_features():
    X = jnp.zeros((64, 5))
    fit = jax.jit(lambda X: gmm.fit(X, n_components=3, key=jax.random.key(0), n_init=2))
    text = fit.trace(X).lower(lowering_platforms=("cuda",)).as_text()
    assert "tensor<64x5xf64>" in text
    for axes in ("64x3x5", "64x5x3", "3x64x5", "5x64x3"):
        assert f"tensor<{axes}xf64>" not in text
    assert not re.search(r"stablehlo\.scatter[^}]*stablehlo\.add", text)  # no atomics


def test_blocks_of_many_rows():
    X, s = data(10_007, 6)
    init = start("full", 6)
    L, want = step(init, X, s, 1e-6)
    got = gmm.em_step(init, X, sample_weight=s)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)
    np.testing.assert_allclose(gmm.trace(init, X, n_steps=0, sample_weight=s)[0], L, rtol=1e-11)
