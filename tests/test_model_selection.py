"""Folds are partitions, weights as masks are refits on subsets, and one call does the grid."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.model_selection import KFold
from sklearn.utils.class_weight import compute_sample_weight

from jaxml import Code, Fit, Info, datasets
from jaxml.linear import logistic, ridge
from jaxml.model_selection import (
    balanced_weights,
    cross_validate,
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


# --- cross-validation, with a model small enough to write out


def mean_fit(X, y, *, sample_weight, shrink):
    """m = weighted mean / (1 + shrink); DEGENERATE where shrink is negative."""
    m = (sample_weight * y).sum() / sample_weight.sum() / (1.0 + shrink)
    code = jnp.where(shrink < 0, Code.DEGENERATE, Code.CONVERGED)
    return Fit(m, Info(code, jnp.int32(1), m, 0.0 * m))


def squared_error(m, X, y, *, sample_weight):
    return (sample_weight * (y - m) ** 2).sum() / sample_weight.sum()


def table(X, y, weights, shrink, s):
    """The same by refitting on subsets in NumPy."""
    rows = []
    for c in shrink:
        row = []
        for w in weights:
            train, held = w > 0, w == 0
            m = np.average(y[train], weights=(w * s)[train]) / (1 + c)
            row.append(np.average((y[held] - m) ** 2, weights=s[held]))
        rows.append(row)
    return np.array(rows)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    return rng.normal(size=(17, 2)), rng.normal(size=17) + 1.0, rng.integers(1, 4, 17) * 1.0


@pytest.mark.parametrize("batch_size", [None, 1, 2, 5])
def test_cross_validate_equals_refits_on_subsets(problem, batch_size):
    X, y, s = problem
    weights, shrink = kfold_weights(17, n_splits=4, key=KEY), np.array([0.0, 0.1, 0.5, 1.0, 2.0])
    got, info = cross_validate(
        mean_fit, squared_error, X, y, weights=weights, grid={"shrink": shrink},
        sample_weight=s, batch_size=batch_size, return_info=True,
    )  # fmt: skip
    assert got.shape == info.code.shape == info.residual.shape == (5, 4)
    want = table(X, y, np.asarray(weights), shrink, s)
    np.testing.assert_allclose(got, want, rtol=1e-12 if got.dtype == jnp.float64 else 1e-5)


def test_cross_validate_out_of_bag(problem):
    X, y, s = problem
    counts = jnp.asarray(
        np.random.default_rng(1).multinomial(17, np.full(17, 1 / 17), size=3) * 1.0
    )
    got = cross_validate(
        mean_fit, squared_error, X, y, weights=counts, grid={"shrink": [0.3]}, sample_weight=s
    )
    want = table(X, y, np.asarray(counts), [0.3], s)
    np.testing.assert_allclose(got, want, rtol=1e-12 if got.dtype == jnp.float64 else 1e-5)


def test_a_lane_without_an_answer_scores_nan_alone(problem):
    X, y, _ = problem
    weights = kfold_weights(17, n_splits=3)
    call = functools.partial(cross_validate, mean_fit, squared_error, X, y, weights=weights)
    got = call(grid={"shrink": jnp.array([0.5, -0.5, 1.0])})
    np.testing.assert_array_equal(np.isnan(got), [[False] * 3, [True] * 3, [False] * 3])
    np.testing.assert_array_equal(got[::2], call(grid={"shrink": jnp.array([0.5, 1.0])}))


def test_cross_validate_is_compiled_once_and_differentiable(problem):
    X, y, _ = problem
    traced = chex.assert_max_traces(mean_fit, n=1)
    weights = kfold_weights(17, n_splits=3)

    def mean_score(shrink):
        return cross_validate(
            traced, squared_error, X, y, weights=weights, grid={"shrink": shrink}
        ).mean()

    values = [float(mean_score(jnp.array([c]))) for c in (0.2, 0.2 + 1e-4, 0.2 - 1e-4)]
    chex.clear_trace_counter()
    slope = jax.grad(mean_score)(jnp.array([0.2]))[0]
    if jnp.asarray(0.0).dtype == jnp.float64:
        assert abs(slope - (values[1] - values[2]) / 2e-4) < 1e-7


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"y": np.zeros(16)}, "y needs one entry per row of X: expected 17"),
        ({"X": np.full((17, 2), np.nan)}, "X contains NaN"),
        ({"weights": np.ones((3, 16))}, r"weights needs shape \(folds, 17\): got \(3, 16\)"),
        ({"weights": np.ones((3, 17))}, r"row held out \(weight 0\): fold 0 has none"),
        ({"weights": np.zeros((3, 17))}, "row to train on: fold 0 has none"),
        ({"weights": -np.eye(17)}, "finite and >= 0"),
        ({"grid": {}}, "grid is empty"),
        ({"grid": {"shrink": [1.0], "other": [1.0, 2.0]}}, "same number of values"),
        ({"batch_size": 0}, "batch_size must be >= 1"),
    ],
)
def test_cross_validate_says_what_is_wrong(problem, change, match):
    X, y, _ = problem
    weights = kfold_weights(17, n_splits=3)
    args = {"X": X, "y": y, "weights": weights, "grid": {"shrink": [1.0]}} | change
    with pytest.raises(ValueError, match=match):
        cross_validate(mean_fit, squared_error, args.pop("X"), args.pop("y"), **args)


# --- with the linear models


def accuracy(params, X, y, *, sample_weight):
    return jnp.average(logistic.predict(params, X) == y, weights=sample_weight)


def test_ridge_path_equals_fits_on_subsets():
    data = datasets.diabetes(dtype=jnp.float64)
    X, y, s = data.X, data.y, 1.0 + data.X[:, 1]
    weights = kfold_weights(442, n_splits=3, key=KEY)
    l2 = jnp.array([1e-3, 1.0])

    def error(params, X, y, *, sample_weight):
        return ridge.loss(params, X, y, l2=0.0, sample_weight=sample_weight)

    got, info = cross_validate(
        ridge.fit, error, X, y, weights=weights, grid={"l2": l2}, sample_weight=s, return_info=True
    )
    assert np.all(info.converged)
    for i, c in enumerate(l2):
        for f, w in enumerate(weights):
            keep, held = w > 0, w == 0
            params = ridge.fit(X[keep], y[keep], l2=c, sample_weight=s[keep]).params
            want = error(params, X[held], y[held], sample_weight=s[held])
            np.testing.assert_allclose(got[i, f], want, rtol=1e-9)


def test_logistic_accuracy_on_breast_cancer_is_the_published_one():
    # Worst area, worst smoothness and mean texture separate 97.5% in 10-fold cross-validation by
    # the authors' method (Street, Wolberg, Mangasarian 1993); other splits and methods: 96 to 98.5.
    data = datasets.breast_cancer(dtype=jnp.float64)
    names = ("worst area", "worst smoothness", "mean texture")
    X = data.X[:, jnp.array([data.feature_names.index(c) for c in names])]
    X = (X - X.mean(axis=0)[None, :]) / X.std(axis=0)[None, :]
    weights = stratified_kfold_weights(data.y, n_splits=10, n_classes=2, key=KEY)
    scores, info = cross_validate(
        logistic.fit, accuracy, X, data.y, weights=weights, grid={"l2": [1e-3]}, return_info=True
    )
    assert np.all(info.converged)
    assert 0.96 <= scores.mean() <= 0.985


def test_a_fold_without_a_class_scores_nan():
    X, y = np.linspace(-1.0, 1.0, 8)[:, None], np.array([0, 0, 0, 0, 1, 1, 1, 1])
    weights = kfold_weights(8, n_splits=2)  # consecutive rows: each fold trains on one class
    scores, info = cross_validate(
        logistic.fit, accuracy, X, y, weights=weights, grid={"l2": [0.1]}, return_info=True
    )
    assert np.all(np.isnan(scores))
    assert np.all(np.asarray(info.code) == Code.BAD_LABELS)
