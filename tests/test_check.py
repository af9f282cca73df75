"""Argument checks: each message says what was expected and what came."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import _check
from jaxml.linear._affine import Params

X = np.arange(6.0).reshape(3, 2)
Y = np.array([0.0, 1.0, 1.0])


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
def test_integers_become_the_default_float(dtype):
    out = _check.array("X", X.astype(dtype), ndim=2)
    assert out.dtype == jnp.float64
    np.testing.assert_array_equal(out, X.astype(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [np.asarray, jnp.asarray, np.asfortranarray])
def test_floats_keep_their_dtype(dtype, make):
    out = _check.array("X", make(X.astype(dtype)), ndim=2)
    assert isinstance(out, jax.Array)
    assert out.dtype == dtype


def test_lists_are_taken():
    np.testing.assert_array_equal(_check.array("X", X.tolist(), ndim=2), X)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (X + 1j, TypeError, "Complex data not supported"),
        (np.array([["a", "b"]]), TypeError, "numeric"),
        (np.array([[object()]]), TypeError, "numeric"),
        (X.astype("float16"), TypeError, "16-bit"),
        (jnp.asarray(X, "bfloat16"), TypeError, "16-bit"),
        (X[0], ValueError, r"2 axes: got shape \(2,\); reshape one feature to \(n, 1\)"),
        (X[None], ValueError, r"2 axes: got shape \(1, 3, 2\)"),
        (X[:0], ValueError, r"0 sample\(s\) \(shape=\(0, 2\)\) while a minimum of 1 is required"),
        (X[:, :0], ValueError, r"0 feature\(s\) \(shape=\(3, 0\)\) while a minimum of 1"),
    ],
)
def test_refused_arrays(value, error, words):
    with pytest.raises(error, match=words):
        _check.array("X", value, ndim=2)


def test_sparse_is_refused_by_name():
    from scipy import sparse

    with pytest.raises(TypeError, match="sparse"):
        _check.array("X", sparse.csr_array(X), ndim=2)


def test_a_cast_that_overflows_is_refused():
    with pytest.raises(ValueError, match="beyond the range of float32"):
        _check.array("y", np.array([1e300]), ndim=1, dtype=jnp.float32)
    kept = _check.array("y", np.array([np.inf]), ndim=1, dtype=jnp.float32)
    assert np.isinf(kept).all()  # an inf that came as inf is found by its own check


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonfinite_targets_and_weights(bad):
    y = Y.copy()
    y[1] = bad
    with pytest.raises(ValueError, match="y contains NaN or inf"):
        _check.supervised(X, y, None)
    with pytest.raises(ValueError, match="sample_weight contains NaN or inf"):
        _check.supervised(X, Y, y)


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        ([1.0, -0.5, 1.0], ValueError, r"sample_weight must be >= 0: got -0.5"),
        ([0.0, 0.0, 0.0], ValueError, "weight.*zero"),
        ([1.0, 1.0], ValueError, "expected 3, got 2"),
        ([[1.0], [1.0], [1.0]], ValueError, "1 axes"),
        (["a", "b", "c"], TypeError, "numeric"),
    ],
)
def test_refused_weights(weights, error, words):
    with pytest.raises(error, match=words):
        _check.supervised(X, Y, np.array(weights))


def test_rows_must_match():
    with pytest.raises(ValueError, match="one entry per row of X: expected 3, got 2"):
        _check.supervised(X, Y[:2], None)
    with pytest.raises(ValueError, match=r"expected shape \(3,\), got \(2,\)"):
        _check.classified(X, [0, 1], None, n_classes=2)
    with pytest.raises(ValueError, match=r"4 feature\(s\) of the fit: got shape \(3, 2\)"):
        _check.rows(X, d=4)


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        ([0, 1, 3], ValueError, r"class label outside 0..2: got 0..3"),
        ([-1, 0, 1], ValueError, r"class label outside 0..2: got -1..1"),
        ([0.0, 0.5, 1.0], ValueError, "fractional"),
        ([0.0, np.nan, 1.0], ValueError, "NaN"),
        (["a", "b", "c"], TypeError, "integer class labels"),
        ([1, 1, 1], ValueError, "1 class"),
    ],
)
def test_refused_labels(labels, error, words):
    with pytest.raises(error, match=words):
        _check.classified(X, np.array(labels), None, n_classes=3)


def test_one_class_among_the_weighted_rows_is_one_class():
    with pytest.raises(ValueError, match="1 class"):
        _check.classified(X, [0, 1, 1], [0.0, 1.0, 1.0], n_classes=2)


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint8, np.float32, bool])
def test_labels_of_any_exact_kind_become_int32(kind):
    out = _check.labels(np.array([0, 1, 1], kind), 3, n_classes=2)
    assert out.dtype == jnp.int32
    np.testing.assert_array_equal(out, [0, 1, 1])


def test_traced_labels_outside_their_range_become_minus_one():
    f = jax.jit(lambda y: _check.labels(y, 4, n_classes=3))
    np.testing.assert_array_equal(f(jnp.array([0, 3, -2, 2])), [0, -1, -1, 2])
    np.testing.assert_array_equal(f(jnp.array([0.0, 0.5, jnp.nan, 2.0])), [0, -1, -1, 2])
    big = jnp.array([2**32, 2**32 + 1, 0, 1])  # must not wrap into 0 and 1
    np.testing.assert_array_equal(f(big), [-1, -1, 0, 1])


def test_real_hyperparameters():
    assert _check.at_least("l2", 0, 0, dtype=jnp.float32).dtype == jnp.float32
    assert float(_check.at_least("l2", np.float32(0.5), 0, dtype=jnp.float64)) == 0.5
    for bad in (-1.0, np.nan):
        with pytest.raises(ValueError, match=r"l2 must be >= 0: got"):
            _check.at_least("l2", bad, 0, dtype=jnp.float64)
    with pytest.raises(ValueError, match=r"tol must be > 0: got 0.0"):
        _check.above("tol", 0.0, 0, dtype=jnp.float64)
    with pytest.raises(ValueError, match=r"l2 must be a scalar: got shape \(2,\); vmap"):
        _check.at_least("l2", jnp.ones(2), 0, dtype=jnp.float64)
    with pytest.raises(TypeError, match="l2 must be a real number: got str"):
        _check.at_least("l2", "1", 0, dtype=jnp.float64)
    jax.jit(lambda l2: _check.at_least("l2", l2, 0, dtype=jnp.float64))(-1.0)  # traced: no raise


def test_static_hyperparameters():
    assert _check.integer("max_iter", np.int64(3), 1) == 3
    with pytest.raises(ValueError, match="max_iter must be >= 1: got 0"):
        _check.integer("max_iter", 0, 1)
    for bad in (True, 3.0, "3"):
        with pytest.raises(TypeError, match="max_iter is static and must be an integer"):
            _check.integer("max_iter", bad, 1)
    with pytest.raises(ValueError, match="solver must be one of a, b: got 'c'"):
        _check.choice("solver", "c", ("a", "b"))


def test_warm_starts_are_of_the_type_and_shape_of_params():
    template = Params(jnp.zeros(2), jnp.zeros(()))
    out = _check.like("init", Params(np.ones(2), 3), template, jnp.float32)
    assert out.coef.dtype == out.intercept.dtype == jnp.float32
    with pytest.raises(TypeError, match="init must be a Params: got tuple"):
        _check.like("init", (np.ones(2), 3.0), template, jnp.float32)
    with pytest.raises(ValueError, match=r"init.coef must have shape \(2,\): got \(3,\)"):
        _check.like("init", Params(np.ones(3), 3.0), template, jnp.float32)
