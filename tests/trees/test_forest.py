"""Random forests against recounts in NumPy and theorems."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml.closed_form.trees import forest as hand
from jaxml.trees import _bootstrap, forest, tree
from tests.trees.forest_problems import (
    DEPTH,
    B,
    D,
    K,
    N,
    bags,
    each_tree,
    fit,
    jitted,
    key,
    nodes,
    problem,
    same,
)


def gini(w, y):
    """W I."""
    W = w.sum()
    return W - sum(w[y == c].sum() ** 2 for c in range(K)) / W if W > 0 else 0.0


def best_gain(w, X, y):
    """The largest decrease of W I over all features and thresholds."""
    used = w > 0
    found = -np.inf
    for x in X.T:
        for t in np.unique(x[used])[:-1]:
            left = x <= t
            found = max(found, gini(w, y) - gini(w[left], y[left]) - gini(w[~left], y[~left]))
    return found


def test_a_bootstrap_draws_n_rows_with_replacement():
    s = jnp.ones(1000).at[::5].set(0)
    c = np.array([_bootstrap.counts(k, s) for k in jax.random.split(key(), 20)])
    assert (c.sum(axis=1) == 800).all()
    assert (c[:, ::5] == 0).all()
    drawn = np.delete(c, np.s_[::5], axis=1)
    # P(c = 0) = (1 - 1/n)^n; rows are nearly independent, within 5 standard errors
    p = (1 - 1 / 800) ** 800
    assert abs((drawn == 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / drawn.size)
    assert abs(drawn.var() - (1 - 1 / 800)) < 5 * np.sqrt(3 / drawn.size)
    # bit for bit what the rows of positive weight would get alone
    alone = _bootstrap.counts(jax.random.split(key(), 20)[3], jnp.ones(800))
    np.testing.assert_array_equal(alone, drawn[3])


def test_drawing_is_uniform_for_large_numbers():
    bits = np.array([0, 1, 2**31, 2**32 - 1, 123456789], np.uint32)
    for m in (1, 7, 100_000, 2**31 - 1):
        got = _bootstrap._scaled(jnp.asarray(bits), jnp.uint32(m))
        np.testing.assert_array_equal(got, (bits.astype(object) * m) >> 32)


def test_every_split_importances_and_out_of_bag_against_a_recount():
    X, y, s = problem()
    params, info = fit(X, y, s, key())
    c = bags(s)
    shares, votes, count = [], np.zeros((N, K)), np.zeros(N)
    for one, w in zip(each_tree(params), s * c, strict=True):
        decrease, value = np.zeros(D), np.zeros((N, K))
        for v, rows, split in nodes(one, X):
            inside = np.where(rows, w, 0)
            if split:
                children = [np.where(rows & side, w, 0) for side in
                            (X[:, one.feature[v]] <= one.threshold[v],
                             X[:, one.feature[v]] > one.threshold[v])]  # fmt: skip
                gained = gini(inside, y) - sum(gini(part, y) for part in children)
                decrease[one.feature[v]] += gained / w.sum()
                assert 0 < gained <= best_gain(inside, X, y) + 1e-12
            else:
                p = np.array([inside[y == k].sum() for k in range(K)]) / inside.sum()
                np.testing.assert_allclose(one.value[v], p, rtol=1e-12)
                value[rows] = p
                full = v >= 2**DEPTH - 1
                pure = (p > 0).sum() == 1 or (w[rows] > 0).sum() < 2
                assert full or pure
        np.testing.assert_allclose(one.decrease, decrease, rtol=1e-10, atol=1e-15)
        shares.append(decrease / decrease.sum())
        unseen = w == 0
        votes[unseen] += value[unseen]
        count += unseen
    importances = forest.feature_importances(params)
    np.testing.assert_allclose(importances, np.mean(shares, axis=0), rtol=1e-10)
    np.testing.assert_allclose(importances.sum(), 1, rtol=1e-12)
    seen = count == 0
    assert 0 < seen.sum() < N
    want = np.where(seen[:, None], np.nan, votes / np.maximum(count, 1)[:, None])
    np.testing.assert_allclose(params.out_of_bag, want, rtol=1e-12)
    wrong = (votes.argmax(axis=1) != y) & ~seen
    np.testing.assert_allclose(info.objective, s[wrong].sum() / s[~seen].sum(), rtol=1e-12)
    assert info.converged
    assert float(info.residual) <= 1e-13
    assert int(info.n_iter) == B


def test_with_all_features_every_split_is_the_best_there_is():
    X, y, s = problem(seed=1)
    params = fit(X, y, s, key(), max_features=None).params
    for one, w in zip(each_tree(params)[:3], (s * bags(s))[:3], strict=True):
        for v, rows, split in nodes(one, X):
            if split:
                left = rows & (X[:, one.feature[v]] <= one.threshold[v])
                parts = [np.where(part, w, 0) for part in (rows, left, rows & ~left)]
                gained = gini(parts[0], y) - gini(parts[1], y) - gini(parts[2], y)
                np.testing.assert_allclose(gained, best_gain(parts[0], X, y), rtol=1e-12)


def test_predictions_are_the_mean_of_the_trees():
    X, y, s = problem()
    params = fit(X, y, s, key()).params
    each = np.mean([tree.predict_proba(one, X) for one in each_tree(params)], axis=0)
    proba = forest.predict_proba(params, X)
    np.testing.assert_allclose(proba, each, rtol=1e-12)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(forest.predict(params, X), each.argmax(axis=1))


def test_weight_zero_is_a_removed_row_bit_by_bit():
    X, y, s = problem(seed=2)
    s[::4] = 0
    want = fit(X, y, s, key()).params
    other, labels = X.copy(), y.copy()
    other[::4], labels[::4] = 1e3, 2
    same(fit(other, labels, s, key()).params.trees, want.trees)
    # the rows that count, in their order, wherever the others stand
    order = np.concatenate([np.flatnonzero(s > 0), np.flatnonzero(s == 0)])
    moved = fit(other[order], labels[order], s[order], key()).params
    same(moved.trees, want.trees)
    np.testing.assert_array_equal(moved.out_of_bag[s[order] > 0], want.out_of_bag[s > 0])


def test_integer_weights_are_repeated_rows_without_bootstrap():
    X, y, _ = problem(seed=3)
    times = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], N // 3))
    rows = np.repeat(np.arange(N), times)
    assert len(rows) == N
    got = fit(X, y, times.astype(float), key(), bootstrap=False)
    want = fit(X[rows], y[rows], np.ones(len(rows)), key(), bootstrap=False)
    np.testing.assert_array_equal(got.params.trees.feature, want.params.trees.feature)
    np.testing.assert_array_equal(got.params.trees.threshold, want.params.trees.threshold)
    np.testing.assert_allclose(got.params.trees.value, want.params.trees.value, rtol=1e-12)
    assert np.isnan(got.params.out_of_bag).all()  # no row is out of a bag
    wrong = np.asarray(forest.predict(got.params, X)) != y
    np.testing.assert_allclose(got.info.objective, times[wrong].sum() / times.sum(), rtol=1e-12)


def test_leaves_and_decreases_keep_to_their_bounds():
    X, y, s = problem()
    params = fit(X, y, s, key(), min_samples_leaf=6.5).params
    for one, w in zip(each_tree(params), s * bags(s), strict=True):
        assert all(w[rows].sum() >= 6.5 for _, rows, split in nodes(one, X) if not split)
    full = fit(X, y, s, key()).params
    pruned = fit(X, y, s, key(), min_impurity_decrease=0.05).params
    assert (np.asarray(pruned.trees.feature) >= 0).sum() < (
        np.asarray(full.trees.feature) >= 0
    ).sum()
    for one in each_tree(pruned):
        assert one.decrease.sum() >= 0.05 * (one.feature >= 0).sum() > 0


def test_given_the_data_trees_are_independent():
    X, y, s = problem(seed=4)
    x, keys = X[:1], jax.random.split(key(7), 80)
    each = [jitted()(X, y, s, k).params.trees for k in keys]
    f = np.array([[one.value[tree.apply(one, x)[0], 1] for one in each_tree(
        forest.Params(trees, jnp.zeros(0)))] for trees in each[:80]])  # fmt: skip
    v = f.var(ddof=1)
    # rho = 0: Var of the mean is v/B; a sample variance of 80 has the relative error sqrt(2/79)
    want = float(hand.variance_of_mean(0.0, v, B))
    assert abs(f.mean(axis=1).var(ddof=1) - want) < 4 * want * np.sqrt(2 / 79)


def test_constant_features_are_passed_over():
    rng = np.random.default_rng(0)
    X = np.zeros((N, D))
    X[:, 3] = rng.standard_normal(N)
    y = (X[:, 3] > 0).astype(int)
    params = fit(X, y, np.ones(N), key()).params
    assert set(np.unique(params.trees.feature)) == {-1, 3}
    np.testing.assert_array_equal(forest.predict(params, X), y)
    nothing = fit(np.zeros((N, D)), y, np.ones(N), key()).params
    assert (np.asarray(nothing.trees.feature) == -1).all()
    np.testing.assert_array_equal(forest.feature_importances(nothing), np.zeros(D))
