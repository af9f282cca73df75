"""Precision, recall and F1 where they are undefined, and counts of many rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as theirs

from jaxml import metrics
from jaxml.metrics import _counts

SCORES = (metrics.precision, metrics.recall, metrics.f1)
NAMES = ("precision", "recall", "f1")


def test_undefined_is_nan_unless_said_otherwise():
    none, some = [0, 0, 0], [0, 1, 1]
    want = {  # (y_true, y_pred): precision, recall, F1
        (0, 0): (np.nan, np.nan, np.nan),
        (0, 1): (0.0, np.nan, 0.0),
        (1, 0): (np.nan, 0.0, 0.0),
        (1, 1): (1.0, 1.0, 1.0),
    }
    for (a, b), values in want.items():
        y, p = (some if a else none), (some if b else none)
        for score, value in zip(SCORES, values, strict=True):
            np.testing.assert_equal(float(score(y, p)), value)
            np.testing.assert_equal(float(jax.jit(score)(np.array(y), np.array(p))), value)
            for zero in (0.0, 1.0):
                got = float(score(y, p, zero_division=zero))
                assert got == (zero if np.isnan(value) else value)
    empty = jax.vmap(lambda v: metrics.f1(none, none, zero_division=v))(jnp.array([0.0, 0.25]))
    assert empty.tolist() == [0.0, 0.25]


@pytest.mark.parametrize(("score", "name"), tuple(zip(SCORES, NAMES, strict=True)), ids=NAMES)
def test_classes_that_do_not_occur(score, name):
    y, p = np.array([0, 2, 2, 0]), np.array([0, 2, 0, 1])  # 3 nowhere, 1 only told
    peer = getattr(theirs, f"{name}_score")
    for average in ("macro", "weighted", "micro"):
        want = peer(y, p, average=average, zero_division=0)
        got = score(y, p, n_classes=4, average=average, zero_division=0.0)
        np.testing.assert_allclose(got, want, rtol=1e-12)
    each = np.asarray(score(y, p, n_classes=4, average=None))
    assert np.isnan(each).tolist() == [False, name == "recall", False, True]
    # A class that occurs but has no value makes the mean NaN, one that does not occur does not.
    assert np.isnan(score(y, p, n_classes=4, average="macro")) == (name == "recall")
    assert np.isfinite(score(y, p, n_classes=4, average="weighted"))


def test_options():
    y = [0, 1, 2]
    with pytest.raises(ValueError, match='average="binary" is for n_classes=2'):
        metrics.f1(y, y, n_classes=3)
    with pytest.raises(ValueError, match="average must be one of"):
        metrics.f1(y, y, n_classes=3, average="samples")
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        metrics.f1(y, y)
    with pytest.raises(ValueError, match="n_classes must be >= 2"):
        metrics.f1(y, y, n_classes=1)
    with pytest.raises(TypeError, match="n_classes is static"):
        metrics.confusion_matrix(y, y, n_classes=3.0)
    assert float(metrics.accuracy([-1, 1, 1], [-1, 1, -1])) == pytest.approx(2 / 3)
    assert float(metrics.accuracy([True, False], [1, 0])) == 1.0
    assert metrics.confusion_matrix([0, 0], [0, 0], n_classes=1).tolist() == [[2.0]]


def test_many_rows_and_the_path_of_an_accelerator(monkeypatch):
    rng = np.random.default_rng(0)
    n = 300_000
    y, p = rng.integers(0, 3, n), rng.integers(0, 3, n)
    s = rng.random(n).astype("float32")
    want = theirs.confusion_matrix(y, p, sample_weight=s.astype(float))
    got = metrics.confusion_matrix(y, p, n_classes=3, sample_weight=s)
    np.testing.assert_allclose(got, want, rtol=2e-6)

    def elsewhere(*args, cpu, default):
        del cpu
        return default(*args)

    monkeypatch.setattr(_counts.jax.lax, "platform_dependent", elsewhere)
    table = _counts.table(*map(jnp.asarray, (y, p, s)), 3, "float32")
    np.testing.assert_allclose(table, want, rtol=1e-4)
