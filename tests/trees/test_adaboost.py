"""AdaBoost against scikit-learn and theorems; data with too little or nothing to learn."""

import jax
import numpy as np
import pytest
from sklearn.ensemble import AdaBoostClassifier
from sklearn.tree import DecisionTreeClassifier

from jaxml import Code, datasets
from jaxml.trees import adaboost
from tests.trees.adaboost_problems import D, M, N, code, fit, problem


def theirs(X, y, s, depth=1):
    stump = DecisionTreeClassifier(max_depth=depth, random_state=0)
    return AdaBoostClassifier(stump, n_estimators=M, random_state=0).fit(X, y, s)


def test_the_same_rounds_as_scikit_learn_with_three_classes():
    X, y, s = problem()
    params, info = fit(X, y, s)
    peer = theirs(X, y, s)
    np.testing.assert_allclose(params.weights * 3 / 4, peer.estimator_weights_, rtol=1e-9)
    np.testing.assert_allclose(
        adaboost.decision_function(params, X), peer.decision_function(X), atol=1e-12
    )
    np.testing.assert_array_equal(adaboost.predict(params, X), peer.predict(X))
    np.testing.assert_allclose(
        adaboost.feature_importances(params), peer.feature_importances_, atol=1e-9
    )
    staged = adaboost.staged_decision_function(params, X)
    for ours, other in zip(staged, peer.staged_decision_function(X), strict=True):
        np.testing.assert_allclose(ours, other, atol=1e-12)
    assert info.converged
    assert int(info.n_iter) == M


def test_the_same_rounds_as_scikit_learn_with_labels_of_two_signs():
    X, y, s = problem(K=2)
    y = 2 * y - 1
    params, info = fit(X, y, s, K=None)
    peer = theirs(X, y, s)
    np.testing.assert_allclose(2 * params.weights, peer.estimator_weights_, rtol=1e-9)
    F = adaboost.decision_function(params, X)
    np.testing.assert_allclose(2 * F, peer.decision_function(X), atol=1e-12)
    np.testing.assert_array_equal(adaboost.predict(params, X), peer.predict(X))
    assert set(np.unique(adaboost.predict(params, X))) == {-1, 1}
    # the probabilities are those whose argmin is F, the loss is the mean of e^(-y F)
    F = F * params.weights.sum()
    np.testing.assert_allclose(adaboost.predict_proba(params, X), 1 / (1 + np.exp(-2 * F)))
    loss = (s * np.exp(-y * F)).sum() / s.sum()
    np.testing.assert_allclose(info.objective, loss, rtol=1e-12)
    np.testing.assert_allclose(adaboost.loss(params, X, y, sample_weight=s), loss, rtol=1e-12)


def test_deeper_trees_as_scikit_learn():
    X, y, s = problem(seed=1)
    params, info = fit(X, y, s, max_depth=2)
    peer = theirs(X, y, s, depth=2)
    kept = min(int(info.n_iter), len(peer.estimators_))
    np.testing.assert_allclose(
        params.weights[:kept] * 3 / 4, peer.estimator_weights_[:kept], rtol=1e-9
    )
    np.testing.assert_array_equal(adaboost.predict(params, X), peer.predict(X))
    np.testing.assert_allclose(adaboost.feature_importances(params).sum(), 1.0, rtol=1e-12)


def test_scores_of_one_stump_are_codes_whose_rows_sum_to_zero():
    X, y, s = problem()
    first = np.asarray(adaboost.staged_decision_function(fit(X, y, s).params, X)[0])
    assert np.all(np.isclose(first, 1, atol=1e-12) | np.isclose(first, -0.5, atol=1e-12))
    np.testing.assert_allclose(first.sum(axis=1), 0, atol=1e-12)
    every = np.asarray(adaboost.decision_function(fit(X, y, s).params, X))
    np.testing.assert_allclose(every.sum(axis=1), 0, atol=1e-12)


