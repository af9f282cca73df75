"""Least squares on certified data, with dependent columns, and its diagnostics."""

import json
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxml import Code
from jaxml.linear import least_squares

NIST = Path(__file__).parents[1] / "data" / "nist"
# The smallest number of digits over the coefficients: float64, and float32 or the code.
TARGETS = {
    "norris": (11.5, 4.0),
    "noint1": (14.0, 6.0),
    "longley": (10.0, 2.5),
    "wampler1": (9.0, Code.ILL_CONDITIONED),
    "wampler2": (12.0, Code.ILL_CONDITIONED),
    "wampler3": (9.0, Code.ILL_CONDITIONED),
    "wampler4": (7.5, Code.ILL_CONDITIONED),
    "wampler5": (5.5, Code.ILL_CONDITIONED),
}
# Wampler 3, 4, 5 are Wampler 1 plus 1, 100, 10000 times these residuals, which are orthogonal to
# every polynomial of degree 5 on 0..20 (checked below), so that all coefficients are 1.
HALF = [759, -2048, 2048, -2048, 2523, -2048, 2048, -2048, 1838, -2048]
DELTA = [*HALF, 2048, *HALF[::-1]]


def _wampler(times):
    x = range(21)
    assert all(sum(e * i**k for i, e in zip(x, DELTA, strict=True)) == 0 for k in range(6))
    y = [sum(i**k for k in range(6)) + times * e for i, e in zip(x, DELTA, strict=True)]
    return [[str(i)] for i in x], [str(v) for v in y], 5, ["1"] * 6, None


def _load(name):
    """Return x and y as decimal strings, the degree, the exact coefficients and all answers."""
    if name in ("wampler3", "wampler4", "wampler5"):
        return _wampler({"wampler3": 1, "wampler4": 100, "wampler5": 10000}[name])
    d = json.loads((NIST / f"{name}.json").read_text())
    degree = d["degree"] if d["design"] == "poly" else 1
    return d["x_decimal"], d["y_decimal"], degree, d["exact_30_digits"]["beta"], d


def _arrays(name, dtype):
    x, y, degree, beta, answers = _load(name)
    X = [[Fraction(v) ** k for v in row for k in range(1, degree + 1)] for row in x]
    to = lambda rows: np.array(rows, dtype=object).astype(np.float64).astype(dtype)  # noqa: E731
    return to(X), to([Fraction(v) for v in y]), [mpmath.mpf(b) for b in beta], answers


def _digits(got, want):
    got, want = mpmath.mpf(float(got)), mpmath.mpf(want)
    error = abs(got - want) / (abs(want) if want else 1)
    return 15.0 if error < 1e-15 else float(-mpmath.log10(error))


def _fit(name, dtype, **other):
    X, y, beta, answers = _arrays(name, dtype)
    intercept = name != "noint1"
    fit = least_squares.fit(X, y, fit_intercept=intercept, **other)
    got = [*([fit.params.intercept] if intercept else []), *fit.params.coef]
    return fit, min(_digits(g, b) for g, b in zip(got, beta, strict=True)), (X, y, answers)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("method", ["auto", "qr", "svd"])
def test_nist_in_float64(name, method):
    with mpmath.workdps(40):
        fit, digits, _ = _fit(name, "float64", method=method)
    assert Code(int(fit.info.code)) is Code.CONVERGED
    assert digits >= TARGETS[name][0]


@pytest.mark.parametrize("name", TARGETS)
def test_nist_in_float32(name):
    with mpmath.workdps(40):
        fit, digits, _ = _fit(name, "float32")
    want = TARGETS[name][1]
    if isinstance(want, Code):
        assert Code(int(fit.info.code)) is want
    else:
        assert digits >= want
        assert Code(int(fit.info.code)) in (Code.CONVERGED, Code.ILL_CONDITIONED)


