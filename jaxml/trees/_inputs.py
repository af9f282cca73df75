"""The arguments of boosting: what each loss takes as a target, shares, scores, missing values."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxml import _check, losses
from jaxml._typing import Array, Float, Rows, Scalar

__all__ = ["LABELS", "base", "known", "share", "targets"]

LABELS = {
    losses.logistic: (0, 1), losses.exponential: (-1, 1), losses.hinge: (-1, 1),
    losses.squared_hinge: (-1, 1),
}  # fmt: skip


def base(value: Any, k: int, dtype: Any) -> Float[Array, " k"]:
    """Return a base score given by the user, as k numbers."""
    flat = np.atleast_1d if _check.is_concrete(value) else jnp.atleast_1d
    value = _check.array("base_score", flat(value), ndim=1, dtype=dtype)
    if value.shape not in ((1,), (k,)):
        raise ValueError(f"base_score must be a number or ({k},): got shape {value.shape}")
    return jnp.broadcast_to(_check.finite("base_score", value), (k,))


def share(name: str, value: Any, dtype: Any) -> Scalar | None:
    """Return a share in (0, 1], None if it is 1 for sure."""
    value = _check.above(name, value, 0, dtype=dtype)
    if _check.is_concrete(value):
        if float(value) > 1:
            raise ValueError(f"{name} must be in (0, 1]: got {float(value)}")
        if float(value) == 1:
            return None
    return value


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


def known(name: str, X: Rows) -> Rows:
    """Return X after raising for inf in it when it is concrete; NaN is a missing value."""
    if _check.is_concrete(X) and np.isinf(np.asarray(X)).any():
        raise ValueError(f"{name} contains inf; NaN stands for a missing value")
    return X
