"""Metrics of predicted classes, all read off the confusion matrix.

    C_ab = sum_i s_i [y_i = a][p_i = b]
    TP_c = C_cc,  FP_c = sum_(a != c) C_ac,  FN_c = sum_(b != c) C_cb
    accuracy = sum_c TP_c / sum_i s_i,    P = TP/(TP + FP),    R = TP/(TP + FN)
    F1 = 2PR/(P + R) = 2TP/(2TP + FP + FN),    F1 <= 2 min(P, R)

Where the denominator is 0 (nothing predicted for P, nothing there for R, neither for F1) the value
is zero_division, NaN unless the caller says otherwise. F1 with positives only on one side is 0.

Symbols: y = y_true, p = y_pred; s_i = sample_weight[i], 1 if None.
scikit-learn: the same, with zero_division=0 and a warning.
Reference: van Rijsbergen (1979), Information Retrieval, chapter 7.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._typing import Array, ArrayLike, Float, Real, Scalar, Weights
from jaxml.metrics import _counts, _inputs

__all__ = ["accuracy", "confusion_matrix", "f1", "precision", "recall"]


def accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> Scalar:
    """Return the share of the weight on rows whose label is predicted.

    Args:
      y_true: Labels (n,), integers of any sign.
      y_pred: Predicted labels (n,).
      sample_weight: s_i >= 0, not all zero; floats give the result their dtype.

    Raises:
      ValueError: Shapes disagree, a label is no integer, or a weight is negative, NaN or inf.

    Example:
      >>> float(accuracy([0, 1, 2, 1], [0, 1, 1, 1]))
      0.75
    """
    y, p, s = _pair(y_true, y_pred, sample_weight)
    share = _accuracy(y, p, s, dtype=_inputs.float_of(sample_weight))
    return _judged(share, y, p, s, None)


@partial(jax.jit, static_argnames="dtype")
def _accuracy(y: Array, p: Array, s: Weights, *, dtype: Any) -> Scalar:
    (y, seen), (p, known) = _inputs.members(y, None), _inputs.members(p, None)
    right, everything = (_inputs.mass(rows, s, dtype) for rows in (y == p, jnp.ones(y.shape, bool)))
    valid = _inputs.counted(seen & known, s) & _inputs.sound(s)
    return jnp.where(valid, right / jnp.where(valid, everything, 1.0), jnp.nan)


def confusion_matrix(
    y_true: ArrayLike, y_pred: ArrayLike, *, n_classes: int, sample_weight: ArrayLike | None = None
) -> Float[Array, "k k"]:
    """Return C (k, k): the weight of the rows of class a, a row, that were taken for b, a column.

    Counts come as floats, since they may be weights, and NaN marks labels out of range under a
    trace. They are added up as integers, so exact but for one rounding.

    Args:
      y_true: Labels (n,), integers 0..n_classes-1.
      y_pred: Predicted labels (n,).
      n_classes: k, static.
      sample_weight: s_i >= 0, not all zero; floats give the result their dtype.

    Raises:
      ValueError: Shapes disagree, a label is out of range, or a weight is negative, NaN or inf.

    Example:
      >>> confusion_matrix([0, 1, 1, 1], [0, 1, 0, 1], n_classes=2).tolist()
      [[1.0, 0.0], [1.0, 2.0]]
    """
    k = _check.integer("n_classes", n_classes, 1)
    y, p, s = _pair(y_true, y_pred, sample_weight)
    C = _counts.confusion(y, p, s, k=k, dtype=_inputs.float_of(sample_weight))
    return _judged(C, y, p, s, k)


def precision(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    n_classes: int = 2,
    average: str | None = "binary",
    zero_division: Real = float("nan"),
    sample_weight: ArrayLike | None = None,
) -> Array:
    """Return P = TP/(TP + FP): of what is predicted, the share that is right. Arguments as in f1.

    Example:
      >>> round(float(precision([0, 1, 1, 0], [1, 1, 0, 1])), 4)  # one of three
      0.3333
    """
    return _score(_precision, y_true, y_pred, n_classes, average, zero_division, sample_weight)


def recall(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    n_classes: int = 2,
    average: str | None = "binary",
    zero_division: Real = float("nan"),
    sample_weight: ArrayLike | None = None,
) -> Array:
    """Return R = TP/(TP + FN): of what is there, the share that is found. Arguments as in f1.

    Example:
      >>> float(recall([0, 1, 1, 0], [1, 1, 0, 1]))  # one of two
      0.5
    """
    return _score(_recall, y_true, y_pred, n_classes, average, zero_division, sample_weight)


def f1(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    n_classes: int = 2,
    average: str | None = "binary",
    zero_division: Real = float("nan"),
    sample_weight: ArrayLike | None = None,
) -> Array:
    """Return F1, the harmonic mean of precision and recall, of one class or over several.

    Args:
      y_true: Labels (n,), integers 0..n_classes-1.
      y_pred: Predicted labels (n,).
      n_classes: k, static.
      average: static. "binary" is the score of class 1 of two; "micro" adds up TP, FP and FN over
        the classes first; "macro" is the mean over the classes that occur in y_true or y_pred with
        weight, "weighted" the mean weighted by their part of y_true; None gives all classes (k,).
      zero_division: The value where the denominator is 0, traced. A mean that holds NaN is NaN.
      sample_weight: s_i >= 0, not all zero; floats give the result their dtype.

    Returns:
      A scalar, or (k,) for average=None. Its derivative with respect to the weights is that of the
      formula.

    Raises:
      ValueError: Shapes disagree, a label is out of range, a weight is negative, NaN or inf, or
        average is unknown, or "binary" with n_classes other than 2.

    Example:
      >>> round(float(f1([0, 1, 1, 0], [1, 1, 0, 1])), 4)  # 2 / (2 + 2 + 1)
      0.4
      >>> float(f1([0, 0], [0, 0])), float(f1([0, 0], [0, 1]))  # without positives
      (nan, 0.0)
    """
    return _score(_f1, y_true, y_pred, n_classes, average, zero_division, sample_weight)


def _precision(tp: Array, fp: Array, fn: Array) -> tuple[Array, Array]:
    del fn
    return tp, tp + fp


def _recall(tp: Array, fp: Array, fn: Array) -> tuple[Array, Array]:
    del fp
    return tp, tp + fn


def _f1(tp: Array, fp: Array, fn: Array) -> tuple[Array, Array]:
    return 2 * tp, 2 * tp + fp + fn


def _score(
    ratio: _counts.Ratio,
    y_true: ArrayLike,
    y_pred: ArrayLike,
    n_classes: int,
    average: str | None,
    zero_division: Real,
    sample_weight: ArrayLike | None,
) -> Array:
    k = _check.integer("n_classes", n_classes, 2)
    if average is not None:
        _check.choice("average", average, ("binary", "macro", "micro", "weighted"))
    if average == "binary" and k != 2:
        raise ValueError(f'average="binary" is for n_classes=2: got {k}; choose another, or None')
    y, p, s = _pair(y_true, y_pred, sample_weight)
    dtype = _inputs.float_of(sample_weight)
    C = _counts.confusion(y, p, s, k=k, dtype=dtype)
    empty = _check.array("zero_division", zero_division, ndim=0, dtype=dtype)
    return _judged(_counts.averaged(C, empty, ratio=ratio, average=average), y, p, s, k)


def _pair(
    y_true: ArrayLike, y_pred: ArrayLike, s: ArrayLike | None
) -> tuple[Array, Array, Weights]:
    y = _inputs.labels("y_true", y_true)
    p = _inputs.labels("y_pred", y_pred, y.shape[0])
    return y, p, _inputs.columns(s, y.shape[0], _inputs.float_of(s))


def _judged(value: Array, y: Array, p: Array, s: Weights, k: int | None) -> Array:
    return _inputs.judged(
        value, s, (_inputs.whole, "y_true", y, k), (_inputs.whole, "y_pred", p, k)
    )
