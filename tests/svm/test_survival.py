"""Inputs that hang or mislead other libraries end soon, with an answer or with a code."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code, kernels
from jaxml.svm import dual
from tests.svm.family import code, gap, problem


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_libsvm_never_returns_from(dtype):
    """Its K is float32, whose rounding exceeds the curvature between the points."""
    X, y = np.array([[1, 99999], [2, 99999]], dtype), np.array([-1, 1])
    kernel = kernels.Polynomial(2, 0.5, 0.0)
    jax.block_until_ready(dual.fit(X, y, kernel=kernel))
    start = time.perf_counter()
    fit = jax.block_until_ready(dual.fit(X, y, kernel=kernel))
    assert time.perf_counter() - start < 1.0
    if dtype == "float32":
        assert code(fit) in (Code.MAX_ITER, Code.ILL_CONDITIONED)
    else:  # float64 resolves it
        assert code(fit) is Code.CONVERGED
        K = (0.5 * X @ X.T) ** 2
        assert gap(K, y, np.ones(2), np.asarray(fit.params.dual_coef))[0] <= 1e-2


def test_a_steep_polynomial_ends_with_a_code():
    """Degree 4, C = 100 on unscaled columns (scikit-learn #30353)."""
    X, y, _ = problem(40)
    X = X * np.array([1.0, 50.0, 1000.0])
    start = time.perf_counter()
    fit = jax.block_until_ready(
        dual.fit(X, y, kernel=kernels.Polynomial(4, 1.0, 1.0), C=100.0, max_iter=50_000)
    )
    assert time.perf_counter() - start < 60.0
    assert code(fit) in (Code.MAX_ITER, Code.LINE_SEARCH_FAILED, Code.ILL_CONDITIONED)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fit.params))


def test_hard_margins():
    X, y, _ = problem(24)
    X = X + 3.0 * y[:, None]  # separable
    Z = problem(9, seed=3)[0]
    fits = [dual.fit(X, y, kernel=kernels.Linear(), C=C, tol=1e-8) for C in (np.inf, 1e10)]
    for fit in fits:
        assert code(fit) is Code.CONVERGED
        assert float(fit.info.gap) <= 1e-6
        margins = y * np.asarray(dual.decision_function(fit.params, X))
        np.testing.assert_allclose(margins.min(), 1.0, atol=1e-6)
    scores = [np.asarray(dual.decision_function(fit.params, Z)) for fit in fits]
    np.testing.assert_allclose(*scores, atol=1e-6)
    # Overlapping classes have none: the dual is unbounded, which ends in a code.
    X, y, _ = problem(24)
    fit = dual.fit(X, y, kernel=kernels.Linear(), C=np.inf, max_iter=2000)
    assert code(fit) is not Code.CONVERGED


def test_duplicates_opposite_labels_and_equal_points():
    X, y, s = problem(24)
    twice = np.concatenate([X, X])
    for labels in (np.append(y, y), np.append(y, -y)):
        fit = dual.fit(twice, labels, kernel=kernels.RBF(0.3), C=1.0, tol=1e-6)
        assert code(fit) is Code.CONVERGED
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fit))
    one = dual.fit(X, y, kernel=kernels.RBF(0.3), C=2.0, tol=1e-9)
    two = dual.fit(twice, np.append(y, y), kernel=kernels.RBF(0.3), C=1.0, tol=1e-9)
    scores = [np.asarray(dual.decision_function(f.params, X)) for f in (one, two)]
    np.testing.assert_allclose(*scores, atol=1e-6)
    # Opposite labels on every point: f = 0 is best, and every slack is 1.
    both = dual.fit(twice, np.append(y, -y), kernel=kernels.RBF(0.3), C=1.0, tol=1e-9)
    scores = np.asarray(dual.decision_function(both.params, X))
    np.testing.assert_allclose(scores, scores[0], atol=1e-6)
    # All points equal: K has rank one, f is constant.
    fit = dual.fit(np.ones((24, 3)), y, kernel=kernels.RBF(0.3), sample_weight=s)
    assert code(fit) is Code.CONVERGED
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fit))


def test_an_indefinite_kernel_is_said():
    X, y, _ = problem(24)

    def sigmoid(x, z):
        return jnp.tanh(-0.5 * (x @ z) + 0.1)

    fit = dual.fit(X, y, kernel=sigmoid)
    assert code(fit) is Code.ILL_CONDITIONED
    K = -np.eye(24) + 0.1
    assert code(dual.fit(K, y, kernel="precomputed")) is Code.ILL_CONDITIONED


def test_overflow_of_the_kernel_is_not_blamed_on_the_input():
    X, y, _ = problem(24)
    fit = dual.fit(X * 1e160, y, kernel=kernels.Linear())
    assert code(fit) is Code.DIVERGED
    assert np.isnan(fit.params.dual_coef).all()


def test_one_feature_constant_column_and_few_rows():
    X, y, s = problem(24, 1)
    assert code(dual.fit(X, y, kernel=kernels.RBF(0.3), sample_weight=s)) is Code.CONVERGED
    X, y, _ = problem(6, 10)
    assert code(dual.fit(X, y, kernel=kernels.Linear(), C=10.0)) is Code.CONVERGED
    two = dual.fit(np.array([[1.5], [-0.5]]), np.array([1, -1]), kernel=kernels.Linear(), C=10.0)
    np.testing.assert_allclose(two.params.dual_coef, [0.5, -0.5], atol=1e-12)
    np.testing.assert_allclose(two.params.intercept, -0.5, atol=1e-12)
    bound = dual.fit(np.array([[1.5], [-0.5]]), np.array([1, -1]), kernel=kernels.Linear(), C=0.1)
    np.testing.assert_allclose(bound.params.dual_coef, [0.1, -0.1], atol=1e-15)
    np.testing.assert_allclose(bound.params.intercept, -0.1, atol=1e-12)  # the interval's middle
