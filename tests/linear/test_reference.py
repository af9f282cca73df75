"""Classification against published data: Spector's logit and the glmnet example, to 30 digits."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxml import Code
from jaxml.linear import logistic, softmax

DATA = Path(__file__).parents[1] / "data"


def _floats(strings):
    return np.array(strings, dtype=object).astype(np.float64)


@pytest.fixture(scope="module")
def spector():
    """The students, without the constant column."""
    d = json.loads((DATA / "spector_logit.json").read_text())
    return np.array(d["X"])[:, :3], np.array(d["y"], int), d


@pytest.mark.parametrize("solver", ["auto", "newton", "lbfgs"])
def test_spector_parameters(spector, solver):
    X, y, d = spector
    tol = {"lbfgs": {"tol": 1e-12, "max_iter": 2000}}.get(solver, {"tol": 1e-14})
    fit = logistic.fit(X, y, solver=solver, **tol)
    assert Code(int(fit.info.code)) in (Code.CONVERGED, Code.LINE_SEARCH_FAILED)
    want = _floats(d["exact_30_digits"]["params"])
    rtol = 1e-8 if solver == "lbfgs" else 1e-12
    np.testing.assert_allclose([*fit.params.coef, fit.params.intercept], want, rtol=rtol)
    llf = float(d["exact_30_digits"]["llf"])
    np.testing.assert_allclose(-32 * fit.info.objective, llf, rtol=1e-13)


def test_spector_at_the_default_tolerance_and_without_intercept(spector):
    X, y, d = spector
    want = _floats(d["exact_30_digits"]["params"])
    fit = logistic.fit(X, y)
    assert bool(fit.info.converged)
    np.testing.assert_allclose([*fit.params.coef, fit.params.intercept], want, rtol=1e-7)
    # The constant as a column, and no intercept: the same model.
    with_constant = np.column_stack([X, np.ones(32)])
    fit = logistic.fit(with_constant, y, fit_intercept=False, tol=1e-13)
    np.testing.assert_allclose(fit.params.coef, want, rtol=1e-11)
    assert float(fit.params.intercept) == 0.0


def test_spector_standard_errors(spector):
    X, y, d = spector
    params = logistic.fit(X, y, tol=1e-14).params
    se = logistic.standard_errors(params, X, y)
    want = _floats(d["exact_30_digits"]["bse"])
    np.testing.assert_allclose([*se.coef, se.intercept], want, rtol=1e-11)
    np.testing.assert_allclose(want**2, np.diag(_floats(d["exact_30_digits"]["cov"])), rtol=1e-14)
    # The sandwich, in NumPy.
    D = np.column_stack([X, np.ones(32)])
    p = 1 / (1 + np.exp(-(D @ _floats(d["exact_30_digits"]["params"]))))
    cov = _floats(d["exact_30_digits"]["cov"])
    scores = (p - y)[:, None] * D
    robust = np.sqrt(np.diag(cov @ (scores.T @ scores) @ cov))
    se = logistic.standard_errors(params, X, y, robust=True)
    np.testing.assert_allclose([*se.coef, se.intercept], robust, rtol=1e-9)


def test_spector_as_stata_stored_it(spector):
    X, y, d = spector
    X = X.copy()
    X[:, 0] = X[:, 0].astype(np.float32)
    params = logistic.fit(X, y, tol=1e-14).params
    np.testing.assert_allclose([*params.coef, params.intercept], d["stata"]["params"], rtol=1e-11)


def test_standard_errors_count_weights_and_know_the_penalty(rng):
    X = rng.normal(size=(40, 2))
    y = (X[:, 0] + rng.logistic(size=40) > 0).astype(int)
    s = rng.integers(0, 3, 40)
    l2 = 0.3
    params = logistic.fit(X, y, l2=l2, sample_weight=s, tol=1e-13).params
    for robust in (False, True):
        got = logistic.standard_errors(params, X, y, l2=l2, sample_weight=s, robust=robust)
        R, t = np.repeat(X, s, axis=0), np.repeat(y, s)
        D = np.column_stack([R, np.ones(len(t))])
        p = 1 / (1 + np.exp(-(R @ params.coef + params.intercept)))
        H = D.T @ ((p * (1 - p))[:, None] * D) + len(t) * l2 * np.diag([1, 1, 0])
        cov = np.linalg.inv(H)
        g = (p - t)[:, None] * D
        cov = cov @ (g.T @ g) @ cov if robust else cov
        want = np.sqrt(np.diag(cov))
        np.testing.assert_allclose([*got.coef, got.intercept], want, rtol=1e-9)
    without = logistic.standard_errors(params, X, y, l2=l2, sample_weight=s, fit_intercept=False)
    p = 1 / (1 + np.exp(-(X @ params.coef + params.intercept)))
    H = X.T @ ((s * p * (1 - p))[:, None] * X) + s.sum() * l2 * np.eye(2)
    np.testing.assert_allclose(without.coef, np.sqrt(np.diag(np.linalg.inv(H))), rtol=1e-9)
    assert float(without.intercept) == 0.0


def test_softmax_standard_errors(rng):
    """Against the Hessian in NumPy, for the parameters that sum to 0 over the classes."""
    X = rng.normal(size=(60, 2))
    y = np.argmax(X @ rng.normal(size=(2, 3)) + rng.gumbel(size=(60, 3)), axis=1)
    l2 = 0.2
    params = softmax.fit(X, y, n_classes=3, l2=l2, tol=1e-13).params
    z = X @ np.asarray(params.coef) + np.asarray(params.intercept)
    P = np.exp(z - z.max(1, keepdims=True))
    P /= P.sum(1, keepdims=True)
    D = np.column_stack([X, np.ones(60)])
    H = sum(np.kron(np.outer(D[i], D[i]), np.diag(P[i]) - np.outer(P[i], P[i])) for i in range(60))
    H = H + 60 * l2 * np.kron(np.diag([1.0, 1.0, 0.0]), np.eye(3))
    C = np.kron(np.eye(3), np.eye(3) - 1 / 3)
    want = np.sqrt(np.diag(C @ np.linalg.pinv(H, rcond=1e-10) @ C)).reshape(3, 3)
    got = softmax.standard_errors(params, X, y, n_classes=3, l2=l2)
    np.testing.assert_allclose(got.coef, want[:2], rtol=1e-8)
    np.testing.assert_allclose(got.intercept, want[2], rtol=1e-8)


@pytest.fixture(scope="module")
def points():
    """The nine points."""
    d = json.loads((DATA / "glmnet_9point.json").read_text())
    return np.array(d["X"], float), d


@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_glmnet_binary(points, solver):
    X, d = points
    exact, glmnet = d["exact_30_digits_binary"], d["glmnet_binary"]
    fit = logistic.fit(X, np.array(d["y_binary"]), l2=1.0, solver=solver, tol=1e-12)
    assert bool(fit.info.converged)
    np.testing.assert_allclose(fit.params.coef, _floats(exact["coef"]), rtol=1e-9)
    np.testing.assert_allclose(fit.params.intercept, float(exact["intercept"]), rtol=1e-9)
    np.testing.assert_allclose(fit.params.coef, glmnet["coef"], rtol=1e-5)


@pytest.mark.parametrize("solver", ["proximal", "lbfgs"])
def test_glmnet_three_classes(points, solver):
    X, d = points
    y = np.array(d["y_multi"])
    fit = softmax.fit(X, y, n_classes=3, l2=1.0, solver=solver, tol=1e-12)
    assert bool(fit.info.converged)
    got = np.vstack([fit.params.coef, fit.params.intercept]).T
    np.testing.assert_allclose(got, _floats(d["exact_30_digits_multi"]), rtol=1e-9, atol=2e-12)
    np.testing.assert_allclose(
        got, d["glmnet_multi_rows_coef_then_intercept"], rtol=1e-5, atol=1e-7
    )
    assert abs(float(fit.params.intercept.sum())) < 1e-14
