"""Arrays in general: their kind, their axes, and NaN in them."""

from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array, Rows

__all__ = ["array", "finite", "is_concrete", "rows", "scores"]


def is_concrete(*values: Any) -> bool:
    """Whether no leaf is traced, so that values may be read on the host."""
    return not any(isinstance(v, jax.core.Tracer) for v in jax.tree.leaves(values))


def array(name: str, value: Any, *, ndim: int, dtype: Any = None) -> Array:
    """Return value as a floating array of ndim axes; integers become dtype or the default float.

    Raises:
      TypeError: Not numeric, complex, sparse, or a 16-bit float.
      ValueError: Wrong number of axes, an empty axis, or a number too large for the dtype.
    """
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise TypeError(f"{name} is sparse: expected a dense array; call .toarray() first")
    if not isinstance(value, jax.Array):
        value = np.asarray(value)
    kind = value.dtype
    if jnp.issubdtype(kind, jnp.complexfloating):
        raise TypeError(
            f"Complex data not supported: {name} has dtype {kind}; expected real numbers"
        )
    if not (jnp.issubdtype(kind, jnp.number) or kind == np.bool_):
        raise TypeError(f"{name} must be numeric: expected float32 or float64, got dtype {kind}")
    if jnp.issubdtype(kind, jnp.floating) and jnp.finfo(kind).bits < 32:
        raise TypeError(
            f"{name} has dtype {kind}: expected float32 or float64; 16-bit floats are for nn only"
        )
    if value.ndim != ndim:
        hint = "; reshape one feature to (n, 1)" if (ndim, value.ndim) == (2, 1) else ""
        raise ValueError(f"{name} must have {ndim} axes: got shape {value.shape}{hint}")
    for axis, what in enumerate(("sample(s)", "feature(s)")[:ndim]):
        if value.shape[axis] == 0:
            raise ValueError(
                f"{name} has 0 {what} (shape={value.shape}) while a minimum of 1 is required."
            )
    if dtype is None:
        dtype = kind if jnp.issubdtype(kind, jnp.floating) else jnp.result_type(float)
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    if isinstance(value, jax.Array):
        return value.astype(dtype)
    with np.errstate(over="ignore"):
        cast = value.astype(dtype)
    if cast.dtype != kind and np.any(np.isinf(cast) & np.isfinite(value)):
        raise ValueError(
            f"{name} holds numbers beyond the range of {dtype}: rescale it, or set jax_enable_x64"
        )
    return jnp.asarray(cast)


def finite(name: str, value: Array) -> Array:
    """Return value after raising for NaN and inf in it when it is concrete."""
    if is_concrete(value) and not np.isfinite(np.asarray(value)).all():
        raise ValueError(f"{name} contains NaN or inf")
    return value


def rows(X: Any, *, d: int) -> Rows:
    """Return X (n, d) for a verb that maps rows; finite() or scores() looks for NaN in it."""
    X = array("X", X, ndim=2)
    if X.shape[1] != d:
        raise ValueError(f"X needs the {d} feature(s) of the fit: got shape {X.shape}")
    return X


def scores(X: Rows, z: Array) -> Array:
    """Return z, the scores of X, after raising for NaN and inf in a concrete X.

    A score is finite only if its row is, so reading z (n numbers) spares reading X (n d numbers).
    """
    if is_concrete(X, z) and not np.isfinite(np.asarray(z)).all():
        finite("X", X)
    return z
