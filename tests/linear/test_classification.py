"""Logistic and softmax regression: identities, extremes, penalties, and others' answers."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code
from jaxml.linear import logistic, softmax
from tests.linear.family import code, overlapping


def test_two_class_softmax_is_logistic(rng):
    X, y = overlapping(rng, k=2)
    for l2 in (0.05, 1.0):
        two = softmax.fit(X, y, n_classes=2, l2=l2, tol=1e-13).params
        one = logistic.fit(X, y, l2=l2 / 2, tol=1e-13).params
        np.testing.assert_allclose(two.coef[:, 1] - two.coef[:, 0], one.coef, rtol=1e-11)
        np.testing.assert_allclose(two.intercept[1] - two.intercept[0], one.intercept, rtol=1e-11)
        np.testing.assert_allclose(two.coef.sum(axis=1), 0.0, atol=1e-12)
        np.testing.assert_allclose(two.intercept.sum(), 0.0, atol=1e-12)


def test_probabilities_labels_and_scores_agree(rng):
    X, y = overlapping(rng, k=2)
    params = logistic.fit(X, y, l2=0.1).params
    z = np.asarray(logistic.decision_function(params, X))
    np.testing.assert_allclose(z, X @ params.coef + params.intercept, rtol=1e-13)
    p = np.asarray(logistic.predict_proba(params, X))
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-z)), rtol=1e-13)
    labels = np.asarray(logistic.predict(params, X))
    np.testing.assert_array_equal(labels, (p > 0.5).astype(int))
    assert labels.dtype == np.int32
    X, y = overlapping(rng, k=4)
    params = softmax.fit(X, y, n_classes=4, l2=0.1).params
    z = np.asarray(softmax.decision_function(params, X))
    P = np.asarray(softmax.predict_proba(params, X))
    assert P.shape == z.shape == (60, 4)
    np.testing.assert_allclose(P, np.exp(z) / np.exp(z).sum(1, keepdims=True), rtol=1e-12)
    np.testing.assert_array_equal(softmax.predict(params, X), P.argmax(1))


def test_probabilities_of_huge_scores():
    params = logistic.Params(jnp.array([1.0]), jnp.array(0.0))
    z = np.array([[-1e4], [-745.0], [0.0], [1e4]])
    p = np.asarray(logistic.predict_proba(params, z))
    assert p[0] == 0.0
    assert p[2] == 0.5
    assert p[3] == 1.0
    params = softmax.Params(jnp.array([[1.0, 0.0, -1.0]]), jnp.zeros(3))
    P = np.asarray(softmax.predict_proba(params, z))
    np.testing.assert_allclose(P.sum(1), 1.0, rtol=1e-15)
    np.testing.assert_array_equal(P[[0, 3]], [[0, 0, 1], [1, 0, 0]])


def test_wide_data_with_a_vanishing_penalty(rng):
    X, y = overlapping(rng, n=15, d=30, k=2)
    for l2 in (1e-2, 1e-6, 1e-10):
        fit = logistic.fit(X, y, l2=l2)
        assert code(fit) is Code.CONVERGED
        z = X @ np.asarray(fit.params.coef) + float(fit.params.intercept)
        p = 1 / (1 + np.exp(-z))
        g = X.T @ (p - y) / 15 + l2 * np.asarray(fit.params.coef)
        assert np.abs(g).max() < 1e-8


@pytest.mark.parametrize("top", [1e100, 1e150, 1e300])
def test_huge_features_end_within_max_iter_with_a_code(top, rng):
    X, y = overlapping(rng, k=2)
    fit = logistic.fit(X * top, y, l2=1.0, max_iter=50)
    assert int(fit.info.n_iter) <= 50
    if code(fit) is Code.CONVERGED:
        free = logistic.fit(X, y)  # the penalty is nothing beside such columns
        np.testing.assert_allclose(fit.params.coef * top, free.params.coef, rtol=1e-6)
    else:
        assert code(fit) in (Code.MAX_ITER, Code.LINE_SEARCH_FAILED, Code.DIVERGED)


def test_unscaled_breast_cancer_reaches_the_optimum():
    from scipy import optimize
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    l2 = 1e-3
    fit = logistic.fit(X, y, l2=l2)
    assert code(fit) is Code.CONVERGED
    D = np.column_stack([X, np.ones(len(y))])
    mask = np.append(np.ones(30), 0.0)

    def J(t):
        z = D @ t
        return np.mean(np.logaddexp(0, z) - y * z) + 0.5 * l2 * (mask * t) @ t

    def slope(t):
        p = 0.5 * (1 + np.tanh(0.5 * (D @ t)))
        return D.T @ (p - y) / len(y) + l2 * mask * t

    def hessian(t):
        p = 0.5 * (1 + np.tanh(0.5 * (D @ t)))
        return D.T @ ((p * (1 - p))[:, None] * D) / len(y) + l2 * np.diag(mask)

    t = np.append(fit.params.coef, fit.params.intercept)
    best = optimize.minimize(J, np.zeros(31), jac=slope, hess=hessian, method="trust-exact",
                             options={"gtol": 1e-10, "maxiter": 1000})  # fmt: skip
    assert J(t) <= best.fun * (1 + 1e-8)
    assert np.abs(np.linalg.solve(hessian(t), slope(t)) @ slope(t)) < 1e-14


def test_balanced_weights_are_class_weights(rng):
    from sklearn.linear_model import LogisticRegression

    X, y = overlapping(rng, n=90, k=3)
    s = (len(y) / (3 * np.bincount(y)))[y]
    got = softmax.fit(X, y, n_classes=3, l2=0.05, sample_weight=s, tol=1e-12).params
    peer = LogisticRegression(
        C=1 / (s.sum() * 0.05), class_weight="balanced", tol=1e-12, max_iter=10**4,
        solver="newton-cg",
    ).fit(X, y)  # fmt: skip
    np.testing.assert_allclose(np.asarray(got.coef).T, peer.coef_, atol=1e-6)
    np.testing.assert_allclose(got.intercept, peer.intercept_ - peer.intercept_.mean(), atol=1e-6)


def test_l1_removes_coefficients_exactly_and_matches_scikit_learn(rng):
    from sklearn.linear_model import LogisticRegression

    X, y = overlapping(rng, n=80, d=8, k=2)
    for l1 in (0.01, 0.08):
        fit = logistic.fit(X, y, l1=l1, tol=1e-11)
        assert code(fit) is Code.CONVERGED
        w, b = np.asarray(fit.params.coef), float(fit.params.intercept)
        p = 1 / (1 + np.exp(-(X @ w + b)))
        g = X.T @ (p - y) / 80
        assert abs((p - y).mean()) < 1e-6
        np.testing.assert_allclose(g[w != 0], -l1 * np.sign(w[w != 0]), atol=1e-6)
        assert np.abs(g).max() <= l1 + 1e-6
        peer = LogisticRegression(
            C=1 / (80 * l1), l1_ratio=1.0, solver="saga", tol=1e-12, max_iter=10**5
        ).fit(X, y)
        np.testing.assert_allclose(w, peer.coef_[0], atol=1e-5)
    assert np.count_nonzero(w) < 8
    # From a penalty on that makes 0 optimal, all are exactly 0.
    share = y.mean()
    l1 = np.abs(X.T @ (share - y)).max() / 80
    zero = logistic.fit(X, y, l1=l1 * (1 + 1e-9))
    assert (np.asarray(zero.params.coef) == 0.0).all()
    np.testing.assert_allclose(zero.params.intercept, np.log(share / (1 - share)), rtol=1e-9)


def test_softmax_with_l1_meets_its_conditions(rng):
    X, y = overlapping(rng, n=80, d=6, k=3)
    l1, l2 = 0.04, 0.02
    fit = softmax.fit(X, y, n_classes=3, l1=l1, l2=l2, tol=1e-11)
    assert code(fit) is Code.CONVERGED
    w, b = np.asarray(fit.params.coef), np.asarray(fit.params.intercept)
    z = X @ w + b
    P = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    R = P - np.eye(3)[y]
    g = X.T @ R / 80 + l2 * w
    assert np.abs(R.mean(0)).max() < 1e-6
    np.testing.assert_allclose(g[w != 0], -l1 * np.sign(w[w != 0]), atol=1e-6)
    assert np.abs(g).max() <= l1 + 1e-6
    assert 0 < np.count_nonzero(w) < 18
