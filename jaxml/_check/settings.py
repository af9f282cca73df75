"""What says how to fit: hyperparameters, traced or static, random keys and warm starts."""

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._check.arrays import is_concrete
from jaxml._typing import Key, Scalar

__all__ = ["above", "at_least", "choice", "integer", "is_positive", "is_zero", "key", "like"]


def at_least(name: str, value: Any, low: float, *, dtype: Any) -> Scalar:
    """Return a real hyperparameter >= low as a traced scalar of dtype."""
    value = _real(name, value, dtype)
    if is_concrete(value) and not (float(value) >= low):
        raise ValueError(f"{name} must be >= {low}: got {float(value)}")
    return value


def above(name: str, value: Any, low: float, *, dtype: Any) -> Scalar:
    """Return a real hyperparameter > low as a traced scalar of dtype."""
    value = _real(name, value, dtype)
    if is_concrete(value) and not (float(value) > low):
        raise ValueError(f"{name} must be > {low}: got {float(value)}")
    return value


def _real(name: str, value: Any, dtype: Any) -> Scalar:
    if not (isinstance(value, numbers.Real | jax.Array | np.ndarray | np.generic)):
        raise TypeError(f"{name} must be a real number: got {type(value).__name__}")
    if isinstance(value, jax.Array):
        value = value.astype(dtype)
    else:  # NumPy's is as good an argument, and sooner made
        with np.errstate(over="ignore"):
            value = np.asarray(value).astype(dtype)
    if value.ndim != 0:
        raise ValueError(f"{name} must be a scalar: got shape {value.shape}; vmap over it instead")
    return value


def is_zero(value: Any) -> bool:
    """Whether a real hyperparameter is known to be 0 before it is traced."""
    return is_concrete(value) and np.ndim(value) == 0 and float(value) == 0.0


def is_positive(value: Any) -> bool:
    """Whether a real hyperparameter is known to be > 0 before it is traced."""
    return is_concrete(value) and np.ndim(value) == 0 and float(value) > 0.0


def integer(name: str, value: Any, low: int) -> int:
    """Return a static hyperparameter, a Python integer >= low."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} is static and must be an integer: got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be >= {low}: got {value}")
    return int(value)


def choice(name: str, value: Any, options: tuple[str, ...]) -> str:
    """Return value if it is one of the options."""
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}: got {value!r}")
    return value


def key(name: str, value: Any) -> Key:
    """Return a random key, typed if it came as its numbers.

    Raises:
      TypeError: Not a key.
      ValueError: A batch of keys.
    """
    if isinstance(value, jax.Array) and not jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.wrap_key_data(value) if value.dtype == jnp.uint32 else None
    if not isinstance(value, jax.Array):
        raise TypeError(f"{name} must be a random key: expected jax.random.key(seed)")
    if value.ndim:
        raise ValueError(f"{name} must be one key: got shape {value.shape}; vmap over it instead")
    return value


def like(name: str, value: Any, template: Any, dtype: Any) -> Any:
    """Return a warm start of the type, the tree and the shapes of template."""
    if type(value) is not type(template):
        raise TypeError(f"{name} must be a {type(template).__name__}: got {type(value).__name__}")
    for field, leaf, want in zip(template._fields, value, template, strict=True):
        if jnp.shape(leaf) != jnp.shape(want):
            raise ValueError(
                f"{name}.{field} must have shape {jnp.shape(want)}: got {jnp.shape(leaf)}"
            )
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), value)
