"""Random forests against recounts in NumPy, theorems and scikit-learn."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from jaxml import Code, datasets
from jaxml.closed_form.trees import forest as hand
from jaxml.trees import _bagging, _bootstrap, forest, permutation, tree
from tests import processes

N, D, K, B, DEPTH, Q = 48, 5, 3, 6, 3, 2  # one shape for most tests: one compilation
SHAPE = {"n_classes": K, "n_estimators": B, "max_depth": DEPTH}


def problem(seed=0, dtype="float64"):
    rng = np.random.default_rng([seed, 9])
    X = rng.standard_normal((N, D))
    y = np.digitize(X[:, 0] * X[:, 1] + 0.4 * rng.standard_normal(N), [-0.3, 0.3])
    y[:K] = np.arange(K)
    return X.astype(dtype), y, rng.uniform(0.5, 2.0, N).astype(dtype)


def fit(X, y, s, key, **other):
    return forest.fit(X, y, key=key, sample_weight=s, **{**SHAPE, "max_features": Q, **other})


@functools.cache
def jitted() -> Any:
    return jax.jit(fit)


def key(seed=0):
    return jax.random.key(seed)


def leaves(found):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(found)]


def same(a, b):
    for x, y in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def bags(s, seed=0, trees=B):
    """How often each tree has seen each row, (B, n)."""
    keys = jax.random.split(key(seed), (trees, 2))[:, 0]
    return np.array([_bootstrap.counts(k, jnp.asarray(s)) for k in keys])


def gini(w, y):
    """W I."""
    W = w.sum()
    return W - sum(w[y == c].sum() ** 2 for c in range(K)) / W if W > 0 else 0.0


def nodes(one, X):
    """(node, its rows, whether it is split) of one tree, by its numbers."""
    inside = {0: np.ones(len(X), bool)}
    for v, (j, t) in enumerate(zip(one.feature, one.threshold, strict=True)):
        if v not in inside:
            continue
        yield v, inside[v], j >= 0
        if j >= 0:
            left = X[:, j] <= t
            inside[2 * v + 1], inside[2 * v + 2] = inside[v] & left, inside[v] & ~left


def each_tree(params):
    host = jax.tree.map(np.asarray, params.trees)
    return [jax.tree.map(lambda leaf, b=b: leaf[b], host) for b in range(len(host.feature))]


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


def test_the_same_key_gives_the_same_forest():
    X, y, s = problem()
    want = fit(X, y, s, key(1))
    same(fit(X, y, s, key(1)), want)
    other = fit(X, y, s, key(2))
    assert (np.asarray(other.params.trees.feature) != want.params.trees.feature).any()
    raw = fit(X, y, s, jax.random.PRNGKey(1))  # keys of the old kind
    same(raw, want)


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


def test_jit_vmap_over_keys_and_one_trace():
    X, y, s = problem()
    keys = jax.random.split(key(5), 2)
    eager = [fit(X, y, s, k) for k in keys]
    stacked = jax.jit(jax.vmap(fit, (None, None, None, 0)))(X, y, s, keys)
    for i in range(2):
        for other in (jitted()(X, y, s, keys[i]), jax.tree.map(lambda a, i=i: a[i], stacked)):
            for a, b in zip(leaves(other), leaves(eager[i]), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)
    before = jitted()._cache_size()
    jitted()(X, y[::-1].copy(), 2 * s, key(8))
    assert jitted()._cache_size() == before


def test_traced_inputs_that_are_wrong_show_in_the_code():
    X, y, s = problem()

    def code(*args):
        fit = jitted()(*args, key())
        return Code(int(fit.info.code)), fit.params

    bad = X.copy()
    bad[3, 1] = np.nan
    found, params = code(bad, y, s)
    assert found is Code.NONFINITE_INPUT
    assert np.isnan(params.out_of_bag).all()
    assert np.isnan(params.trees.value).all()
    assert code(X, np.where(y == 2, 3, y), s)[0] is Code.BAD_LABELS
    assert code(X, y, 0 * s)[0] is Code.DEGENERATE
    params = fit(X, y, s, key()).params
    proba = np.asarray(jax.jit(forest.predict_proba)(params, bad))
    assert np.isnan(proba[3]).all()
    assert np.isfinite(np.delete(proba, 3, axis=0)).all()
    assert int(jax.jit(forest.predict)(params, bad)[3]) == -1


@pytest.mark.parametrize(("max_features", "count"), [
    ("sqrt", 5), ("log2", 4), (None, 30), (7, 7), (0.5, 15), (1e-6, 1), (1.0, 30),
])  # fmt: skip
def test_how_many_features_a_node_looks_at(max_features, count):
    assert _bagging.feature_count(max_features, 30) == count


def test_concrete_inputs_that_are_wrong_raise():
    X, y, s = problem()
    for bad in ("all", 0, 6, 0.0, 1.5, True, -0.5, [2]):
        with pytest.raises(ValueError, match="max_features"):
            fit(X, y, s, key(), max_features=bad)
    with pytest.raises(TypeError, match="random key"):
        fit(X, y, s, 0)
    with pytest.raises(ValueError, match="one key"):
        fit(X, y, s, jax.random.split(key()))
    with pytest.raises(ValueError, match="criterion must be one of gini, entropy"):
        fit(X, y, s, key(), criterion="variance")
    with pytest.raises(ValueError, match="criterion must be one of variance"):
        forest.fit(X, y, key=key(), criterion="gini")
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        fit(X, y, s, key(), n_classes=2)
    with pytest.raises(ValueError, match="n_estimators must be >= 1"):
        fit(X, y, s, key(), n_estimators=0)
    with pytest.raises(ValueError, match="n_bins must be <= 256"):
        fit(X, y, s, key(), n_bins=257)
    with pytest.raises(ValueError, match="min_samples_leaf must be >= 0"):
        fit(X, y, s, key(), min_samples_leaf=-1)
    bad = X.copy()
    bad[0, 0] = np.inf
    with pytest.raises(ValueError, match="X contains NaN or inf"):
        fit(bad, y, s, key())
    params = fit(X, y, s, key()).params
    with pytest.raises(ValueError, match=r"5 feature\(s\) of the fit"):
        forest.predict(params, X[:, :2])
    with pytest.raises(ValueError, match="X contains NaN or inf"):
        forest.predict_proba(params, bad)


def test_regression_in_float32_and_its_derivatives():
    X, _, s = problem(dtype="float32")
    y = (X[:, 0] * X[:, 1] + X[:, 2]).astype("float32")

    def grown(y):
        return fit(X, y, s, key(), n_classes=None, n_bins=16)

    params, info = grown(y)
    assert {leaf.dtype.name for leaf in leaves(params)} == {"float32", "int32"}
    c = s * bags(s)
    total = np.zeros(N)
    for one, w in zip(each_tree(params), c, strict=True):
        for v, rows, split in nodes(one, X):
            if not split:
                mean = (w[rows] * y[rows]).sum() / w[rows].sum()
                np.testing.assert_allclose(one.value[v], mean, rtol=1e-4, atol=1e-5)
                total[rows] += mean / B
    np.testing.assert_allclose(forest.predict(params, X), total, rtol=1e-4, atol=1e-5)
    seen = np.isnan(params.out_of_bag)
    error = (s * (np.asarray(params.out_of_bag) - y) ** 2)[~seen].sum() / s[~seen].sum()
    np.testing.assert_allclose(info.objective, error, rtol=1e-5)
    with pytest.raises(ValueError, match="no probabilities"):
        forest.predict_proba(params, X)
    # at the present splits a prediction is linear in the targets
    slope = jax.grad(lambda y: forest.predict(grown(y).params, X[:1])[0])(jnp.asarray(y))
    np.testing.assert_allclose(slope @ y, total[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(slope.sum(), 1, rtol=1e-4)


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


APART = """
    import jax, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec
    from jaxml.trees import adaboost, forest
    rng = np.random.default_rng(0)
    X = rng.standard_normal((96, 4)).astype("float32")
    y = (X[:, 0] * X[:, 1] + 0.3 * rng.standard_normal(96) > 0).astype(np.int32)
    mesh = jax.make_mesh((2,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    split = [
        jax.device_put(a, NamedSharding(mesh, PartitionSpec("rows", *[None] * (a.ndim - 1))))
        for a in (X, y)
    ]
    grown = jax.jit(lambda X, y: forest.fit(
        X, y, key=jax.random.key(0), n_classes=2, n_estimators=4, max_depth=3))
    boosted = jax.jit(lambda X, y: adaboost.fit(X, y, n_classes=2, n_estimators=4))
    for fit in (grown, boosted):
        whole, parts = fit(X, y), fit(*split)
        assert int(whole.info.code) == int(parts.info.code) == 0
        for a, b in zip(jax.tree.leaves(parts), jax.tree.leaves(whole)):
            assert a.dtype in ("float32", "int32"), a.dtype
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    print("same")
"""


def test_sharded_rows_without_x64():
    flags = "--xla_force_host_platform_device_count=2"
    assert processes.run(APART, XLA_FLAGS=flags, JAX_PLATFORMS="cpu").strip() == "same"
