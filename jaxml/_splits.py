"""Splits of the rows: two parts, folds as training weights, and weights that balance classes.

    training weight of row i in fold f:   w_fi = 0 if row i is held out in fold f, else 1

Reference: Hastie et al., ESL (2009), section 7.10.1.
"""

import math
import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._typing import Array, ArrayLike, Column, Float, Key, Labels, Weights

__all__ = ["balanced_weights", "kfold_weights", "stratified_kfold_weights", "train_test_split"]


def _n_test(n: int, test_size: Any) -> int:
    if isinstance(test_size, numbers.Integral) and not isinstance(test_size, bool):
        count = int(test_size)
    elif isinstance(test_size, numbers.Real) and 0.0 < float(test_size) < 1.0:
        count = math.ceil(n * float(test_size))
    else:
        raise ValueError(
            f"test_size must be a share in (0, 1) or a number of rows: got {test_size}"
        )
    if not 0 < count < n:
        raise ValueError(f"test_size must leave rows on both sides of {n}: got {count} test rows")
    return count


def train_test_split(
    *arrays: ArrayLike, key: Key, test_size: float = 0.25, stratify: ArrayLike | None = None
) -> tuple[Array, ...]:
    """Split arrays alike into a random training and test part, both in random order.

    Args:
      arrays: Arrays with one entry per row.
      key: Random key.
      test_size: Share of the rows in (0, 1), rounded up, or their number; static.
      stratify: One label per row: the test part holds of each label its share, to less than one
        row. Any numbers that can be sorted will do, also a real target.

    Returns:
      (train, test) of the first array, then of the second, and so on, in one tuple.

    Raises:
      ValueError: No array, arrays of different length, or test_size leaves no row on a side.
    """
    if not arrays:
        raise ValueError("arrays: at least one is needed, got none")
    given = [*arrays] if stratify is None else [*arrays, stratify]
    columns = [a if isinstance(a, jax.Array) else np.asarray(a) for a in given]
    lengths = [a.shape[0] if a.ndim else None for a in columns]
    if None in lengths or len(set(lengths)) > 1:
        raise ValueError(f"all arrays need the same number of rows: got {lengths}")
    n = columns[0].shape[0]
    m = _n_test(n, test_size)
    first, second = jax.random.split(key)
    order = jax.random.permutation(first, n)
    if stratify is None:
        test, train = order[:m], order[m:]
    else:
        # Rows sorted by label, at random within a label; every n/m-th of them is a test row, so
        # that a run of n_c rows holds n_c m/n of them to less than one. Positions are static.
        order = order[jnp.argsort(jnp.asarray(columns[-1])[order], stable=True)]
        at = (2 * np.arange(m) + 1) * n // (2 * m)
        rest = np.delete(np.arange(n), at)
        one, two = jax.random.split(second)
        test = jax.random.permutation(one, order[at])
        train = jax.random.permutation(two, order[rest])
    parts = (jnp.asarray(a)[rows] for a in columns[: len(arrays)] for rows in (train, test))
    return tuple(parts)


