"""The boundary of the metrics: static checks first, and reasons looked for only when NaN came.

A metric's program turns whatever is wrong with a row of positive weight into NaN. If that happens
to concrete inputs, `judged` finds the row on the host and raises; so good inputs are read once.
"""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._sums import total
from jaxml._typing import Array, ArrayLike, Bool, Column, Int, Scalar, Weights

__all__ = [
    "columns", "counted", "finite", "float_of", "forecasts", "judged", "labels", "mass", "mean",
    "members", "probabilities", "scores", "sound", "sums", "unit", "whole",
]  # fmt: skip

T = TypeVar("T")
Check = tuple  # (function, name, array, *details): called with the weights before the details


def labels(name: str, y: ArrayLike, n: int | None = None) -> Array:
    """Return labels (n,) as they are, integers, bools or floats; their values are seen later."""
    _check.array(name, np.empty(np.shape(y), bool), ndim=1)  # the number of axes, and of rows
    if not isinstance(y, jax.Array):
        y = np.asarray(y)
    if not any(jnp.issubdtype(y.dtype, kind) for kind in (jnp.integer, jnp.floating, jnp.bool_)):
        raise TypeError(f"{name} must hold integer class labels: got dtype {y.dtype}")
    if jnp.issubdtype(y.dtype, jnp.integer) and jax.dtypes.canonicalize_dtype(y.dtype) != y.dtype:
        low, high = y.min(), y.max()  # jnp.asarray would wrap them without a word
        if low < -(2**31) or high >= 2**31:
            raise ValueError(f"{name} holds labels beyond the range of int32: got {low}..{high}")
    _rows(name, y.shape[0], n)
    return jnp.asarray(y)


def scores(name: str, z: ArrayLike, n: int | None = None, *, ndim: int = 1) -> Array:
    """Return scores or targets, floating, with n rows."""
    z = _check.array(name, z, ndim=ndim)
    _rows(name, z.shape[0], n)
    return z


def probabilities(p: ArrayLike, n: int) -> tuple[Array, int]:
    """Return p (n,) of class 1, or p (n, k) of all classes, and the number of classes."""
    p = scores("p", p, n, ndim=2 if np.ndim(p) == 2 else 1)
    if p.ndim == 2 and p.shape[1] < 2:
        raise ValueError(f"p needs a column for each of at least 2 classes: got shape {p.shape}")
    return p, 2 if p.ndim == 1 else p.shape[1]


def _rows(name: str, rows: int, n: int | None) -> None:
    if n is not None and rows != n:
        raise ValueError(f"{name} needs one entry per row of y_true: expected {n}, got {rows}")


def columns(s: ArrayLike | None, n: int, dtype: Any) -> Weights:
    """Return sample_weight (n,) in dtype, or None."""
    if s is None:
        return None
    s = _check.array("sample_weight", s, ndim=1, dtype=dtype)
    _rows("sample_weight", s.shape[0], n)
    return s


def float_of(s: ArrayLike | None) -> Any:
    """The dtype of a metric of labels: that of the weights if they have one, else the default."""
    kind = getattr(s, "dtype", None)
    if kind is None or not jnp.issubdtype(kind, jnp.floating):
        return jnp.result_type(float)
    return jax.dtypes.canonicalize_dtype(kind)


# Inside a program ------------------------------------------------------------------------------


def members(y: Array, k: int | None) -> tuple[Int[Array, " n"], Bool[Array, " n"]]:
    """Labels as int32, 0 where they are none of 0..k-1, and where they are; None: any integer."""
    valid = jnp.ones(y.shape, bool)
    if jnp.issubdtype(y.dtype, jnp.floating):
        valid = (y == jnp.round(y)) & (jnp.abs(y) < 2**31)  # neither NaN nor inf
    if k is not None and y.dtype != jnp.bool_:
        valid = valid & (y >= 0) & (y < k)
    return jnp.where(valid, y, 0).astype(jnp.int32), valid


