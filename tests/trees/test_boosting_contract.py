"""The contract of boosting: weights, shares, early stopping, routes, inputs, gradients."""

import jax
import numpy as np
import pytest

from jaxml import Code, losses
from jaxml.trees import boosting
from tests import tolerances
from tests.trees.boosting_problems import code, fit, problem

JITTED = jax.jit(fit)


def same(a, b):
    return all(
        np.asarray(p).tobytes() == np.asarray(q).tobytes()
        for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


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
