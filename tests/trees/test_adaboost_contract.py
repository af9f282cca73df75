"""The contract of AdaBoost: weights, routes, inputs, codes, dtypes, derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code
from jaxml.trees import adaboost
from tests.trees.adaboost_problems import D, N, code, fit, problem


@functools.cache
def jitted():
    return jax.jit(fit)


@functools.cache
def vmapped():
    return jax.jit(jax.vmap(fit))


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def test_tiny_weights():
    X, y, s = problem()
    want = fit(X, y, s).params
    got = fit(X, y, s * 1e-263).params
    np.testing.assert_allclose(got.weights, want.weights, rtol=1e-9)
    some = np.where(np.arange(N) % 3 == 0, 1e-263, s)
    params, info = fit(X, y, some)
    assert all(np.isfinite(leaf).all() for leaf in leaves(params))
    assert np.isfinite(float(info.objective))


def test_weights_are_removed_and_repeated_rows():
    X, y, s = problem(seed=2)
    s[::4] = 0
    want = fit(X, y, s)
    other, labels = X.copy(), y.copy()
    other[::4], labels[::4] = 1e3, 2
    for a, b in zip(leaves(fit(other, labels, s)), leaves(want), strict=True):
        np.testing.assert_array_equal(a, b)
    order = np.concatenate([np.flatnonzero(s > 0), np.flatnonzero(s == 0)])
    moved = fit(other[order], labels[order], s[order])
    np.testing.assert_allclose(moved.params.weights, want.params.weights, rtol=1e-10)
    np.testing.assert_array_equal(moved.params.trees.feature, want.params.trees.feature)
    times = np.repeat([0.0, 1.0, 2.0, 1.0], N // 4)
    rows = np.repeat(np.arange(N), times.astype(int))
    repeated = fit(X[rows], y[rows], np.ones(len(rows)))
    np.testing.assert_allclose(repeated.params.weights, fit(X, y, times).params.weights, rtol=1e-10)
    np.testing.assert_array_equal(
        repeated.params.trees.feature, fit(X, y, times).params.trees.feature
    )


def test_order_of_rows():
    X, y, s = problem(seed=3)
    want, order = fit(X, y, s), np.random.default_rng(0).permutation(N)
    got = fit(X[order], y[order], s[order])
    np.testing.assert_allclose(got.params.weights, want.params.weights, rtol=1e-10)
    np.testing.assert_array_equal(got.params.trees.feature, want.params.trees.feature)
    np.testing.assert_array_equal(got.params.trees.threshold, want.params.trees.threshold)


def test_eager_jit_vmap_and_repeats():
    batch = [problem(seed=seed) for seed in range(3)]
    eager = [fit(*one) for one in batch]
    stacked = vmapped()(*(np.stack(part) for part in zip(*batch, strict=True)))
    for i, one in enumerate(batch):
        for other in (jitted()(*one), jax.tree.map(lambda leaf, i=i: leaf[i], stacked)):
            for a, b in zip(leaves(other), leaves(eager[i]), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
        for a, b in zip(leaves(fit(*one)), leaves(eager[i]), strict=True):
            np.testing.assert_array_equal(a, b)


def test_traced_inputs_that_are_wrong_show_in_the_code():
    X, y, s = problem()
    bad = X.copy()
    bad[3, 1] = np.nan
    assert code(jitted()(bad, y, s)) is Code.NONFINITE_INPUT
    assert code(jitted()(X, np.where(y == 2, 3, y), s)) is Code.BAD_LABELS
    assert code(jitted()(X, y, 0 * s)) is Code.DEGENERATE
    params = fit(X, y, s).params
    proba = np.asarray(jax.jit(adaboost.predict_proba)(params, bad))
    assert np.isnan(proba[3]).all()
    assert np.isfinite(np.delete(proba, 3, axis=0)).all()
    assert int(jax.jit(adaboost.predict)(params, bad)[3]) == -1
    huge = X.copy() * 1e300
    np.testing.assert_array_equal(
        fit(huge, y, s).params.trees.feature, fit(X, y, s).params.trees.feature
    )


def test_concrete_inputs_that_are_wrong_raise():
    X, y, s = problem()
    bad = X.copy()
    bad[3, 1] = np.inf
    with pytest.raises(ValueError, match="X contains NaN or inf"):
        fit(bad, y, s)
    with pytest.raises(ValueError, match="labels -1 and 1"):
        adaboost.fit(X, y)
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        adaboost.fit(X, y, n_classes=2)
    with pytest.raises(ValueError, match="per row of X"):
        adaboost.fit(X, np.ones(N - 1))
    with pytest.raises(ValueError, match="n_estimators must be >= 1"):
        adaboost.fit(X, y, n_classes=3, n_estimators=0)
    with pytest.raises(ValueError, match="max_depth must be >= 1"):
        adaboost.fit(X, y, n_classes=3, max_depth=0)
    with pytest.raises(ValueError, match="n_bins must be >= 2"):
        adaboost.fit(X, y, n_classes=3, n_bins=1)
    with pytest.raises(ValueError, match="sample_weight must be >= 0"):
        fit(X, y, -s)
    params = fit(X, y, s).params
    with pytest.raises(ValueError, match=r"3 feature\(s\) of the fit"):
        adaboost.predict(params, X[:, :2])
    with pytest.raises(ValueError, match="X contains NaN or inf"):
        adaboost.decision_function(params, bad)


def test_float32_and_few_bins():
    X, y, s = problem(dtype="float32")
    params, info = fit(X, y, s, n_bins=8)
    assert {leaf.dtype.name for leaf in leaves(params)} == {"float32", "int32"}
    assert adaboost.predict_proba(params, X).dtype == "float32"
    assert info.converged
    # thresholds lie at 7 quantiles of each column
    used = np.asarray(params.trees.threshold)[:, 0]
    assert len(np.unique(used)) <= 7 * D


def test_derivatives_of_alpha_in_the_weights():
    X, y, s = problem(seed=4)

    def alpha(s):
        return fit(X, y, s).params.weights[:3]

    along = np.random.default_rng(1).uniform(-1, 1, N)
    h = 1e-6
    want = (np.asarray(alpha(s + h * along)) - np.asarray(alpha(s - h * along))) / (2 * h)
    got = jax.vjp(alpha, jnp.asarray(s))[1](jnp.array([0.5, -1.0, 2.0]))[0] @ along
    np.testing.assert_allclose(got, [0.5, -1.0, 2.0] @ want, rtol=1e-6)
