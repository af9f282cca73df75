"""Boosting against scikit-learn, XGBoost and its own definition; missing values; extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code, datasets, losses
from jaxml.trees import boosting
from tests.trees.boosting_problems import code, fit, problem

ONES = np.ones(40)


def peer_data():
    data = datasets.breast_cancer()
    X, y = np.asarray(data.X, np.float64)[:40, :3], np.asarray(data.y)[:40]
    return X.copy(), y  # of the shape of problem(): one compilation


@pytest.mark.parametrize("loss", [losses.logistic, losses.squared])
def test_against_scikit_learn(loss):
    ensemble = pytest.importorskip("sklearn.ensemble")
    X, y = peer_data()
    kind = ensemble.HistGradientBoostingClassifier
    if loss is losses.squared:
        kind, y = ensemble.HistGradientBoostingRegressor, X[:, 0] * X[:, 1] / 100 + y
    peer = kind(
        max_iter=4, max_depth=3, max_leaf_nodes=None, min_samples_leaf=1, learning_rate=0.3,
        l2_regularization=0.5, early_stopping=False, max_bins=255,
    ).fit(X, y)  # fmt: skip
    found = fit(X, y, ONES, loss=loss, l2=0.5)
    z = boosting.decision_function(found.params, X)
    want = peer.predict(X) if loss is losses.squared else peer.decision_function(X)
    np.testing.assert_allclose(z, want, rtol=1e-6, atol=1e-6)
    if loss is losses.logistic:
        np.testing.assert_allclose(
            boosting.predict_proba(found.params, X), peer.predict_proba(X)[:, 1], atol=1e-6
        )
    assert code(found) is Code.CONVERGED
    assert int(found.info.n_iter) == 4


def test_against_xgboost():
    xgboost = pytest.importorskip("xgboost")
    X, y = (a.astype("float32") for a in peer_data())
    base = 0.4
    peer = xgboost.XGBClassifier(
        n_estimators=4, max_depth=3, learning_rate=0.3, reg_lambda=0.5, min_child_weight=0,
        base_score=base, tree_method="exact", gamma=0.4,
    ).fit(X, y)  # fmt: skip
    found = fit(X, y, l2=0.5, min_split_gain=0.2, base_score=float(np.log(base / (1 - base))))
    want = peer.predict(X, output_margin=True)
    np.testing.assert_allclose(boosting.decision_function(found.params, X), want, atol=1e-5)


def test_missing_values_go_to_a_learned_side():
    ensemble = pytest.importorskip("sklearn.ensemble")
    X, y = peer_data()
    rng = np.random.default_rng(0)
    X[rng.random(X.shape) < 0.2] = np.nan
    X[y == 1, 2] = np.nan  # only their being missing tells
    peer = ensemble.HistGradientBoostingClassifier(
        max_iter=4, max_depth=3, max_leaf_nodes=None, min_samples_leaf=1, learning_rate=0.3,
        l2_regularization=0.5, early_stopping=False, max_bins=255,
    ).fit(X, y)  # fmt: skip
    found = fit(X, y, ONES, l2=0.5)
    z = boosting.decision_function(found.params, X)
    np.testing.assert_allclose(z, peer.decision_function(X), atol=1e-6)
    assert code(found) is Code.CONVERGED
    assert (np.asarray(boosting.predict(found.params, X)) == y).mean() > 0.99
    nothing = boosting.decision_function(found.params, np.full((2, 3), np.nan))
    assert np.isfinite(nothing).all()


def test_missing_where_none_was_go_with_the_majority():
    X = np.arange(12.0)[:, None]
    params = fit(X, (X[:, 0] > 8).astype(int), n_estimators=1, max_depth=1).params
    assert float(params.threshold[0, 0, 0]) == 8.5
    z = boosting.decision_function(params, [[0.0], [np.nan], [11.0]])
    assert z[1] == z[0] != z[2]


@pytest.mark.parametrize("k", [1, 3])
def test_a_round_is_a_newton_step_of_each_leaf(k):
    X, y, s = problem()
    if k == 3:
        y = y + (X[:, 2] > 1)
    loss = losses.logistic if k == 1 else losses.softmax_cross_entropy
    found = fit(X, y, s, loss=loss, n_estimators=1, l2=0.7)
    params = found.params
    z = jnp.broadcast_to(params.base[None, :], (len(y), k))
    label = y.astype(float) if k == 1 else y
    total = lambda z: (s * jax.vmap(loss)(z[:, 0] if k == 1 else z, label)).sum()  # noqa: E731
    np.testing.assert_allclose(jax.grad(total)(z).sum(axis=0), 0, atol=1e-9)  # the best constant
    g = np.asarray(jax.grad(total)(z))
    p = np.asarray(jax.nn.sigmoid(z) if k == 1 else jax.nn.softmax(z, axis=1))
    h = s[:, None] * p * (1 - p)
    step = np.asarray(boosting.decision_function(params, X)).reshape(-1, k) - np.asarray(z)
    for c in range(k):
        for move in np.unique(step[:, c]):
            leaf = step[:, c] == move
            want = 0.3 * float(boosting.leaf_weight(g[leaf, c].sum(), h[leaf, c].sum(), 0.7))
            np.testing.assert_allclose(move, want, rtol=1e-9)
    proba = np.asarray(boosting.predict_proba(params, X))
    label = boosting.predict(params, X)
    if k == 3:
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
        assert (label == proba.argmax(axis=1)).all()
    else:
        assert (label == (proba > 0.5)).all()


def test_squared_error_without_penalty_keeps_the_sum():
    X, _, _ = problem()
    y = np.random.default_rng(0).normal(size=40) + 3
    found = fit(X, y, ONES, loss=losses.squared, l2=0.0)
    z = boosting.predict(found.params, X)
    np.testing.assert_allclose(z.sum(), y.sum(), rtol=1e-10)
    np.testing.assert_allclose(found.info.objective, ((z - y) ** 2).mean() / 2, rtol=1e-12)


def test_nothing_to_learn():
    X, y, s = problem()
    for labels in (0 * y, 0 * y + 1):
        found = fit(X, labels, s)
        assert (np.asarray(found.params.feature) == -1).all()
        assert (np.asarray(boosting.predict(found.params, X)) == labels).all()
        assert code(found) is Code.CONVERGED
    target = np.full(40, 0.1)
    found = fit(X, target, s, loss=losses.squared)
    np.testing.assert_allclose(boosting.predict(found.params, X), target, rtol=1e-15)
    found = fit(0 * X, y, s)
    assert (np.asarray(found.params.feature) == -1).all()
    np.testing.assert_allclose(
        boosting.predict_proba(found.params, X), (s * y).sum() / s.sum(), rtol=1e-9
    )
    assert float(boosting.feature_importances(found.params).sum()) == 0


def test_saturated_leaves_without_penalty_stay_finite():
    X, y, _ = problem()
    X[:, 0] = y
    found = fit(X, y, l2=0.0, n_estimators=30, learning_rate=1.0)
    assert np.isfinite(found.params.value).all()
    assert code(found) is Code.CONVERGED
    assert float(found.info.objective) < 1e-5
    assert float(boosting.leaf_weight(0.0, 0.0, 0.0)) == 0
    assert float(boosting.split_gain(0.0, 0.0, 1.0, 0.0, 0.0)) == 0


def test_split_gain_is_the_difference_of_least_objectives():
    rng = np.random.default_rng(0)
    for _ in range(20):
        G, H, l2 = rng.normal(size=2), rng.uniform(0.1, 2, 2), rng.uniform(0, 1)
        w = np.linspace(-60, 60, 200001)
        least = [(a * w + (b + l2) * w**2 / 2).min() for a, b in zip(G, H, strict=True)]
        both = (G.sum() * w + (H.sum() + l2) * w**2 / 2).min()
        gain = float(boosting.split_gain(G[0], H[0], G[1], H[1], l2))
        assert gain == pytest.approx(both - sum(least), abs=1e-4)


def test_any_loss_and_no_curvature():
    X, _, s = problem()
    y = X[:, 0] + X[:, 1] ** 2

    def cosh(z, y):
        return jnp.log(jnp.cosh(z - y))

    for loss in (losses.absolute, cosh):
        found = fit(X, y, s, loss=loss, n_estimators=30, learning_rate=0.5)
        assert code(found) is Code.CONVERGED
        first = (s * jax.vmap(loss)(jnp.full(40, found.params.base[0]), y)).sum() / s.sum()
        assert float(found.info.objective) < 0.3 * float(first)
        assert boosting.predict(found.params, X).dtype == "float64"
    sign = fit(X, np.sign(y), s, loss=losses.exponential)
    assert set(np.asarray(boosting.predict(sign.params, X))) <= {-1, 1}
    with pytest.raises(ValueError, match="no probabilities"):
        boosting.predict_proba(sign.params, X)