def test_the_weights_of_the_trees_are_stationary_and_the_loss_bounds_the_error():
    X, y, s = problem()
    params, info = fit(X, y, s)
    last = jax.grad(
        lambda a: adaboost.loss(
            params._replace(weights=params.weights.at[-1].set(a)), X, y, sample_weight=s
        )
    )(params.weights[-1])
    assert abs(float(last)) <= 1e-14  # of the last tree; those before are no longer stationary
    assert float(info.residual) <= 1e-13
    error = (s * (np.asarray(adaboost.predict(params, X)) != y)).sum() / s.sum()
    assert error <= float(info.objective) < 1


@pytest.mark.parametrize("label", [0, 2])
def test_one_class_has_probability_one(label):
    X, _, s = problem()
    params, info = fit(X, np.full(N, label), s)
    proba = np.asarray(adaboost.predict_proba(params, X))
    np.testing.assert_allclose(proba[:, label], 1, atol=1e-8)
    assert int(info.n_iter) == 1
    assert code(fit(X, np.full(N, label), s)) is Code.CONVERGED
    np.testing.assert_array_equal(adaboost.feature_importances(params), np.zeros(D))


def test_one_sign_and_one_class_in_all():
    X, _, s = problem()
    params = fit(X, -np.ones(N), s, K=None).params
    np.testing.assert_allclose(adaboost.predict_proba(params, X), 0, atol=1e-8)
    params = adaboost.fit(X, np.zeros(N, int), n_classes=1, n_estimators=2).params
    np.testing.assert_array_equal(adaboost.predict_proba(params, X), np.ones((N, 1)))


def test_a_tree_without_error_ends_the_fit_with_its_error_clipped():
    X, _, s = problem()
    y = np.where(X[:, 1] > 0.1, 2, 0)
    params, info = fit(X, y, s)
    eps = np.finfo("float64").eps
    alpha = 4 / 3 * (np.log((1 - eps) / eps) + np.log(2))
    np.testing.assert_allclose(params.weights, [alpha, 0, 0, 0, 0, 0], rtol=1e-12)
    assert int(info.n_iter) == 1
    assert info.converged
    np.testing.assert_array_equal(adaboost.predict(params, X), y)
    np.testing.assert_array_equal(adaboost.feature_importances(params), [0, 1, 0])


def test_nothing_better_than_chance_counts_for_nothing():
    X, s = np.zeros((N, D)), np.ones(N)
    y = np.arange(N) % 2
    params, info = fit(X, 2 * y - 1, s, K=None)
    np.testing.assert_array_equal(params.weights, np.zeros(M))
    np.testing.assert_array_equal(adaboost.decision_function(params, X), np.zeros(N))
    np.testing.assert_array_equal(adaboost.predict_proba(params, X), np.full(N, 0.5))
    assert info.converged
    # three to one: the constant is worth its odds, and then nothing is left
    y = np.where(np.arange(N) % 4 == 0, -1, 1)
    params = fit(X, y, s, K=None).params
    np.testing.assert_allclose(params.weights[0], np.log(3) / 2, rtol=1e-12)
    np.testing.assert_array_equal(params.weights[1:], np.zeros(M - 1))
    np.testing.assert_allclose(adaboost.predict_proba(params, X), 0.75, rtol=1e-12)


def test_as_good_as_scikit_learn_on_real_data():
    data = datasets.breast_cancer()
    X, y = np.asarray(data.X), np.asarray(data.y).astype(int)
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[: 2 * len(y) // 3], order[2 * len(y) // 3 :]
    K = y.max() + 1
    params = adaboost.fit(X[train], y[train], n_classes=K, n_estimators=50).params
    ours = (np.asarray(adaboost.predict(params, X[test])) == y[test]).mean()
    peer = AdaBoostClassifier(n_estimators=50, random_state=0).fit(X[train], y[train])
    assert ours >= peer.score(X[test], y[test]) - 0.03
    assert ours > 0.9
