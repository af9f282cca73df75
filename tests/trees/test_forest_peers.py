"""Random forests as good as those of scikit-learn; importances that find what matters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from jaxml import datasets
from jaxml.closed_form.trees import forest as hand
from jaxml.trees import forest, permutation
from tests.trees.forest_problems import key


def test_louppe_s_table():
    # seven segments of ten digits on a display
    digits = (
        "1110111", "0010010", "1011101", "1011011", "0111010",
        "1101011", "1101111", "1010010", "1111111", "1111011",
    )  # fmt: skip
    X, y = np.array([[float(bit) for bit in row] for row in digits]), np.arange(10)
    params = forest.fit(
        X, y, key=key(), n_estimators=500, max_depth=7, max_features=1, n_classes=10,
        criterion="entropy", bootstrap=False,
    ).params  # fmt: skip
    got = np.asarray(params.trees.decrease).mean(axis=0) / np.log(2)
    want = np.asarray(hand.randomized_importances(jnp.asarray(X), jnp.asarray(y))) / np.log(2)
    np.testing.assert_allclose(want.sum(), np.log2(10), rtol=1e-12)  # H(Y), all of it explained
    np.testing.assert_allclose(  # Louppe et al. (2013), table 1
        want, [0.412, 0.581, 0.531, 0.542, 0.656, 0.225, 0.372], atol=1e-3
    )
    assert np.abs(got - want).mean() < 0.01


def test_permutation_importances_find_what_a_model_uses():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 3))
    w = jnp.array([2.0, 1.0, 0.0])

    def score(X, y):
        return -jnp.mean((X @ w - y) ** 2)

    y = X @ np.asarray(w)
    found = permutation.importances(score, X, y, key=key(), n_repeats=8)
    # E (w_j (x_ij - x_kj))^2 = 2 w_j^2 Var x_j
    want = 2 * np.asarray(w) ** 2 * X.var(axis=0)
    assert found.shape == (3, 8)
    np.testing.assert_allclose(found.mean(axis=1), want, rtol=0.1)
    np.testing.assert_array_equal(found[2], np.zeros(8))
    again = jax.jit(lambda X, y, k: permutation.importances(score, X, y, key=k, n_repeats=8))
    np.testing.assert_allclose(again(X, y, key()), found, rtol=1e-12, atol=1e-14)
    with pytest.raises(ValueError, match="n_repeats must be >= 1"):
        permutation.importances(score, X, y, key=key(), n_repeats=0)
    with pytest.raises(TypeError, match="random key"):
        permutation.importances(score, X, y, key=3)


def split(data):
    X, y = np.asarray(data.X), np.asarray(data.y)
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[: 2 * len(y) // 3], order[2 * len(y) // 3 :]
    return X[train], y[train], X[test], y[test]


def test_as_good_as_scikit_learn_at_telling_digits_apart():
    X, y, X_test, y_test = split(datasets.digits())
    y, y_test = y.astype(int), y_test.astype(int)
    params, info = forest.fit(X, y, key=key(), n_classes=10, n_estimators=60)
    ours = (np.asarray(forest.predict(params, X_test)) == y_test).mean()
    peer = RandomForestClassifier(60, max_depth=8, random_state=0).fit(X, y)
    assert ours >= peer.score(X_test, y_test) - 0.02
    # what the bags left out tells the same as rows held out, within 4 standard errors
    assert abs(float(info.objective) - (1 - ours)) < 0.02 + 4 * np.sqrt(0.05 / len(y_test))


def test_as_good_as_scikit_learn_at_regression():
    X, y, X_test, y_test = split(datasets.diabetes())
    params, info = forest.fit(X, y, key=key(), n_estimators=60, max_features=0.5, max_depth=6)
    peer = RandomForestRegressor(60, max_depth=6, max_features=0.5, random_state=0).fit(X, y)
    ours = ((np.asarray(forest.predict(params, X_test)) - y_test) ** 2).mean()
    theirs = ((peer.predict(X_test) - y_test) ** 2).mean()
    assert ours < 1.05 * theirs
    assert 0.7 < float(info.objective) / ours < 1.4
    shares = forest.feature_importances(params)
    np.testing.assert_allclose(shares, peer.feature_importances_, atol=0.06)