@pytest.mark.parametrize("name", ["norris", "noint1", "longley"])
def test_nist_by_cholesky(name):
    with mpmath.workdps(40):
        fit, digits, _ = _fit(name, "float64", method="cholesky")
    assert Code(int(fit.info.code)) is Code.CONVERGED
    assert digits >= TARGETS[name][0]


@pytest.mark.parametrize("name", ["norris", "noint1", "longley"])
def test_nist_diagnostics(name):
    with mpmath.workdps(40):
        fit, _, (X, y, answers) = _fit(name, "float64")
        exact = answers["exact_30_digits"]
        intercept = name != "noint1"
        d = least_squares.diagnostics(fit.params, X, y, fit_intercept=intercept)
        errors = [*([d.standard_errors.intercept] if intercept else []), *d.standard_errors.coef]
        for got, want in zip(errors, exact["std_err"], strict=True):
            assert _digits(got, want) >= 9
        assert _digits(d.residual_std, exact["residual_std"]) >= 10
        assert _digits(d.r_squared, exact["r_squared"]) >= 13
        assert _digits(d.f_statistic, exact["F"]) >= 8
        assert int(d.rank) == X.shape[1]
        assert float(d.degrees_of_freedom) == len(y) - X.shape[1] - intercept


def test_diagnostics_against_numpy_with_weights(rng):
    n, d = 30, 3
    X = rng.normal(size=(n, d)) @ np.array([[1, 0.9, 0], [0, 0.3, 0], [0, 0, 5.0]]) + 2.0
    y = X @ np.array([1.0, -2.0, 0.5]) + rng.normal(size=n)
    s = rng.integers(0, 4, n).astype(float)
    params = least_squares.fit(X, y, sample_weight=s).params
    got = least_squares.diagnostics(params, X, y, sample_weight=s)
    R, t = np.repeat(X, s.astype(int), axis=0), np.repeat(y, s.astype(int))
    D = np.column_stack([np.ones(len(t)), R])
    beta, rss = np.linalg.lstsq(D, t, rcond=1e-15)[:2]
    dof = len(t) - 4
    cov = rss[0] / dof * np.linalg.inv(D.T @ D)
    np.testing.assert_allclose(params.coef, beta[1:], rtol=1e-10)
    np.testing.assert_allclose(got.standard_errors.coef, np.sqrt(np.diag(cov))[1:], rtol=1e-9)
    np.testing.assert_allclose(got.standard_errors.intercept, np.sqrt(cov[0, 0]), rtol=1e-9)
    np.testing.assert_allclose(got.residual_std, np.sqrt(rss[0] / dof), rtol=1e-10)
    tss = ((t - t.mean()) ** 2).sum()
    np.testing.assert_allclose(got.r_squared, 1 - rss[0] / tss, rtol=1e-12)
    np.testing.assert_allclose(got.f_statistic, (tss - rss[0]) / 3 / (rss[0] / dof), rtol=1e-9)
    correlations = np.corrcoef(R.T)
    np.testing.assert_allclose(
        got.variance_inflation, np.diag(np.linalg.inv(correlations)), rtol=1e-9
    )
    np.testing.assert_allclose(
        got.condition_number, np.sqrt(np.linalg.cond(correlations)), rtol=1e-8
    )


def _minimum_norm(X, y):
    """The solution of least ||w||_2 in 50 digits, for X of exact rank X.shape[1] - 1 or n - 1."""
    with mpmath.workdps(50):
        n = len(y)
        A = mpmath.matrix((X - 0.0).tolist())
        q = mpmath.matrix(list(map(float, y)))
        for j in range(A.cols):
            m = mpmath.fsum(A[i, j] for i in range(n)) / n
            for i in range(n):
                A[i, j] -= m
        m = mpmath.fsum(q) / n
        q = mpmath.matrix([v - m for v in q])
        # w = lim (A'A + e)^-1 A'q; with e = 1e-30 the error is of order 1e-29.
        G = A.T * A + mpmath.mpf("1e-30") * mpmath.eye(A.cols)
        return np.array([float(v) for v in mpmath.lu_solve(G, A.T * q)])


