"""Splits and folds are partitions, by class where asked; class weights balance."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.model_selection import KFold
from sklearn.utils.class_weight import compute_sample_weight

from jaxml import datasets
from jaxml.model_selection import (
    balanced_weights,
    kfold_weights,
    stratified_kfold_weights,
    train_test_split,
)

KEY = jax.random.key(7)


def assert_partition(weights, n, n_splits):
    weights = np.asarray(weights)
    assert weights.shape == (n_splits, n)
    assert set(np.unique(weights)) == {0.0, 1.0}
    np.testing.assert_array_equal((weights == 0).sum(axis=0), 1)  # held out exactly once
    assert np.ptp((weights == 0).sum(axis=1)) <= 1


# --- splits


@pytest.mark.parametrize(("n", "test_size", "m"), [(10, 0.25, 3), (10, 4, 4), (7, 0.5, 4)])
def test_train_test_split_partitions_the_rows(n, test_size, m):
    X, y = np.arange(2.0 * n).reshape(n, 2), np.arange(n)
    X_train, X_test, y_train, y_test = train_test_split(X, y, key=KEY, test_size=test_size)
    assert (X_train.shape, X_test.shape) == ((n - m, 2), (m, 2))
    np.testing.assert_array_equal(np.sort(np.r_[y_train, y_test]), y)
    np.testing.assert_array_equal(X_train, X[np.asarray(y_train)])  # arrays are split alike
    np.testing.assert_array_equal(X_test, X[np.asarray(y_test)])
    assert y_train.dtype == jnp.asarray(y).dtype


def test_train_test_split_depends_on_the_key_alone():
    rows = jnp.arange(50)
    a, b = (train_test_split(rows, key=jax.random.key(k))[1] for k in (0, 1))
    np.testing.assert_array_equal(a, train_test_split(rows, key=jax.random.key(0))[1])
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(
        a, jax.jit(lambda r: train_test_split(r, key=jax.random.key(0)))(rows)[1]
    )


def test_train_test_split_is_uniform():
    # Each of 6 rows is a test row with probability 1/3: 3000 draws, binomial standard error.
    keys = jax.random.split(KEY, 3000)
    held = jax.vmap(lambda k: train_test_split(jnp.arange(6), key=k, test_size=2)[1])(keys)
    share = np.bincount(np.asarray(held).ravel(), minlength=6) / 3000
    assert np.all(abs(share - 1 / 3) < 5 * np.sqrt(1 / 3 * 2 / 3 / 3000))


@pytest.mark.parametrize("test_size", [0.1, 0.3, 37])
def test_stratified_split_keeps_shares_within_one_row(test_size):
    y = datasets.wine().y
    rows = jnp.arange(y.shape[0])
    train, test = train_test_split(rows, key=KEY, test_size=test_size, stratify=y)
    assert sorted(np.r_[train, test]) == list(range(178))
    share = test.shape[0] / 178
    counts, kept = np.bincount(y), np.bincount(y[test], minlength=3)
    assert np.all(abs(kept - share * counts) < 1)
    assert np.any(np.diff(y[test]) < 0)  # in random order, not grouped by class


def test_stratified_split_is_random_within_a_class():
    y = jnp.repeat(jnp.arange(2), 6)
    keys = jax.random.split(KEY, 3000)
    held = jax.vmap(lambda k: train_test_split(jnp.arange(12), key=k, test_size=4, stratify=y)[1])(
        keys
    )
    share = np.bincount(np.asarray(held).ravel(), minlength=12) / 3000
    assert np.all(abs(share - 1 / 3) < 5 * np.sqrt(1 / 3 * 2 / 3 / 3000))


@pytest.mark.parametrize("test_size", [0, 10, 1.0, 0.0, -0.5, True, "half"])
def test_train_test_split_refuses_empty_sides(test_size):
    with pytest.raises(ValueError, match="test_size must"):
        train_test_split(jnp.arange(10), key=KEY, test_size=test_size)


def test_train_test_split_refuses_ragged_and_no_arrays():
    with pytest.raises(ValueError, match=r"same number of rows: got \[3, 4\]"):
        train_test_split(jnp.arange(3), jnp.arange(4), key=KEY)
    with pytest.raises(ValueError, match="at least one"):
        train_test_split(key=KEY)


# --- folds


@pytest.mark.parametrize(("n", "n_splits"), [(10, 2), (11, 3), (5, 5), (23, 10)])
def test_kfold_without_key_is_scikit_learns_kfold(n, n_splits):
    weights = kfold_weights(n, n_splits=n_splits)
    assert_partition(weights, n, n_splits)
    for w, (train, held_out) in zip(weights, KFold(n_splits).split(np.zeros(n)), strict=True):
        np.testing.assert_array_equal(np.flatnonzero(w), train)
        np.testing.assert_array_equal(np.flatnonzero(w == 0), held_out)


def test_kfold_with_key_is_a_shuffled_partition():
    weights = kfold_weights(23, n_splits=4, key=KEY)
    assert_partition(weights, 23, 4)
    assert not np.array_equal(weights, kfold_weights(23, n_splits=4))
    np.testing.assert_array_equal(weights, kfold_weights(23, n_splits=4, key=KEY))


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer"])
def test_stratified_folds_keep_class_counts_within_one(name, key):
    data = getattr(datasets, name)()
    for n_splits in (2, 5, 7):
        weights = stratified_kfold_weights(
            data.y, n_splits=n_splits, n_classes=data.n_classes, key=key
        )
        assert_partition(weights, len(data.y), n_splits)
        per_class = (np.asarray(weights) == 0) @ np.eye(data.n_classes)[np.asarray(data.y)]
        assert np.ptp(per_class, axis=0).max() <= 1


def test_stratified_folds_under_jit_vmap_and_bad_labels():
    y = jnp.array([0, 1, 0, 1, 1, 2, 0, 2, 1])
    fold = functools.partial(stratified_kfold_weights, n_splits=3, n_classes=3, key=KEY)
    np.testing.assert_array_equal(fold(y), jax.jit(fold)(y))
    np.testing.assert_array_equal(jax.vmap(fold)(jnp.stack([y, y[::-1]]))[1], fold(y[::-1]))
    assert_partition(fold(y), 9, 3)
    with pytest.raises(ValueError, match=r"outside 0\.\.2: got 0\.\.3"):
        fold(y.at[4].set(3))
    traced = jax.jit(fold)(y.at[4].set(3))
    np.testing.assert_array_equal(np.isnan(traced), np.arange(9)[None, :] == [[4]] * 3)


def test_folds_refuse_impossible_numbers():
    with pytest.raises(ValueError, match="at most the number of rows, 3: got 4"):
        kfold_weights(3, n_splits=4)
    with pytest.raises(ValueError, match="n_splits must be >= 2"):
        kfold_weights(3, n_splits=1)
    with pytest.raises(TypeError, match="n_splits is static"):
        kfold_weights(3, n_splits=2.0)
    with pytest.raises(ValueError, match=r"1 axis and at least 1 row: got shape \(0,\)"):
        stratified_kfold_weights(jnp.zeros(0, int), n_splits=2, n_classes=2)


# --- class weights


@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
def test_balanced_weights_equal_scikit_learn(name):
    data = getattr(datasets, name)()
    ours = balanced_weights(data.y, n_classes=data.n_classes)
    want = compute_sample_weight("balanced", np.asarray(data.y))
    np.testing.assert_allclose(ours, want, rtol=1e-14 if ours.dtype == jnp.float64 else 1e-6)


def test_balanced_weights_with_weights_and_a_missing_class():
    y, s = jnp.array([0, 0, 2, 2, 2]), jnp.array([1.0, 3.0, 0.0, 2.0, 2.0])
    ours = np.asarray(balanced_weights(y, n_classes=3, sample_weight=s))
    # n_0 = n_2 = 4 and S = 8: each weight is multiplied by 8 / (3 * 4); class 1 counts in K.
    np.testing.assert_allclose(ours, np.asarray(s) * 8 / 12, rtol=1e-6)
    bad = jax.jit(functools.partial(balanced_weights, n_classes=2))(y)
    np.testing.assert_array_equal(np.isnan(bad), np.asarray(y) == 2)
    with pytest.raises(ValueError, match="sample_weight must be >= 0"):
        balanced_weights(y, n_classes=3, sample_weight=-s)
