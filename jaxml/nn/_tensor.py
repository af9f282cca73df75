"""What a layer takes: a floating array of 16, 32 or 64 bits whose axes fit.

Layers let NaN and inf through, as arithmetic does; what they refuse is a shape or a dtype.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array

__all__ = ["along_last", "statistics_dtype", "tensor"]


def tensor(name: str, value: Any, *shape: int | str, dtype: Any = None) -> Array:
    """Return value as a floating array of that shape; integers become dtype or the default float.

    Args:
      name: The argument's, for the message.
      value: An array-like.
      shape: One entry per axis: a size that must be met, or a name for an axis of any size;
        "..." first stands for any number of leading axes.
      dtype: What to convert to; None keeps a floating dtype.

    Raises:
      TypeError: Not real numbers.
      ValueError: Another number of axes, or another size; the message prints both shapes.
    """
    if not isinstance(value, jax.Array):
        value = np.asarray(value)
    kind = value.dtype
    real = jnp.issubdtype(kind, jnp.floating) or jnp.issubdtype(kind, jnp.integer)
    if not (real or kind == np.bool_):
        raise TypeError(f"{name} must hold real numbers: got dtype {kind}")
    leading = shape[:1] == ("...",)
    axes = shape[1:] if leading else shape
    fits = value.ndim >= len(axes) if leading else value.ndim == len(axes)
    have = value.shape[value.ndim - len(axes) :]
    fits = fits and all(isinstance(w, str) or w == h for w, h in zip(axes, have, strict=True))
    if not fits:
        expected = ", ".join(str(axis) for axis in shape)
        raise ValueError(f"{name} must have shape ({expected}): got {value.shape}")
    if dtype is None:
        dtype = kind if jnp.issubdtype(kind, jnp.floating) else jnp.result_type(float)
    return jnp.asarray(value, jax.dtypes.canonicalize_dtype(dtype))


def statistics_dtype(dtype: Any) -> Any:
    """Return the dtype in which sums over many terms are taken: float32 for 16-bit floats."""
    return jnp.promote_types(dtype, jnp.float32)


def along_last(v: Array, x: Array) -> Array:
    """Return v, one number per channel, in the dtype of x and shaped to meet its last axis."""
    return v.astype(x.dtype).reshape((1,) * (x.ndim - 1) + v.shape)
