"""Ridge, lasso and elastic net: limits, symmetries, exact zeros, and what others call the same."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from sklearn import linear_model

from jaxml import Code
from jaxml.linear import elastic_net, lasso, least_squares, ridge
from tests.linear.family import code

TIGHT = {"tol": 1e-12}


def _data(rng, n, d):
    X = rng.normal(size=(n, d)) + rng.normal(size=d)
    return X, X @ np.where(np.arange(d) % 3, 0.0, 2.0) / np.sqrt(d) + rng.normal(size=n)


# Ridge ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(100, 50), (50, 50), (50, 100)])
def test_ridge_between_its_limits(n, d, rng):
    X, y = _data(rng, n, d)
    heavy = ridge.fit(X, y, l2=1e16)
    np.testing.assert_allclose(heavy.params.coef, 0, atol=1e-10)
    np.testing.assert_allclose(heavy.params.intercept, y.mean(), atol=1e-10)
    for l2 in (1e-3, 0.5):
        fit = ridge.fit(X, y, l2=l2)
        assert code(fit) is Code.CONVERGED
        A, q = X - X.mean(0), y - y.mean()
        primal = np.linalg.solve(A.T @ A / n + l2 * np.eye(d), A.T @ q / n)
        dual = A.T @ np.linalg.solve(A @ A.T + n * l2 * np.eye(n), q)
        np.testing.assert_allclose(fit.params.coef, primal, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(fit.params.coef, dual, rtol=1e-9, atol=1e-10)
    if n > d:
        free = ridge.fit(X, y, l2=0.0)
        np.testing.assert_allclose(
            free.params.coef, least_squares.fit(X, y).params.coef, rtol=0, atol=1e-10
        )


def test_ridge_of_repeated_columns_and_rows(rng):
    X, y = _data(rng, 30, 4)
    want = ridge.fit(X, y, l2=0.4).params.coef
    halves = ridge.fit(np.hstack([X, X]) / 2, y, l2=0.2).params.coef
    np.testing.assert_allclose(halves, np.concatenate([want, want]), rtol=1e-8)
    twice = ridge.fit(np.vstack([X, X]), np.concatenate([y, y]), l2=0.4).params.coef
    np.testing.assert_allclose(twice, want, rtol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("l2", [1e-4, 0.1, 10.0])
def test_ridge_on_diabetes_to_30_digits(dtype, l2):
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    X, y = X[::4].astype(dtype), y[::4].astype(dtype)
    fit = ridge.fit(X, y, l2=l2)
    assert code(fit) is Code.CONVERGED
    n, d = X.shape
    with mpmath.workdps(30):
        # Exact integers times 2^-60 keep the sums of products exact and quick.
        big = np.vectorize(lambda v: int(mpmath.ldexp(float(v), 60)), otypes=[object])
        A, q = n * big(X) - big(X).sum(0), n * big(y) - big(y).sum()
        scale = mpmath.mpf(n) ** 3 * mpmath.ldexp(1, 120)
        G = mpmath.matrix([[mpmath.mpf(v) / scale for v in row] for row in A.T @ A])
        h = mpmath.matrix([mpmath.mpf(v) / scale for v in A.T @ q])
        l2_seen = mpmath.mpf(float(np.asarray(l2, dtype)))
        w = mpmath.lu_solve(G + l2_seen * mpmath.eye(d), h)
        want = np.array([float(v) for v in w])
    rtol = {"float32": 1e-4, "float64": 1e-10}[dtype]
    np.testing.assert_allclose(fit.params.coef, want, rtol=0, atol=rtol * np.abs(want).max())


# Lasso and elastic net --------------------------------------------------------------------------


@pytest.mark.parametrize(("l1", "want"), [(0.1, 0.85), (0.5, 0.25), (1.0, 0.0)])
def test_lasso_of_one_column_by_hand(l1, want):
    X = np.array([[-1.0], [0.0], [1.0]])
    fit = lasso.fit(X, X[:, 0], l1=l1, **TIGHT)
    assert code(fit) is Code.CONVERGED
    np.testing.assert_allclose(fit.params.coef, [want], atol=1e-8)
    np.testing.assert_allclose(fit.params.intercept, 0.0, atol=1e-12)
    assert float(fit.info.residual) <= 1e-8


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_lasso_is_exactly_zero_from_the_largest_correlation_on(fit_intercept, rng):
    X, y = _data(rng, 25, 6)
    A, q = (X - X.mean(0), y - y.mean()) if fit_intercept else (X, y)
    largest = np.abs(A.T @ q).max() / 25
    zero = lasso.fit(X, y, l1=largest * (1 + 1e-12), fit_intercept=fit_intercept)
    assert code(zero) is Code.CONVERGED
    assert (np.asarray(zero.params.coef) == 0.0).all()
    np.testing.assert_allclose(zero.params.intercept, y.mean() if fit_intercept else 0.0)
    below = lasso.fit(X, y, l1=0.99 * largest, fit_intercept=fit_intercept)
    assert 1 <= np.count_nonzero(below.params.coef) < 6


@pytest.mark.parametrize("blank", ["X", "y", "both"])
def test_nothing_to_explain(blank, rng):
    X, y = _data(rng, 10, 3)
    X = np.zeros_like(X) if blank != "y" else X
    y = np.zeros_like(y) if blank != "X" else y
    for fit in (
        lasso.fit(X, y, l1=0.1), elastic_net.fit(X, y, l1=0.1, l2=0.1), ridge.fit(X, y, l2=0.1),
        lasso.fit(X, np.full(10, 2.5), l1=0.1),
    ):  # fmt: skip
        assert code(fit) is Code.CONVERGED
        assert (np.asarray(fit.params.coef) == 0.0).all()
        assert float(fit.info.residual) < 1e-15


def _gap(X, y, s, params, *, l1, l2, fit_intercept=True):
    """The duality gap over J(0), in NumPy; the l2 term is taken as rows sqrt(l2) I."""
    p = s / s.sum()
    A, q = (X - p @ X, y - p @ y) if fit_intercept else (X, y)
    w = np.asarray(params.coef, np.float64)
    r = q - A @ w
    primal = 0.5 * p @ r**2 + l1 * np.abs(w).sum() + 0.5 * l2 * w @ w
    g = A.T @ (p * r) - l2 * w
    t = min(1.0, l1 / max(np.abs(g).max(), 1e-300))
    # Dual value at t (r, -sqrt(l2) w): sum p (q t r - (t r)^2/2) - l2 (t w)^2/2.
    dual = t * p @ (q * r) - 0.5 * t**2 * (p @ r**2 + l2 * w @ w)
    return (primal - dual) / (0.5 * p @ q**2)


@pytest.mark.parametrize(("n", "d"), [(60, 8), (20, 40)])
@pytest.mark.parametrize("l2", [0.0, 0.05])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_l1_fits_against_scikit_learn_and_the_gap_in_numpy(n, d, l2, fit_intercept, rng):
    X, y = _data(rng, n, d)
    s = rng.uniform(0.2, 2.0, n)
    for l1 in (0.02, 0.2):
        if l2:
            fit = elastic_net.fit(
                X, y, l1=l1, l2=l2, sample_weight=s, fit_intercept=fit_intercept, **TIGHT
            )
        else:
            fit = lasso.fit(X, y, l1=l1, sample_weight=s, fit_intercept=fit_intercept, **TIGHT)
        assert code(fit) is Code.CONVERGED
        gap = _gap(X, y, s, fit.params, l1=l1, l2=l2, fit_intercept=fit_intercept)
        assert -1e-14 <= gap <= 1e-11
        peer = linear_model.ElasticNet(
            alpha=l1 + l2, l1_ratio=l1 / (l1 + l2), tol=1e-14, max_iter=10**6,
            fit_intercept=fit_intercept,
        ).fit(X, y, sample_weight=s)  # fmt: skip
        np.testing.assert_allclose(fit.params.coef, peer.coef_, atol=2e-6)
        np.testing.assert_allclose(fit.params.intercept, peer.intercept_, atol=1e-5)
        np.testing.assert_array_equal(np.asarray(fit.params.coef) == 0, np.abs(peer.coef_) < 1e-9)

        def J(coef, intercept, l1=l1):
            r = X @ coef + intercept - y
            return 0.5 * s @ r**2 / s.sum() + l1 * np.abs(coef).sum() + 0.5 * l2 * coef @ coef

        ours = J(np.asarray(fit.params.coef), float(fit.params.intercept))
        assert ours <= J(peer.coef_, peer.intercept_) * (1 + 1e-9)


def test_a_lasso_path_meets_its_optimality_conditions(rng):
    X, y = _data(rng, 40, 12)
    A, q = X - X.mean(0), y - y.mean()
    largest = np.abs(A.T @ q).max() / 40
    path = largest * np.logspace(0, -3, 12)
    fits = jax.jit(jax.vmap(lambda l1: lasso.fit(X, y, l1=l1, precompute=True, **TIGHT)))(path)
    assert (np.asarray(fits.info.code) == 0).all()
    warm = lasso.path(X, y, l1=path, **TIGHT)
    assert (np.asarray(warm.info.code) == 0).all()
    np.testing.assert_allclose(warm.params.coef, fits.params.coef, atol=2e-6)
    for l1, w in zip(path, np.asarray(fits.params.coef), strict=True):
        g = A.T @ (q - A @ w) / 40
        assert np.abs(g).max() <= l1 * (1 + 1e-4)
        np.testing.assert_allclose(g[w != 0], l1 * np.sign(w[w != 0]), rtol=1e-3)
    assert np.count_nonzero(fits.params.coef[0]) == 0
    assert np.count_nonzero(fits.params.coef[-1]) == 12


def test_elastic_net_meets_its_ends(rng):
    X, y = _data(rng, 40, 5)
    with pytest.raises(ValueError, match="l1 must be > 0: got 0"):
        lasso.fit(X, y, l1=0.0)
    with pytest.raises(ValueError, match="l1 or l2 must be > 0"):
        elastic_net.fit(X, y, l1=0.0, l2=0.0)
    np.testing.assert_allclose(
        lasso.fit(X, y, l1=1e-9, **TIGHT).params.coef,
        least_squares.fit(X, y).params.coef,
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        elastic_net.fit(X, y, l1=0.0, l2=0.3, **TIGHT).params.coef,
        ridge.fit(X, y, l2=0.3).params.coef,
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        elastic_net.fit(X, y, l1=0.1, l2=0.0, **TIGHT).params.coef,
        lasso.fit(X, y, l1=0.1, **TIGHT).params.coef,
        atol=1e-6,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_near_the_largest_of_the_dtype_diverge(dtype, rng):
    top = np.finfo(dtype).max
    X = (top * rng.uniform(size=(20, 3))).astype(dtype)
    y = rng.normal(size=20).astype(dtype)
    for fit in (
        lasso.fit(X, y, l1=0.1), elastic_net.fit(X, y, l1=0.1, l2=0.1), ridge.fit(X, y, l2=0.1),
        least_squares.fit(X, y),
    ):  # fmt: skip
        assert code(fit) is Code.DIVERGED
        assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(fit.params))


def test_objectives_are_defined_as_documented(rng):
    X, y = _data(rng, 12, 3)
    s = rng.uniform(size=12)
    params = ridge.Params(jnp.array([0.5, -1.0, 0.0]), jnp.array(0.3))
    w = np.asarray(params.coef)
    mean = s @ (0.5 * (X @ w + 0.3 - y) ** 2) / s.sum()
    check = np.testing.assert_allclose
    check(least_squares.loss(params, X, y, sample_weight=s), mean, rtol=1e-13)
    check(ridge.loss(params, X, y, l2=0.7, sample_weight=s), mean + 0.35 * w @ w, rtol=1e-13)
    check(lasso.loss(params, X, y, l1=0.7, sample_weight=s), mean + 0.7 * 1.5, rtol=1e-13)
    check(
        elastic_net.loss(params, X, y, l1=0.7, l2=0.2, sample_weight=s),
        mean + 0.7 * 1.5 + 0.1 * w @ w,
        rtol=1e-13,
    )
    check(ridge.loss(params, X, y, l2=0.0), 0.5 * np.mean((X @ w + 0.3 - y) ** 2), rtol=1e-13)