@pytest.mark.parametrize("method", ["auto", "qr", "svd"])
@pytest.mark.parametrize("case", ["duplicate", "sum", "scaled copy", "wide", "constant"])
def test_dependent_columns_give_the_solution_of_least_norm(method, case, rng):
    X = rng.integers(-8, 9, (12, 3)).astype(float)  # integers: sums of columns are exact
    X = {
        "duplicate": lambda: np.column_stack([X, X[:, 0]]),
        "sum": lambda: np.column_stack([X, X[:, 0] + X[:, 1]]),
        "scaled copy": lambda: np.column_stack([X, 1024 * X[:, 2]]),
        "wide": lambda: rng.integers(-8, 9, (6, 9)).astype(float),
        "constant": lambda: np.column_stack([X, np.full(12, 3.0)]),
    }[case]()
    y = rng.normal(size=len(X))
    fit = least_squares.fit(X, y, method=method)
    assert Code(int(fit.info.code)) is Code.RANK_DEFICIENT
    np.testing.assert_allclose(fit.params.coef, _minimum_norm(X, y), rtol=1e-10, atol=1e-12)
    rank = np.linalg.matrix_rank(X - X.mean(0))
    d = least_squares.diagnostics(fit.params, X, y)
    assert int(d.rank) == rank
    assert np.isinf(d.condition_number)


@pytest.mark.parametrize("units", [1e-10, 1e10])
def test_rank_is_judged_after_scaling_the_columns(units, rng):
    X = rng.normal(size=(20, 3)) * np.array([1.0, units, 1.0])
    y = rng.normal(size=20)
    fit = least_squares.fit(X, y)
    assert Code(int(fit.info.code)) is Code.CONVERGED
    w = np.linalg.lstsq((X - X.mean(0)) / [1.0, units, 1.0], y - y.mean(), rcond=None)[0]
    np.testing.assert_allclose(fit.params.coef, w / [1.0, units, 1.0], rtol=1e-9)


def test_derivatives_at_dependent_columns_keep_the_rank(rng):
    """Weights and targets move; so does the duplicated column, with its twin."""
    X0, y, v = rng.normal(size=(12, 2)), rng.normal(size=12), rng.normal(size=(12, 2))
    s, u = rng.uniform(1, 2, 12), rng.normal(size=12)
    twin = lambda t: jnp.column_stack([X0 + t * v, (X0 + t * v)[:, 0]])  # noqa: E731

    def solve(t):
        return least_squares.fit(twin(t), y + t * u, sample_weight=s * (1 + 0.1 * t)).params.coef

    def refit(t):
        X, p = np.asarray(twin(t)), s / s.sum()
        A = X - p @ X
        root = np.sqrt(p)
        q = y + t * u
        return np.linalg.pinv(root[:, None] * A, rcond=1e-10) @ (root * (q - p @ q))

    h = 1e-4
    want = (8 * (refit(h) - refit(-h)) - (refit(2 * h) - refit(-2 * h))) / (12 * h)
    for mode in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(jax.jit(mode(solve))(0.0), want, rtol=1e-7, atol=1e-8)


def test_orthogonal_design_has_derivatives(rng):
    """Equal singular values, where the derivative of an SVD does not exist."""
    X = np.vstack([np.eye(3), -np.eye(3)])
    y = rng.normal(size=6)
    for method in ("auto", "cholesky", "qr", "svd"):
        solve = lambda y, m=method: least_squares.fit(X, y, method=m).params.coef  # noqa: E731
        J = jax.jit(jax.jacrev(solve))(y)
        np.testing.assert_allclose(J, np.hstack([np.eye(3), -np.eye(3)]) / 2, atol=1e-12)


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method must be one of auto, cholesky, qr, svd: got 'lu'"):
        least_squares.fit(np.eye(3), np.ones(3), method="lu")
