"""Bins, histograms and the grower by themselves, each way of computing them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxml.trees import _bins, _criteria, _grow, _histogram, _split
from tests.trees.oracle import problem


def bins(x, s=None, **other):
    x = np.asarray(x, float)[:, None]
    s = np.ones(len(x)) if s is None else s
    made = _bins.make(jnp.asarray(x), jnp.asarray(s), weighted=True, **other)
    t = np.asarray(made.thresholds)[0]
    assert (np.diff(t[np.isfinite(t)]) > 0).all()
    return np.asarray(made.codes)[0], t[np.isfinite(t)]


def test_thresholds_lie_between_all_values_if_they_are_few():
    codes, t = bins([3.0, -1.0, 0.0, -0.0, 3.0, 8.0], n_bins=6)
    np.testing.assert_array_equal(t, [-0.5, 1.5, 5.5])
    np.testing.assert_array_equal(codes, [2, 0, 1, 1, 2, 3])
    assert codes.dtype == "uint8"


def test_thresholds_are_weighted_quantiles():
    rng = np.random.default_rng(0)
    x, s = rng.normal(size=60), rng.integers(0, 4, 60).astype(float)
    codes, t = bins(x, s, n_bins=6)
    order = np.sort(np.repeat(x, s.astype(int)))
    for k in range(1, 6):
        low = order[int(np.ceil(k * len(order) / 6)) - 1]
        assert t[k - 1] == (low + order[order > low].min()) / 2
    np.testing.assert_array_equal(codes, np.searchsorted(t, x))
    plain = _bins.make(x[:, None], np.ones(60), n_bins=6, weighted=False)
    weighted = _bins.make(x[:, None], np.ones(60), n_bins=6, weighted=True)
    for a, b in zip(plain, weighted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_heavy_values_take_several_quantiles():
    x = np.concatenate([np.zeros(50), np.arange(1.0, 11.0)])
    codes, t = bins(x, n_bins=6)
    np.testing.assert_array_equal(t, [0.5])
    assert set(codes) == {0, 1}


def test_missing_values_have_the_last_code_and_move_nothing():
    x = np.array([2.0, np.nan, 1.0, 5.0, np.nan])
    codes, t = bins(x, n_bins=6, missing=True)
    np.testing.assert_array_equal(t, [1.5, 3.5])
    np.testing.assert_array_equal(codes, [1, 5, 0, 2, 5])
    codes, t = bins(np.full(4, np.nan), n_bins=6, missing=True)
    assert len(t) == 0
    assert (codes == 5).all()


def test_all_256_codes_are_used():
    codes, t = bins(np.arange(256.0), n_bins=256)
    assert len(t) == 255
    np.testing.assert_array_equal(codes, np.arange(256))
    codes, t = bins(np.arange(1000.0), n_bins=256, missing=True)
    assert len(t) == 254
    assert codes.max() == 254


def statistics(n=50, slots=4, n_bins=8):
    rng = np.random.default_rng(1)
    code, slot = rng.integers(0, n_bins, n).astype(np.uint8), rng.integers(0, slots, n)
    return code, slot.astype(np.int32), rng.normal(size=(n, 3))


def test_histograms_by_both_ways(monkeypatch):
    code, slot, u = statistics()
    want = np.zeros((8, 4, 3))
    np.add.at(want, (code, slot), u)
    got = _histogram.histogram(jnp.asarray(code), slot, jnp.asarray(u), n_slots=4, n_bins=8)
    np.testing.assert_allclose(got, want, atol=1e-14)
    monkeypatch.setattr(_histogram, "BLOCK", 96)  # several blocks, the last one padded
    product = _histogram._product(jnp.asarray(code), slot, jnp.asarray(u), 4, 8)
    np.testing.assert_allclose(product, want, atol=1e-14)
    np.testing.assert_allclose(_histogram.running(jnp.asarray(want)), want.cumsum(axis=0))
    by_node = _histogram.by_node(jnp.asarray(slot), jnp.asarray(u), 6)
    np.testing.assert_allclose(by_node[:4], want.sum(axis=0), atol=1e-14)


@partial(jax.jit, static_argnames="max_features")
def grown(X, y, s, *, features=None, max_features=None, key=None):
    made = _bins.make(X, s, n_bins=12)
    u = _criteria.class_statistics(y, s, 3)
    return _grow.grow(
        made, u, _criteria.CRITERIA["gini"], max_depth=3, min_gain=jnp.asarray(1e-9),
        min_mass=jnp.asarray(0.0), features=features, max_features=max_features, key=key,
    )  # fmt: skip


def test_the_way_of_an_accelerator_grows_the_same_tree(monkeypatch):
    X, y, s = problem("gini", n=40, grid=False)
    s = np.round(4 * s)  # sums are exact in any order
    want = grown(X, y, s)
    original = _histogram.jax.lax.platform_dependent

    def other(*args, cpu, default):
        return original(*args, cpu=default, default=default)

    monkeypatch.setattr(jax.lax, "platform_dependent", other)
    jax.clear_caches()
    got = grown(X, y, s)
    for a, b in zip(jax.tree.leaves(want), jax.tree.leaves(got), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    np.testing.assert_array_equal(got.leaf, _grow.leaves(got.tree, jnp.asarray(X)))


def test_one_feature_at_a_time_grows_the_same_tree(monkeypatch):
    X, y, s = problem("gini", n=40, grid=False)
    assert X.shape[1] % 2  # the last of the features has no other beside it
    taken, original = [], _grow.of_each

    def seen(*args, together):
        taken.append(together)
        return original(*args, together=together)

    monkeypatch.setattr(_grow, "of_each", seen)
    trees = []
    for small in (_grow.SMALL, 0):
        monkeypatch.setattr(_grow, "SMALL", small)
        jax.clear_caches()
        trees.append(jax.tree.leaves(grown(X, y, s)))
    assert set(taken) == {1, 2}
    for a, b in zip(*trees, strict=True):
        np.testing.assert_array_equal(a, b)


def test_features_may_be_left_out():
    X, y, s = problem("gini", n=40, grid=False)
    tree = grown(X, y, s, features=jnp.array([True, False, True])).tree
    used = set(np.asarray(tree.feature))
    assert 1 not in used
    assert used - {-1}


def test_each_node_draws_its_own_features():
    X, y, s = problem("gini", n=40, grid=False)
    every = [grown(X, y, s, max_features=1, key=jax.random.key(i)).tree.feature for i in range(6)]
    roots = {int(feature[0]) for feature in every}
    assert len(roots) > 1  # not the best feature of all every time
    assert any(len(set(np.asarray(f)[np.asarray(f) >= 0])) > 1 for f in every)
    again = grown(X, y, s, max_features=1, key=jax.random.key(0)).tree.feature
    np.testing.assert_array_equal(again, every[0])
    full = grown(X, y, s, max_features=3, key=jax.random.key(0)).tree
    for a, b in zip(full, grown(X, y, s).tree, strict=True):
        np.testing.assert_array_equal(a, b)


def test_rows_end_in_the_leaves_that_the_tree_sends_them_to():
    rng = np.random.default_rng(2)
    X, s = rng.normal(size=(300, 3)), rng.integers(0, 3, 300).astype(float)
    X[rng.random(X.shape) < 0.2] = np.nan
    y = rng.integers(0, 3, 300)  # noise: more nodes than are searched at a time
    made = _bins.make(X, s, n_bins=12, missing=True)
    u = _criteria.class_statistics(y, s, 3)
    found = jax.jit(
        partial(_grow.grow, max_depth=6, missing=True, criterion=_criteria.CRITERIA["gini"])
    )(made, u, min_gain=jnp.asarray(1e-9), min_mass=jnp.asarray(0.0))
    assert (np.asarray(found.tree.feature)[31:63] >= 0).sum() > _split.SLOTS
    assert {True, False} <= set(np.asarray(found.tree.missing_left)[:31].tolist())
    np.testing.assert_array_equal(found.leaf, _grow.leaves(found.tree, jnp.asarray(X)))
