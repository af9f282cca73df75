"""The decision tree against brute force and scikit-learn; ties, extremes and identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code, datasets
from jaxml.trees import impurity, tree
from tests.trees.oracle import K, best_gain, greedy, problem
from tests.trees.oracle import impurity as impurity_of
from tests.trees.tree_problems import CRITERIA, DEPTH, code, fit, same


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("grid", [True, False])
def test_splits_are_those_of_brute_force(criterion, grid):
    for seed in range(8):
        X, y, s = problem(criterion, seed=seed, grid=grid)
        params, info = fit(X, y, s, criterion=criterion)
        gain, _ = best_gain(X, y, s, criterion)
        split = X[:, int(params.feature[0])] <= float(params.threshold[0])
        sides = [s[a].sum() * impurity_of(y[a], s[a], criterion) for a in (split, ~split)]
        found = s.sum() * impurity_of(y, s, criterion) - sum(sides)
        np.testing.assert_allclose(found, gain, rtol=1e-12)
        assert code(info) is Code.CONVERGED
        left = info.objective * s.sum()
        if not grid:  # of equal gains below the root the oracle may take another
            np.testing.assert_allclose(left, greedy(X, y, s, criterion, DEPTH), atol=1e-12)
        np.testing.assert_allclose(
            impurity_of(y, s, criterion) - info.objective, params.decrease.sum(), atol=1e-12
        )


@pytest.mark.parametrize("criterion", CRITERIA)
def test_against_scikit_learn(criterion):
    trees = pytest.importorskip("sklearn.tree")
    data = datasets.diabetes() if criterion == "variance" else datasets.wine()
    X, y = np.asarray(data.X, np.float64), np.asarray(data.y)
    s = np.random.default_rng(0).uniform(0.5, 2, len(y))
    kind = trees.DecisionTreeRegressor if criterion == "variance" else trees.DecisionTreeClassifier
    name = "squared_error" if criterion == "variance" else criterion
    peer = kind(criterion=name, max_depth=DEPTH, random_state=0).fit(X, y, s)
    params, info = fit(X, y, s, criterion=criterion)
    if criterion == "variance":
        value = ((peer.predict(X) - y) ** 2 * s).sum() / s.sum()
        np.testing.assert_allclose(info.objective, value, rtol=1e-9)
    else:
        p, leaf = peer.predict_proba(X), peer.apply(X)
        of = impurity.gini if criterion == "gini" else impurity.entropy
        parts = [s[leaf == v].sum() * float(of(p[leaf == v][0])) for v in np.unique(leaf)]
        np.testing.assert_allclose(info.objective, sum(parts) / s.sum(), atol=1e-12)
        np.testing.assert_allclose(tree.predict_proba(params, X), p, atol=1e-12)
    if criterion == "variance":  # of equal gains of classes the peer takes any
        np.testing.assert_allclose(
            tree.feature_importances(params), peer.feature_importances_, atol=1e-9
        )
    assert int(info.n_iter) == peer.get_depth()


def test_nothing_to_split():
    rng = np.random.default_rng(0)
    y = rng.integers(0, K, 12)
    constant = np.full((12, 3), 7.0)
    nearly = 1e3 + 1e-5 * rng.random((12, 3))  # range 1e-8 of the scale
    for X, labels in ((constant, y), (nearly, y), (rng.normal(size=(12, 3)), np.full(12, 2))):
        params, info = fit(X, labels)
        assert (np.asarray(params.feature) == -1).all()
        assert code(info) is Code.CONVERGED
        want = np.bincount(labels, minlength=K) / 12
        np.testing.assert_array_equal(tree.predict_proba(params, X), np.tile(want, (12, 1)))
        assert (np.asarray(tree.predict(params, X)) == np.argmax(want)).all()
        assert float(tree.feature_importances(params).sum()) == 0
    target = np.full(12, 0.1)
    params, _ = fit(rng.normal(size=(12, 3)), target, rng.random(12), criterion="variance")
    assert (np.asarray(params.feature) == -1).all()
    np.testing.assert_array_equal(tree.predict(params, constant), target)
    close = 1e3 + 1e-3 * rng.random((12, 3))  # range 1e-6 of the scale: not constant
    assert int(fit(close, y).params.feature[0]) >= 0


def test_xor_has_no_first_split():
    X = np.zeros((4, 1001))
    X[:, 0] = [1, 1, 0, 0]
    params, _ = tree.fit(X, [0, 1, 0, 1], criterion="gini", max_depth=1, n_classes=2)
    assert (np.asarray(params.feature) == -1).all()
    assert (np.asarray(tree.predict_proba(params, X)) == 0.5).all()


def test_gini_and_variance_agree_on_two_classes():
    for seed in range(5):
        X, _, _ = problem("gini", n=40, seed=seed)
        y = np.random.default_rng(seed).integers(0, 2, 40)
        by_class = tree.fit(X, y, criterion="gini", max_depth=5, n_classes=2).params
        by_value = tree.fit(X, y.astype(float), criterion="variance", max_depth=5).params
        assert same(by_class.feature, by_value.feature)
        assert same(by_class.threshold, by_value.threshold)


def test_ties_go_to_the_lowest_feature_then_threshold():
    x = np.arange(12.0)
    y = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2])  # splits at 2.5 and 8.5 gain the same
    params, _ = fit(np.stack([np.zeros(12), x, x], axis=1), y)
    assert int(params.feature[0]) == 1
    assert float(params.threshold[0]) == 2.5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_near_the_largest(dtype):
    big = 0.6 * np.finfo(dtype).max
    X = np.array([[-big], [0.9 * big], [big], [-0.5 * big]] * 3, dtype) * np.ones((1, 3), dtype)
    params, info = fit(X, [0, 1, 2, 0] * 3, np.ones(12, dtype))
    assert np.isfinite(params.threshold).all()
    assert code(info) is Code.CONVERGED
    assert (np.asarray(tree.predict(params, X)) == [0, 1, 2, 0] * 3).all()
    near = np.nextafter(np.asarray(1, dtype), np.asarray(2, dtype))
    # Between neighboring floats there is no midpoint: the lower one is the threshold.
    X = np.array([[1.0], [near]] * 6, dtype) * np.ones((1, 3), dtype)
    params, _ = fit(X, [0, 1] * 6, np.ones(12, dtype))
    if dtype == "float32":  # 1.2e-7 is above the rule for constants, 2.2e-16 is not
        assert (np.asarray(tree.predict(params, X)) == [0, 1] * 6).all()
    else:
        assert int(params.feature[0]) == -1


def test_deeper_than_the_data():
    X, y, _ = problem("variance", n=9, d=2, grid=False)
    params, info = tree.fit(X, y, criterion="variance", max_depth=60)
    np.testing.assert_allclose(tree.predict(params, X), y, atol=1e-14)
    assert float(info.objective) < 1e-28
    assert int(info.n_iter) <= 8
    one = tree.fit([[1.0]], [3.0], criterion="variance", max_depth=4).params
    assert tree.predict(one, [[5.0]]).tolist() == [3.0]


def test_many_slots_are_searched_in_parts():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(200, 2)), rng.normal(size=200)
    params, info = tree.fit(X, y, criterion="variance", max_depth=9)  # 100 slots at the end
    np.testing.assert_allclose(
        float(info.objective) * 200, greedy(X, y, np.ones(200), "variance", 9), rtol=1e-9
    )
    residuals = np.asarray(tree.predict(params, X)) - y
    assert abs(residuals.sum()) < 1e-10


def test_quantile_bins_with_few_codes():
    rng = np.random.default_rng(0)
    X = np.sort(rng.exponential(size=(40, 1)), axis=0)
    y = (np.arange(40) >= 20).astype(int)
    params, _ = tree.fit(X, y, criterion="gini", max_depth=1, n_bins=4, n_classes=2)
    # Quartiles of 40 values: after the 10th, the 20th and the 30th.
    assert float(params.threshold[0]) == pytest.approx((X[19, 0] + X[20, 0]) / 2, rel=1e-15)
    rounded = tree.fit(X, (np.arange(40) >= 17).astype(int), criterion="gini", max_depth=1,
                       n_bins=4, n_classes=2).params  # fmt: skip
    assert float(rounded.threshold[0]) == float(params.threshold[0])


def test_impurities():
    p = jnp.array([0.2, 0.3, 0.5])
    assert float(impurity.gini(p)) == pytest.approx(0.62, abs=1e-15)
    assert float(impurity.entropy(jnp.array([0.0, 1.0]))) == 0
    assert np.isfinite(jax.grad(impurity.entropy)(jnp.array([0.0, 1.0]))).all()
    assert float(impurity.gini(jnp.array([1.0, 0.0]))) == 0
    batch = jax.vmap(impurity.entropy)(jnp.stack([p, p[::-1]]))
    np.testing.assert_allclose(batch, 1.0296530140645737, rtol=1e-14)
    y = 1e8 + np.array([0.0, 1.0, 2.0])
    assert float(impurity.variance(y)) == pytest.approx(2 / 3, rel=1e-12)
    assert float(impurity.variance([1.0, 5.0, 9.0], [1, 1, 0])) == 4
    with pytest.raises(ValueError, match="p contains NaN"):
        impurity.gini([np.nan, 1.0])
