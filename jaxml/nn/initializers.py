"""Random weights whose layers keep the variance of what passes through them.

    y = W'x, entries of W independent with mean 0 and variance v:
    Var y_j = fan_in v E x_i^2,    Var (dJ/dx)_i = fan_out v E (dJ/dy)_j^2

    Xavier   v = 2 / (fan_in + fan_out)   both factors as near to 1 as one v can bring them
    He       v = 2 / fan_in               a ReLU halves E x^2, and the 2 makes up for it

A uniform draw on (-a, a) has variance a^2 / 3; a normal one is not truncated. Fans follow from the
shape: a kernel (*window, c_in, c_out) sums prod(window) c_in terms into an output and sends an
input to prod(window) c_out; a dense one (d_in, d_out) is the case of no window, a vector (d,) a
kernel (d, 1).

Reference: Glorot, Bengio (2010), eq. (12), (16); He et al. (2015), eq. (10), (14).
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._typing import Array, Float, Key
from jaxml.nn._tensor import statistics_dtype

__all__ = ["fans", "he_normal", "he_uniform", "xavier_normal", "xavier_uniform"]


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a kernel (*window, c_in, c_out).

    Raises:
      ValueError: An axis is empty.

    Example:
      >>> fans((3, 3, 16, 32))
      (144, 288)
    """
    sizes = tuple(_check.integer(f"shape[{i}]", size, 1) for i, size in enumerate(shape))
    *window, c_in, c_out = {0: (1, 1), 1: (*sizes, 1)}.get(len(sizes), sizes)
    return math.prod(window) * c_in, math.prod(window) * c_out


def xavier_uniform(
    shape: Sequence[int], *, key: Key, dtype: Any = jnp.float32
) -> Float[Array, "..."]:
    """Draw from U(-a, a) with a^2 = 6 / (fan_in + fan_out).

    Args:
      shape: Static, any number of axes, none empty; see fans.
      key: A JAX random key.
      dtype: Of the result. What has 16 bits is drawn with 32 and rounded.

    Raises:
      ValueError: An axis is empty.

    Example:
      >>> W = xavier_uniform((2, 4), key=jax.random.key(0))  # a = 1
      >>> W.shape, bool(abs(W).max() <= 1)
      ((2, 4), True)
    """
    return _uniform(2.0 / sum(fans(shape)), shape, key, dtype)


def xavier_normal(
    shape: Sequence[int], *, key: Key, dtype: Any = jnp.float32
) -> Float[Array, "..."]:
    """Draw from N(0, 2 / (fan_in + fan_out)); arguments as for xavier_uniform."""
    return _normal(2.0 / sum(fans(shape)), shape, key, dtype)


def he_uniform(shape: Sequence[int], *, key: Key, dtype: Any = jnp.float32) -> Float[Array, "..."]:
    """Draw from U(-a, a) with a^2 = 6 / fan_in; arguments as for xavier_uniform."""
    return _uniform(2.0 / fans(shape)[0], shape, key, dtype)


def he_normal(shape: Sequence[int], *, key: Key, dtype: Any = jnp.float32) -> Float[Array, "..."]:
    """Draw from N(0, 2 / fan_in); arguments as for xavier_uniform."""
    return _normal(2.0 / fans(shape)[0], shape, key, dtype)


def _uniform(v: float, shape: Sequence[int], key: Key, dtype: Any) -> Array:
    return _draw(key, tuple(shape), math.sqrt(3.0 * v), jnp.dtype(dtype), uniform=True)


def _normal(v: float, shape: Sequence[int], key: Key, dtype: Any) -> Array:
    return _draw(key, tuple(shape), math.sqrt(v), jnp.dtype(dtype), uniform=False)


@partial(jax.jit, static_argnames=("shape", "dtype", "uniform"))
def _draw(key: Key, shape: tuple[int, ...], scale: float, dtype: Any, *, uniform: bool) -> Array:
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    wide = statistics_dtype(dtype)
    if uniform:
        draw = jax.random.uniform(key, shape, wide, -1.0, 1.0)
    else:
        draw = jax.random.normal(key, shape, wide)
    return (jnp.asarray(scale, wide) * draw).astype(dtype)