def counted(valid: Bool[Array, " n"], s: Weights) -> Bool[Array, ""]:
    """Whether every row of positive weight is valid."""
    return valid.all() if s is None else (valid | (s == 0)).all()


def sound(s: Weights) -> Bool[Array, ""]:
    """Whether the weights are finite, none negative and not all zero; False for NaN."""
    if s is None:
        return jnp.array(True)
    return (jnp.min(s) >= 0) & (jnp.max(s) > 0) & (jnp.max(s) < jnp.inf)


def forecasts(y: Array, p: Array, s: Weights, k: int) -> tuple[Int[Array, " n"], Bool[Array, ""]]:
    """Labels, and whether all rows with weight hold one, with probabilities that are some."""
    y, valid = members(y, k)
    inside = (p >= 0) & (p <= 1)
    if p.ndim == 2:
        off = jnp.abs(jnp.sum(p, axis=1) - 1)
        inside = inside.all(axis=1) & (off <= tolerance(p.dtype))
    return y, counted(valid & inside, s) & sound(s)


def mass(chosen: Bool[Array, " n"], s: Weights, dtype: Any) -> Scalar:
    """sum_i s_i over the chosen rows, a count where there are no weights: exact below 2^31."""
    if s is None:
        return jnp.sum(chosen, dtype=jnp.int32).astype(dtype)
    return total(jnp.where(chosen, s, 0.0))


def mean(values: Column, s: Weights) -> Scalar:
    """sum_i s_i v_i / sum_i s_i over the rows of positive weight, NaN where there are none."""
    if s is None:
        return total(values) / values.shape[0]
    M = total(s)
    return jnp.where(M > 0, sums(values, s) / jnp.where(M > 0, M, 1.0), jnp.nan)


def sums(values: Column, s: Weights) -> Scalar:
    """sum_i s_i v_i; a row of weight 0 is a removed row, even with NaN in it."""
    # Inner where: no NaN in the derivative of a removed row.
    return total(values if s is None else s * jnp.where(s > 0, values, 0.0))


# On the host -----------------------------------------------------------------------------------


def judged(value: T, s: Weights, *checks: Check) -> T:
    """Return value, or raise the reason that a check finds for NaN in it, if all is concrete."""
    leaves = jax.tree.leaves(value)
    if not _check.is_concrete(leaves, s, *(array for _, _, array, *_ in checks)):
        return value
    if not any(np.isnan(np.asarray(leaf)).any() for leaf in leaves):
        return value
    kept: Any = slice(None)
    if s is not None:
        _check.weights(s, s[:, None])
        kept = np.asarray(s) > 0
    for check, name, array, *details in checks:
        check(name, np.asarray(array)[kept], *details)
    return value


def whole(name: str, y: np.ndarray, k: int | None) -> None:
    """Raise for labels that are no integers, or none of 0..k-1."""
    _check.finite(name, y)  # type: ignore[arg-type]
    if (y != np.round(y)).any():
        raise ValueError(f"{name} must hold integer class labels: got fractional values")
    if k is not None and (y.min() < 0 or y.max() >= k):
        raise ValueError(
            f"{name} holds a class label outside 0..{k - 1}: got {y.min():g}..{y.max():g}"
        )


def finite(name: str, z: np.ndarray) -> None:
    """Raise for NaN and inf."""
    _check.finite(name, z)  # type: ignore[arg-type]


def unit(name: str, p: np.ndarray) -> None:
    """Raise for numbers outside [0, 1], and rows of several that do not sum to 1."""
    finite(name, p)
    if p.min() < 0 or p.max() > 1:
        raise ValueError(f"{name} must lie in [0, 1]: got {p.min():g}..{p.max():g}")
    if p.ndim == 2 and not (off := np.abs(p.sum(axis=1) - 1)).max() <= tolerance(p.dtype):
        raise ValueError(f"the rows of {name} must sum to 1: one is off by {off.max():.2g}")


def tolerance(dtype: Any) -> float:
    """How far a row of probabilities may sum from 1: sqrt(eps), 3e-4 in float32."""
    return float(jnp.finfo(dtype).eps) ** 0.5
