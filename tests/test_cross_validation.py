"""Cross-validation: weights as masks are refits on subsets, and one call does the grid."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code, Fit, Info, datasets
from jaxml.linear import logistic, ridge
from jaxml.model_selection import cross_validate, kfold_weights, stratified_kfold_weights

KEY = jax.random.key(7)

# --- with a model small enough to write out


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
