"""The shipped tables equal scikit-learn's copies, number by number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.datasets

from jaxml import datasets

CLASSES = {"iris": 3, "wine": 3, "breast_cancer": 2, "digits": 10}


@pytest.mark.parametrize("name", CLASSES)
def test_classification_table_equals_scikit_learn(name):
    ours = getattr(datasets, name)(dtype=jnp.float64)
    theirs = getattr(sklearn.datasets, f"load_{name}")()
    np.testing.assert_array_equal(ours.X, theirs.data)
    np.testing.assert_array_equal(ours.y, theirs.target)
    assert (ours.X.dtype, ours.y.dtype) == (jnp.float64, jnp.int32)
    assert ours.feature_names == tuple(theirs.feature_names)
    assert ours.target_names == tuple(str(t) for t in theirs.target_names)
    assert ours.n_classes == CLASSES[name] == len(np.unique(theirs.target))


def test_diabetes_equals_scikit_learn():
    ours = datasets.diabetes(dtype=jnp.float64)
    theirs = sklearn.datasets.load_diabetes(scaled=False)
    np.testing.assert_array_equal(ours.X, theirs.data)
    np.testing.assert_array_equal(ours.y, theirs.target)
    assert (ours.X.dtype, ours.y.dtype) == (jnp.float64, jnp.float64)
    assert ours.feature_names == tuple(theirs.feature_names)
    assert (ours.n_classes, ours.target_names) == (0, ("target",))


def test_diabetes_scaling_in_the_docstring():
    X = np.asarray(datasets.diabetes(dtype=jnp.float64).X)
    scaled = (X - X.mean(0)) / (X.std(0) * np.sqrt(442))
    np.testing.assert_allclose(scaled, sklearn.datasets.load_diabetes().data, atol=1e-14)


@pytest.mark.parametrize("name", [*CLASSES, "diabetes"])
def test_float32_is_the_rounded_table(name):
    wide, narrow = (getattr(datasets, name)(dtype=t) for t in (jnp.float64, jnp.float32))
    assert narrow.X.dtype == jnp.float32
    np.testing.assert_array_equal(narrow.X, np.asarray(wide.X).astype(np.float32))
    assert "Source:" in wide.description
    assert "License:" in wide.description
    assert f"X {wide.X.shape}" in wide.description


def test_default_dtype_follows_x64():
    with jax.enable_x64(True):
        assert datasets.iris().X.dtype == jnp.float64
    with jax.enable_x64(False):
        assert datasets.iris().X.dtype == jnp.float32
        assert datasets.diabetes().y.dtype == jnp.float32
        with pytest.raises(ValueError, match="float64 needs jax_enable_x64"):
            datasets.iris(dtype=np.float64)


def test_dtype_must_be_floating():
    with pytest.raises(TypeError, match="floating type: got int32"):
        datasets.iris(dtype=np.int32)


def test_text_is_the_dictionary():
    text = datasets.devils_dictionary()
    assert len(text) == 382611
    assert len(set(text)) == 81
    assert text.isascii()
    assert set(text) - {"\n"} <= {chr(c) for c in range(32, 127)}
    assert not any(line.endswith(" ") for line in text.split("\n"))
    for entry in (
        "ABASEMENT, n.",
        "LOGIC, n.",
        "SAINT, n.  A dead sinner revised and edited.",
        "ZOOLOGY, n.",
    ):
        assert f"\n\n{entry}" in text
    for frame in ("00-database", "wiretap", "abcdefghijklmnopqrstuvwxyz", "{"):
        assert frame not in text
    assert "Source:" in datasets.devils_dictionary.__doc__
    assert "License: public domain" in datasets.devils_dictionary.__doc__
