"""AdaBoost against scikit-learn, theorems and the inputs that break such fits."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.ensemble import AdaBoostClassifier
from sklearn.tree import DecisionTreeClassifier

from jaxml import Code, datasets
from jaxml.trees import adaboost

N, D, M = 40, 3, 6  # one shape for most tests: one compilation per dtype and mode


def problem(K=3, seed=0, dtype="float64"):
    rng = np.random.default_rng([seed, K])
    X = rng.standard_normal((N, D))
    y = (np.digitize(X[:, 0] + 0.6 * rng.standard_normal(N), [-0.5, 0.5]) % K).astype(int)
    y[:K] = np.arange(K)
    return X.astype(dtype), y, rng.uniform(0.5, 2.0, N).astype(dtype)


def fit(X, y, s, K: Any = 3, **other):
    return adaboost.fit(X, y, n_classes=K, n_estimators=M, sample_weight=s, **other)


@functools.cache
def jitted():
    return jax.jit(fit)


@functools.cache
def vmapped():
    return jax.jit(jax.vmap(fit))


def code(fit):
    return Code(int(fit.info.code))


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


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
