"""Every hyperparameter at a value of its own against scikit-learn or a solve in NumPy."""

import jax
import numpy as np
import pytest
from scipy import optimize
from sklearn import linear_model

from jaxml import Code
from jaxml.linear import elastic_net, lasso, least_squares, logistic, ridge, softmax
from tests.linear.family import FAMILY, ITERATIVE, problem

REGRESSION, BINARY, MULTI = FAMILY[1], FAMILY[4], FAMILY[6]


def _close(params, coef, intercept, atol=1e-7):
    np.testing.assert_allclose(params.coef, coef, rtol=0, atol=atol)
    np.testing.assert_allclose(params.intercept, intercept, rtol=0, atol=atol)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_least_squares(fit_intercept):
    X, y, s = problem(REGRESSION)
    D = np.column_stack([X, np.ones(24)]) if fit_intercept else X
    root = np.sqrt(s)
    beta = np.linalg.lstsq(root[:, None] * D, root * y, rcond=None)[0]
    want = (beta[:3], beta[3]) if fit_intercept else (beta, 0.0)
    for method in ("auto", "cholesky", "qr", "svd"):
        fit = least_squares.fit(X, y, sample_weight=s, fit_intercept=fit_intercept, method=method)
        assert bool(fit.info.converged)
        _close(fit.params, *want, atol=1e-11)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("l2", [0.01, 3.0])
def test_ridge(fit_intercept, l2):
    X, y, s = problem(REGRESSION)
    peer = linear_model.Ridge(alpha=l2 * s.sum(), fit_intercept=fit_intercept, solver="svd")
    peer.fit(X, y, sample_weight=s)
    fit = ridge.fit(X, y, l2=l2, sample_weight=s, fit_intercept=fit_intercept)
    _close(fit.params, peer.coef_, peer.intercept_, atol=1e-11)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_elastic_net(fit_intercept):
    X, y, s = problem(REGRESSION)
    l1, l2 = 0.07, 0.4
    peer = linear_model.ElasticNet(
        alpha=l1 + l2, l1_ratio=l1 / (l1 + l2), fit_intercept=fit_intercept, tol=1e-15,
        max_iter=10**5,
    ).fit(X, y, sample_weight=s)  # fmt: skip
    fit = elastic_net.fit(
        X, y, l1=l1, l2=l2, sample_weight=s, fit_intercept=fit_intercept, tol=1e-13
    )
    _close(fit.params, peer.coef_, peer.intercept_)


def _oracle(X, y, s, k, l2, *, fit_intercept):
    """Minimize the cross-entropy by a trust region in NumPy; return coefficients and intercepts."""
    n, d = X.shape
    D = np.column_stack([X, np.ones(n)]) if fit_intercept else X
    p, m = s / s.sum(), D.shape[1]
    mask = np.repeat(np.arange(m) < d, k).reshape(m, k)
    Y = np.eye(k)[y]

    def probabilities(t):
        z = D @ t.reshape(m, k)
        e = np.exp(z - z.max(1, keepdims=True))
        return z, e / e.sum(1, keepdims=True)

    def J(t):
        _, P = probabilities(t)
        w = t.reshape(m, k)
        return -p @ np.log((P * Y).sum(1)) + 0.5 * l2 * np.sum(mask * w * w)

    def slope(t):
        _, P = probabilities(t)
        return (D.T @ (p[:, None] * (P - Y)) + l2 * mask * t.reshape(m, k)).ravel()

    def hessian(t):
        _, P = probabilities(t)
        H = l2 * np.diag(mask.ravel().astype(float))
        for i in range(n):
            H = H + p[i] * np.kron(np.outer(D[i], D[i]), np.diag(P[i]) - np.outer(P[i], P[i]))
        return H

    t = optimize.minimize(J, np.zeros(m * k), jac=slope, method="BFGS", options={"gtol": 1e-7}).x
    for _ in range(5):  # Newton, in the space without the gauge
        t = t - np.linalg.pinv(hessian(t), rcond=1e-11) @ slope(t)
    assert np.abs(slope(t)).max() < 1e-14
    w = t.reshape(m, k)
    return (w[:d], w[d] - w[d].mean()) if fit_intercept else (w, np.zeros(k))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_logistic(fit_intercept, solver):
    X, y, s = problem(BINARY)
    w, b = _oracle(X, y, s, 2, 0.4, fit_intercept=fit_intercept)
    fit = logistic.fit(
        X, y, l2=0.2, sample_weight=s, fit_intercept=fit_intercept, solver=solver, tol=1e-12
    )
    assert bool(fit.info.converged)
    _close(fit.params, w[:, 1] - w[:, 0], b[1] - b[0], atol=1e-10)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("solver", ["proximal", "lbfgs"])
