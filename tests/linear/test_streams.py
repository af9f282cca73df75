"""Least squares from merged statistics: the one-pass fit, and codes that say what was lost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code
from jaxml.linear import least_squares
from tests import tolerances


def problem(dtype="float64"):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3)) + np.array([2.0, -1.0, 0.5])
    y = X @ [1.0, -2.0, 0.5] + 1.0 + 0.3 * rng.normal(size=30)
    return X.astype(dtype), y.astype(dtype), rng.uniform(0.5, 2.0, 30).astype(dtype)


def streamed(X, y, s, **other):
    parts = [
        least_squares.statistics(X[i : i + 10], y[i : i + 10], sample_weight=s[i : i + 10])
        for i in (0, 10, 20)
    ]
    merged = least_squares.merge(least_squares.merge(parts[0], parts[1]), parts[2])
    return least_squares.from_statistics(merged, **other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_merged_is_one_pass(dtype, fit_intercept):
    X, y, s = problem(dtype)
    got = streamed(X, y, s, fit_intercept=fit_intercept)
    want = least_squares.fit(X, y, sample_weight=s, fit_intercept=fit_intercept)
    assert int(got.info.code) == int(want.info.code) == 0
    tol = 100 * tolerances.of(dtype).rounding
    for a, b in zip(jax.tree.leaves(got.params), jax.tree.leaves(want.params), strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, atol=tol)
    np.testing.assert_allclose(got.info.objective, want.info.objective, rtol=100 * tol)
    w, p = np.asarray(got.params.coef, float), s.astype(float) / s.sum()
    r = X @ w + float(got.params.intercept) - y
    A = X - p @ X if fit_intercept else X
    q = y - p @ y if fit_intercept else y
    residual = np.abs(A.T @ (p * r)) / np.sqrt(p @ A**2) / np.sqrt(p @ q**2)
    assert residual.max() <= 10 * np.finfo(dtype).eps ** (2 / 3)


def test_dependent_and_nearly_dependent_columns():
    X, y, s = problem()
    twice = np.concatenate([X, 2 * X[:, :1]], axis=1)
    got, want = streamed(twice, y, s), least_squares.fit(twice, y, sample_weight=s)
    assert Code(int(got.info.code)) is Code.RANK_DEFICIENT
    np.testing.assert_allclose(got.params.coef, want.params.coef, atol=1e-9)
    noise = np.random.default_rng(1).normal(size=(30, 1))
    near = np.concatenate([X, X[:, :1] + 1e-5 * noise], axis=1)
    assert Code(int(streamed(near, y, s).info.code)) is Code.ILL_CONDITIONED
    assert int(least_squares.fit(near, y, sample_weight=s).info.code) == 0


def test_derivatives_are_those_of_the_fit():
    X, y, s = problem()

    def through(X, s):
        found = least_squares.statistics(X, y, sample_weight=s)
        return least_squares.from_statistics(found).params

    def plain(X, s):
        return least_squares.fit(X, y, sample_weight=s).params

    for mode in (jax.jacfwd, jax.jacrev):
        got, want = (jax.jit(mode(f, (0, 1)))(X, s) for f in (through, plain))
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10)


def test_bad_input():
    X, y, s = problem()
    for bad in (np.nan, np.inf):
        Y = X.copy()
        Y[3, 1] = bad
        with pytest.raises(ValueError, match="X contains NaN or inf"):
            least_squares.statistics(Y, y)
        found = jax.jit(least_squares.statistics)(Y, y)
        assert int(jax.jit(least_squares.from_statistics)(found).info.code) == Code.NONFINITE_INPUT
    negative = jax.jit(lambda s: least_squares.statistics(X, y, sample_weight=s))(-s)
    assert np.isnan(negative.mass)
    nothing = jax.tree.map(jnp.zeros_like, least_squares.statistics(X, y))
    assert int(least_squares.from_statistics(nothing).info.code) == Code.DEGENERATE
