"""The arguments of trees and of boosting, checked: labels, targets, options, missing values."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxml import _check, losses
from jaxml._loop import Code, input_flags
from jaxml._typing import Array, Bool, Column, Float, Key, Labels, Rows, Scalar

__all__ = [
    "LABELS", "Options", "Validation", "base", "bin_count", "classes", "flags", "known", "options",
    "signs", "targets", "validation",
]  # fmt: skip

LABELS = {
    losses.logistic: (0, 1), losses.exponential: (-1, 1), losses.hinge: (-1, 1),
    losses.squared_hinge: (-1, 1),
}  # fmt: skip


class Options(NamedTuple):
    """Real hyperparameters of boosting, traced."""

    learning_rate: Scalar
    l2: Scalar
    min_split_gain: Scalar
    min_child_weight: Scalar
    subsample: Scalar | None  # None is 1: no row is left out
    colsample: Scalar | None


class Validation(NamedTuple):
    """Rows that tell when to stop."""

    X: Rows
    y: Array


def classes(y: Any, n_classes: int | None) -> int:
    """Return n_classes, read off concrete labels if it is None."""
    if n_classes is not None:
        return _check.integer("n_classes", n_classes, 1)
    if not _check.is_concrete(y):
        raise ValueError("n_classes must be given where y is traced: expected an integer, got None")
    host = np.asarray(y)
    return int(host.max()) + 1 if host.size and np.isfinite(host).all() and host.max() >= 0 else 1


def signs(y: Any, X: Rows) -> Labels:
    """Return the labels -1 and 1 as the classes 0 and 1; -1 where a traced label is neither."""
    y = _check.array("y", y, ndim=1, dtype=X.dtype)
    if y.shape != X.shape[:1]:
        raise ValueError(f"y needs one label per row of X: expected {X.shape[0]}, got {y.shape[0]}")
    if _check.is_concrete(_check.finite("y", y)):
        host = np.asarray(y)
        if (wrong := host[np.abs(host) != 1]).size:
            raise ValueError(
                f"y must hold the labels -1 and 1: got {wrong[0]:g}; or give n_classes"
            )
    return jnp.where(jnp.abs(y) == 1, y > 0, -1).astype(jnp.int32)


def targets(name: str, y: Any, n: int, loss: Any, n_classes: int | None, dtype: Any) -> Array:
    """Return labels of several classes, or numbers, NaN where a traced label is not of the loss."""
    if n_classes is not None:
        return _check.labels(y, n, n_classes=n_classes)
    y = _check.finite(name, _check.array(name, y, ndim=1, dtype=dtype))
    if y.shape != (n,):
        raise ValueError(f"{name} needs one entry per row of X: expected {n}, got {y.shape[0]}")
    if loss in LABELS:
        a, b = LABELS[loss]
        right = (y == a) | (y == b)
        if _check.is_concrete(y) and not np.asarray(right).all():
            wrong = np.asarray(y)[~np.asarray(right)][0]
            raise ValueError(f"{name} must hold the labels {a} and {b}: got {wrong:g}")
        y = jnp.where(right, y, jnp.nan)
    return y


def bin_count(n_bins: Any, n: int) -> int:
    """Return n_bins checked, and no more than n rows can fill."""
    if (n_bins := _check.integer("n_bins", n_bins, 2)) > 256:
        raise ValueError(f"n_bins must be <= 256, codes are bytes: got {n_bins}")
    return max(2, min(n_bins, n))


def options(
    *,
    learning_rate: Any,
    l2: Any,
    min_split_gain: Any,
    min_child_weight: Any,
    subsample: Any,
    colsample: Any,
    key: Key | None,
    dtype: Any,
) -> Options:
    """Return the options of boosting; there must be a key where a share may be below 1."""
    found = Options(
        learning_rate=_check.above("learning_rate", learning_rate, 0, dtype=dtype),
        l2=_check.at_least("l2", l2, 0, dtype=dtype),
        min_split_gain=_check.at_least("min_split_gain", min_split_gain, 0, dtype=dtype),
        min_child_weight=_check.at_least("min_child_weight", min_child_weight, 0, dtype=dtype),
        subsample=_share("subsample", subsample, dtype),
        colsample=_share("colsample", colsample, dtype),
    )
    if key is None and (found.subsample is not None or found.colsample is not None):
        raise ValueError("key is required where subsample or colsample is below 1: got None")
    return found


def _share(name: str, value: Any, dtype: Any) -> Scalar | None:
    """Return a share in (0, 1], None if it is 1 for sure."""
    value = _check.above(name, value, 0, dtype=dtype)
    if _check.is_concrete(value):
        if float(value) > 1:
            raise ValueError(f"{name} must be in (0, 1]: got {float(value)}")
        if float(value) == 1:
            return None
    return value


def base(value: Any, k: int, dtype: Any) -> Float[Array, " k"] | None:
    """Return a base score given by the user, as k numbers."""
    if value is None:
        return None
    flat = np.atleast_1d if _check.is_concrete(value) else jnp.atleast_1d
    value = _check.array("base_score", flat(value), ndim=1, dtype=dtype)
    if value.shape not in ((1,), (k,)):
        raise ValueError(f"base_score must be a number or ({k},): got shape {value.shape}")
    return jnp.broadcast_to(_check.finite("base_score", value), (k,))


def validation(
    X: Any, y: Any, patience: int | None, like: Rows, loss: Callable, n_classes: int | None
) -> Validation | None:
    """Return the rows X_val and y_val of a fit to rows like these, None if there are none."""
    if (X is None) != (y is None) or (patience is not None and X is None):
        raise ValueError("X_val and y_val are given together, and patience only with them")
    if X is None:
        return None
    X = _check.rows(X, d=like.shape[1]).astype(like.dtype)
    y = targets("y_val", y, X.shape[0], loss, n_classes, like.dtype)
    return Validation(known("X_val", X), y)


def known(name: str, X: Rows) -> Rows:
    """Return X after raising for inf in it when it is concrete; NaN is a missing value."""
    if _check.is_concrete(X) and np.isinf(np.asarray(X)).any():
        raise ValueError(f"{name} contains inf; NaN stands for a missing value")
    return X


def flags(
    X: Rows, y: Column, s: Column, *others: tuple[Code, Bool[Array, ""]]
) -> tuple[tuple[Code, Array], ...]:
    """Codes that traced inputs earn; however far X spreads, its order can be told."""
    spread = jnp.max(X) - jnp.min(X)
    own = (flag for flag in input_flags(X, y, s, spread) if flag[0] is not Code.DIVERGED)
    return *own, *others