def kfold_weights(n: int, *, n_splits: int, key: Key | None = None) -> Float[Array, "f n"]:
    """Return the training weights of f = n_splits folds: 1 = train, 0 = held out.

    Every row is held out in exactly one fold; sizes differ by at most one.

    Args:
      n: Number of rows.
      n_splits: Number of folds, 2..n; n leaves one row out at a time.
      key: Shuffles the rows first; None holds out runs of consecutive rows, as KFold does.

    Raises:
      ValueError: n_splits is not in 2..n.

    Example:
      >>> kfold_weights(4, n_splits=2).tolist()
      [[0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]]
    """
    n, n_splits = _splits(n, n_splits)
    # Row i of n lies in fold floor(i f / n), but with the larger folds first: the first n % f.
    sizes = np.full(n_splits, n // n_splits) + (np.arange(n_splits) < n % n_splits)
    fold = jnp.asarray(np.repeat(np.arange(n_splits), sizes))
    if key is not None:
        fold = jax.random.permutation(key, fold)
    return _training(fold, n_splits)


def stratified_kfold_weights(
    y: Labels, *, n_splits: int, n_classes: int, key: Key | None = None
) -> Float[Array, "f n"]:
    """Return training weights of f = n_splits folds that hold out the same share of each class.

    The number of rows of class c held out differs between folds by at most one, and so does the
    size of the folds. A class with fewer rows than folds is missing in some of them. jittable.

    Args:
      y: Class labels 0..n_classes-1. A traced label outside makes the weights of its row NaN.
      n_splits: Number of folds, 2..n.
      n_classes: Number of classes, static.
      key: Shuffles the rows of each class first; None deals them in their order.

    Raises:
      ValueError: n_splits is not in 2..n, or a concrete label is outside 0..n_classes-1.
    """
    n, n_splits = _splits(_rows(y), n_splits)
    y = _check.labels(y, n, n_classes=_check.integer("n_classes", n_classes, 1))
    order = jnp.arange(n) if key is None else jax.random.permutation(key, n)
    # Sorted by class, the rows are dealt like cards: a run of n_c rows gives each fold n_c/f of
    # them, rounded up or down.
    order = order[jnp.argsort(y[order], stable=True)]
    fold = jnp.zeros(n, jnp.int32).at[order].set(jnp.arange(n, dtype=jnp.int32) % n_splits)
    return jnp.where(y[None, :] >= 0, _training(fold, n_splits), jnp.nan)


def _rows(y: Any) -> int:
    if np.ndim(y) != 1 or np.shape(y)[0] == 0:
        raise ValueError(f"y must have 1 axis and at least 1 row: got shape {np.shape(y)}")
    return np.shape(y)[0]


def _splits(n: int, n_splits: int) -> tuple[int, int]:
    n = _check.integer("n", n, 2)
    n_splits = _check.integer("n_splits", n_splits, 2)
    if n_splits > n:
        raise ValueError(f"n_splits must be at most the number of rows, {n}: got {n_splits}")
    return n, n_splits


def _training(fold: Array, n_splits: int) -> Float[Array, "f n"]:
    held_out = fold[None, :] == jnp.arange(n_splits)[:, None]
    return jnp.where(held_out, 0.0, 1.0).astype(jnp.result_type(float))


def balanced_weights(y: Labels, *, n_classes: int, sample_weight: Weights = None) -> Column:
    """Return weights under which every class counts alike.

        s_i S / (K n_c),   c = y_i,   n_c = sum of s over class c,   S = sum of s,   K = n_classes

    They sum to S if every class occurs; sklearn's class_weight="balanced".

    Args:
      y: Class labels 0..n_classes-1. A traced label outside gets the weight NaN.
      n_classes: K, static.
      sample_weight: s_i >= 0, not all zero; None stands for ones.

    Raises:
      ValueError: Shapes disagree, a concrete label is out of range or a concrete weight negative.

    Example:
      >>> balanced_weights(jnp.array([0, 0, 0, 0, 1, 1]), n_classes=2).tolist()  # 6/(2*4), 6/(2*2)
      [0.75, 0.75, 0.75, 0.75, 1.5, 1.5]
    """
    n_classes = _check.integer("n_classes", n_classes, 1)
    y = _check.labels(y, n := _rows(y), n_classes=n_classes)
    s = _check.weights(sample_weight, jnp.zeros((n, 1), _dtype(sample_weight)))
    member = (y[:, None] == jnp.arange(n_classes)[None, :]).astype(s.dtype)
    total = (s[:, None] * member).sum(axis=0)  # n_c
    share = jnp.where(total > 0, s.sum() / (n_classes * jnp.where(total > 0, total, 1.0)), 0.0)
    return jnp.where(y >= 0, s * share[y], jnp.nan)


def _dtype(s: Any) -> Any:
    if s is None or not jnp.issubdtype(jnp.asarray(s).dtype, jnp.floating):
        return jnp.result_type(float)
    return jnp.asarray(s).dtype
