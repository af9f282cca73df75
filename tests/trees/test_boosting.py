"""Boosting against scikit-learn, XGBoost and its own definition, and the contract of a model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code, datasets, losses
from jaxml.trees import boosting
from tests import tolerances

SETTINGS = {"n_estimators": 4, "max_depth": 3, "learning_rate": 0.3}
ONES = np.ones(40)


def problem(n=40, d=3, seed=0, dtype="float64"):
    rng = np.random.default_rng([seed, n])
    X = rng.normal(size=(n, d))
    y = (X[:, 0] * X[:, 1] + 0.3 * rng.normal(size=n) > 0).astype(int)
    return X.astype(dtype), y, rng.uniform(0.5, 2.0, n).astype(dtype)


def fit(X, y, s=None, **other):
    return boosting.fit(X, y, sample_weight=s, **{**SETTINGS, **other})


JITTED = jax.jit(fit)


def code(found):
    return Code(int(found.info.code))


def same(a, b):
    return all(
        np.asarray(p).tobytes() == np.asarray(q).tobytes()
        for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


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


def test_weights():
    X, y, _ = problem()
    s = np.random.default_rng(1).integers(0, 4, 40).astype(float)
    rows = np.repeat(np.arange(40), s.astype(int))
    size = 160
    padded = np.concatenate([rows, np.zeros(size - len(rows), int)])
    weight = (np.arange(size) < len(rows)).astype(float)
    X_r, y_r = X[padded], y[padded]
    X_r[len(rows) :], y_r[len(rows) :] = np.nan, 0
    a, b = fit(X, y, s).params, fit(X_r, y_r, weight).params
    assert same(a.feature, b.feature)
    np.testing.assert_allclose(a.threshold, b.threshold, rtol=1e-15)
    np.testing.assert_allclose(a.value, b.value, rtol=1e-9, atol=1e-12)
    spoiled = X.copy()
    spoiled[s == 0] = 1e9
    assert same(JITTED(X, y, s).params, JITTED(spoiled, y, s).params)


def test_hyperparameters_bind():
    X, y, s = problem()
    free = fit(X, y, s).params
    leaves = lambda p: (np.asarray(p.feature) >= 0).sum()  # noqa: E731
    assert leaves(fit(X, y, s, min_split_gain=2.0).params) < leaves(free)
    assert leaves(fit(X, y, s, min_child_weight=4.0).params) < leaves(free)
    assert np.abs(fit(X, y, s, l2=50.0).params.value).max() < np.abs(free.value).max()
    coarse = fit(X, y, s, n_bins=4).params
    assert len(np.unique(np.asarray(coarse.threshold)[np.asarray(coarse.feature) == 0])) <= 2


def test_random_shares():
    X, y, s = problem(d=3)
    key = jax.random.key(0)
    part = fit(X, y, s, subsample=0.5, key=key)
    assert same(part, fit(X, y, s, subsample=0.5, key=key))
    assert not same(
        part.params.value, fit(X, y, s, subsample=0.5, key=jax.random.key(1)).params.value
    )
    assert code(part) is Code.CONVERGED  # rows left out of a round move with it all the same
    one = fit(X, y, s, colsample=0.3, key=key).params
    used = [set(np.asarray(f).ravel()) - {-1} for f in one.feature]
    assert all(len(features) <= 1 for features in used)
    assert len(set.union(*used)) > 1
    with pytest.raises(ValueError, match="key is required"):
        fit(X, y, s, subsample=0.5)


def test_early_stopping():
    X, _, _ = problem()
    X_val, _, _ = problem(n=30, seed=1)
    rng = np.random.default_rng(2)
    y, y_val = ((a[:, 0] + 0.5 * rng.normal(size=len(a)) > 0).astype(int) for a in (X, X_val))
    options = {"learning_rate": 0.5, "n_estimators": 30}
    found = fit(X, y, X_val=X_val, y_val=y_val, patience=3, **options)
    kept = int(found.info.n_iter)
    assert 0 < kept < 27
    assert not np.asarray(found.params.value)[kept:].any()
    whole = fit(X, y, **options).params
    at = lambda t: whole._replace(value=whole.value.at[t:].set(0.0))  # noqa: E731
    J = [float(losses.logistic(boosting.decision_function(at(t), X_val), y_val).mean())
         for t in range(kept + 4)]  # fmt: skip
    assert np.argmin(J) == kept
    z = boosting.decision_function(found.params, X)
    assert float(found.info.objective) == pytest.approx(float(losses.logistic(z, y).mean()))
    with pytest.raises(ValueError, match="given together"):
        fit(X, y, X_val=X_val)
    with pytest.raises(ValueError, match="patience only with them"):
        fit(X, y, patience=3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_eager_jit_vmap_and_repeats(dtype):
    batch = [problem(seed=seed, dtype=dtype) for seed in range(3)]
    eager = [fit(*one) for one in batch]
    assert same(eager[0], fit(*batch[0]))
    X, y, s = (np.stack(part) for part in zip(*batch, strict=True))
    stacked = jax.jit(jax.vmap(fit))
    rows = stacked(X, y, s)
    for i in range(3):
        row = jax.tree.map(lambda leaf, i=i: leaf[i], rows)
        for other in (JITTED(X[i], y[i], s[i]), row):
            assert same(other.params.feature, eager[i].params.feature)
            np.testing.assert_allclose(
                other.params.value, eager[i].params.value, rtol=tolerances.of(dtype).routes,
                atol=tolerances.of(dtype).routes,
            )  # fmt: skip
            assert other.params.value.dtype == dtype
    X[1, 2, 0] = np.inf
    mixed = stacked(X, y, s)
    np.testing.assert_array_equal(mixed.info.code, [0, Code.NONFINITE_INPUT, 0])
    for a, b in zip(jax.tree.leaves(mixed), jax.tree.leaves(rows), strict=True):
        assert np.asarray(a)[[0, 2]].tobytes() == np.asarray(b)[[0, 2]].tobytes()


def test_what_is_refused():
    X, y, s = problem()
    spoiled = X.copy()
    spoiled[3, 1] = np.inf
    with pytest.raises(ValueError, match="X contains inf"):
        fit(spoiled, y, s)
    assert code(JITTED(spoiled, y, s)) is Code.NONFINITE_INPUT
    assert np.isnan(JITTED(spoiled, y, s).params.value).all()
    assert code(JITTED(X, y + 1, s)) is Code.BAD_LABELS
    assert code(JITTED(X, y, 0 * s)) is Code.DEGENERATE
    params = JITTED(X, y, s).params
    with pytest.raises(ValueError, match="X contains inf"):
        boosting.predict(params, spoiled)
    assert int(jax.jit(boosting.predict)(params, spoiled)[3]) == -1
    for bad, text in (
        ({"learning_rate": 0.0}, "learning_rate must be > 0"),
        ({"l2": -1.0}, "l2 must be >= 0"),
        ({"n_estimators": 0}, "n_estimators must be >= 1"),
        ({"subsample": 1.5}, r"subsample must be in \(0, 1\]"),
        ({"base_score": [1.0, 2.0]}, "base_score must be a number"),
        ({"loss": losses.exponential}, "labels -1 and 1"),
    ):
        with pytest.raises(ValueError, match=text):
            fit(X, y, s, **bad)
    with pytest.raises(ValueError, match="labels 0 and 1: got 2"):
        fit(X, 2 * y, s)
    with pytest.raises(ValueError, match="y contains NaN"):
        fit(X, np.where(y == 1, np.nan, 0), s)
    with pytest.raises(ValueError, match=r"weight.*zero"):
        fit(X, y, 0 * s)


def test_gradients_are_those_stated():
    X, y, s = problem()
    by_s = jax.jit(jax.grad(lambda s: fit(X, y, s).params.value.sum()))(s)
    assert not np.asarray(by_s).any()
    params = JITTED(X, y, s).params
    moved = jax.grad(
        lambda value: boosting.decision_function(params._replace(value=value), X).sum()
    )
    np.testing.assert_allclose(np.asarray(moved(params.value)).sum(), 4 * 40)


def test_one_class_of_several():
    X, y = np.arange(6.0)[:, None], np.zeros(6, int)
    found = boosting.fit(X, y, loss=losses.softmax_cross_entropy, n_estimators=2, max_depth=1)
    assert found.info.converged
    assert float(found.info.objective) == 0
    np.testing.assert_array_equal(boosting.predict(found.params, X), y)
    np.testing.assert_array_equal(boosting.predict_proba(found.params, X), np.ones((6, 1)))