def test_softmax(fit_intercept, solver):
    X, y, s = problem(MULTI)
    w, b = _oracle(X, y, s, 3, 0.2, fit_intercept=fit_intercept)
    fit = softmax.fit(
        X, y, n_classes=3, l2=0.2, sample_weight=s, fit_intercept=fit_intercept, solver=solver,
        tol=1e-12,
    )  # fmt: skip
    assert bool(fit.info.converged)
    _close(fit.params, w, b, atol=1e-10)


def test_softmax_without_penalty_is_pinned_by_its_gauge():
    X, y, s = problem(MULTI, n=60)
    fit = softmax.fit(X, y, n_classes=3, sample_weight=s, tol=1e-12)
    assert bool(fit.info.converged)
    w, b = _oracle(X, y, s, 3, 0.0, fit_intercept=True)
    _close(fit.params, w - w.mean(1, keepdims=True), b, atol=1e-8)


@pytest.mark.parametrize("member", ITERATIVE, ids=lambda m: m.label)
def test_a_warm_start_is_used_and_changes_nothing(member):
    X, y, s = problem(member)
    cold = member.fit(X, y, sample_weight=s, tol=1e-11)
    warm = member.fit(X, y, sample_weight=s, tol=1e-11, init=cold.params)
    assert Code(int(warm.info.code)) is Code.CONVERGED
    assert int(warm.info.n_iter) < int(cold.info.n_iter) or int(cold.info.n_iter) <= 1
    far = jax.tree.map(lambda leaf: leaf + 0.7, cold.params)
    back = member.fit(X, y, sample_weight=s, tol=1e-11, init=far)
    for other in (warm, back):
        for a, b in zip(jax.tree.leaves(other.params), jax.tree.leaves(cold.params), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
    with pytest.raises(TypeError, match="init must be a Params"):
        member.fit(X, y, init=tuple(cold.params))
    with pytest.raises(ValueError, match=r"init.coef must have shape"):
        member.fit(X, y, init=cold.params._replace(coef=cold.params.coef[:2]))


@pytest.mark.parametrize("member", ITERATIVE, ids=lambda m: m.label)
def test_tol_and_max_iter_are_kept(member):
    X, y, s = problem(member)
    loose = member.fit(X, y, sample_weight=s, tol=1e-2)
    tight = member.fit(X, y, sample_weight=s, tol=1e-12)
    assert float(loose.info.residual) <= 1e-2
    assert float(tight.info.residual) <= 1e-12
    assert int(loose.info.n_iter) <= int(tight.info.n_iter)
    bounded = member.fit(X, y, sample_weight=s, tol=1e-12, max_iter=2)
    assert int(bounded.info.n_iter) <= 2


def test_lasso_weights_and_intercept():
    X, y, s = problem(REGRESSION)
    for fit_intercept in (True, False):
        peer = linear_model.Lasso(
            alpha=0.15, fit_intercept=fit_intercept, tol=1e-15, max_iter=10**5
        ).fit(X, y, sample_weight=s)
        fit = lasso.fit(X, y, l1=0.15, sample_weight=s, fit_intercept=fit_intercept, tol=1e-13)
        _close(fit.params, peer.coef_, peer.intercept_)
