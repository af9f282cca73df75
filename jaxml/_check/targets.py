"""What a row carries besides its features: its target or label, and its weight."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._check.arrays import array, finite, is_concrete
from jaxml._loop import CURES, Code, Fit
from jaxml._typing import Column, Labels, Rows

__all__ = ["classified", "labels", "raise_for", "signed", "supervised", "weights"]

F = TypeVar("F", bound=Fit)


def weights(s: Any, X: Rows) -> Column:
    """Return sample_weight (n,) >= 0, not all zero, in the dtype of X; None gives ones."""
    n = X.shape[0]
    if s is None:
        numpy: Any = np if is_concrete(X) else jnp
        return numpy.ones(n, X.dtype)
    s = array("sample_weight", s, ndim=1, dtype=X.dtype)
    if s.shape != (n,):
        raise ValueError(
            f"sample_weight needs one entry per row of X: expected {n}, got {s.shape[0]}"
        )
    if is_concrete(s):
        finite("sample_weight", s)
        if (np.asarray(s) < 0).any():
            raise ValueError(f"sample_weight must be >= 0: got {np.asarray(s).min()}")
        if not (np.asarray(s) > 0).any():
            raise ValueError(
                "sample_weight is zero everywhere: at least one weight must be positive"
            )
    return s


def supervised(X: Any, y: Any, sample_weight: Any) -> tuple[Rows, Column, Column]:
    """Return (X, y, s) for regression, in the dtype of X."""
    X = array("X", X, ndim=2)
    y = array("y", y, ndim=1, dtype=X.dtype)
    if y.shape != X.shape[:1]:
        raise ValueError(f"y needs one entry per row of X: expected {X.shape[0]}, got {y.shape[0]}")
    finite("y", y)
    return X, y, weights(sample_weight, X)


def labels(y: Any, n: int, *, n_classes: int) -> Labels:
    """Return labels (n,) as int32; concrete ones must lie in 0..n_classes-1."""
    if not isinstance(y, jax.Array):
        y = np.asarray(y)
    if y.shape != (n,):
        raise ValueError(
            f"y needs one class label per row of X: expected shape ({n},), got {y.shape}"
        )
    if not any(jnp.issubdtype(y.dtype, kind) for kind in (jnp.integer, jnp.floating, jnp.bool_)):
        raise TypeError(f"y must hold integer class labels: got dtype {y.dtype}")
    floating = jnp.issubdtype(y.dtype, jnp.floating)
    if not is_concrete(y):
        # A traced NaN, fraction or number out of range must not become a class by truncation.
        valid = (y >= 0) & (y < n_classes) & (y == jnp.round(y) if floating else True)
        return jnp.where(valid, y, -1).astype(jnp.int32)
    host = np.asarray(y)
    if floating and not np.isfinite(host).all():
        raise ValueError("y contains NaN or inf where class labels are expected")
    if floating and (host != np.round(host)).any():
        raise ValueError("y must hold integer class labels: got fractional values")
    least, most = host.min(), host.max()
    if least < 0 or most >= n_classes:
        raise ValueError(f"y holds a class label outside 0..{n_classes - 1}: got {least}..{most}")
    return jnp.asarray(y, jnp.int32)


def classified(
    X: Any, y: Any, sample_weight: Any, *, n_classes: int
) -> tuple[Rows, Labels, Column]:
    """Return (X, y, s) for classification; concrete labels must hold at least two classes."""
    X = array("X", X, ndim=2)
    y = labels(y, X.shape[0], n_classes=n_classes)
    s = weights(sample_weight, X)
    if is_concrete(y, s):
        present = np.asarray(y) if sample_weight is None else np.asarray(y)[np.asarray(s) > 0]
        if present.min() == present.max():
            raise ValueError(f"y holds 1 class only (label {present[0]}): at least two are needed")
    return X, y, s


def signed(X: Any, y: Any, sample_weight: Any) -> tuple[Rows, Column, Column]:
    """Return (X, y, s) for a margin, y in {-1, 1} in the dtype of X, 0 where a traced label is not.

    Concrete labels must hold both classes among the rows of positive weight.
    """
    X = array("X", X, ndim=2)
    y = array("y", y, ndim=1, dtype=X.dtype)
    if y.shape != X.shape[:1]:
        raise ValueError(f"y needs one label per row of X: expected {X.shape[0]}, got {y.shape[0]}")
    s = weights(sample_weight, X)
    finite("y", y)
    if is_concrete(y):
        host = np.asarray(y)
        if (np.abs(host) != 1).any():
            wrong = host[np.abs(host) != 1][0]
            raise ValueError(f"y must hold the labels -1 and 1: got {wrong:g}")
        if is_concrete(s):
            present = host[np.asarray(s) > 0]
            if present.min() == present.max():
                raise ValueError(f"y holds 1 class only (label {present[0]:g}): two are needed")
    return X, jnp.where(jnp.abs(y) == 1, y, 0.0), s


def raise_for(fit: F, *arguments: Any) -> F:
    """Return the fit, or raise ValueError if concrete arguments made it fail on its input."""
    if is_concrete(fit.info.code, *arguments) and fit.info.code.ndim == 0:
        code = Code(int(fit.info.code))
        if code is Code.NONFINITE_INPUT:
            raise ValueError("X contains NaN or inf")
        if code is Code.BAD_LABELS:
            raise ValueError(f"y does not hold two classes or more: {CURES[code]}")
    return fit
