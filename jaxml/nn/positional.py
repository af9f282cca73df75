"""Sinusoidal encodings of positions, and the rotation that shifts them.

    PE(pos)_2i = sin(pos w_i),   PE(pos)_2i+1 = cos(pos w_i),   w_i = 10000^(-2i / d_model)

A shift by k turns each pair by the angle k w_i, wherever it starts:

    PE(pos + k) = R(k) PE(pos),   R(k) = diag of [[cos k w_i, sin k w_i], [-sin k w_i, cos k w_i]]

Reference: Vaswani et al. (2017), Attention is all you need, section 3.5.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._typing import Array, Float, Real
from jaxml.nn._tensor import statistics_dtype

__all__ = ["shift_matrix", "sinusoidal"]

BASE = 10000.0


def _frequencies(d_model: int) -> np.ndarray:
    """w (d_model / 2,) in float64."""
    d_model = _check.integer("d_model", d_model, 2)
    if d_model % 2:
        raise ValueError(f"d_model must be even, sines and cosines in pairs: got {d_model}")
    return BASE ** (-np.arange(0, d_model, 2) / d_model)


def sinusoidal(length: int, d_model: int, *, dtype: Any = jnp.float32) -> Float[Array, "t d_model"]:
    """Return PE(pos) for pos = 0 .. length - 1, one row each.

    Computed in float64 when traced, and rounded once: float32 angles of distant positions would be
    off by pos times 6e-8.

    Args:
      length: Rows, static, >= 0.
      d_model: Features, static, even.
      dtype: Of the result.

    Raises:
      ValueError: d_model is odd, or length negative.

    Example:
      >>> [round(float(z), 4) for z in sinusoidal(2, 2)[1]]  # sin 1, cos 1
      [0.8415, 0.5403]
    """
    w = _frequencies(d_model)
    angles = np.arange(_check.integer("length", length, 0))[:, None] * w[None, :]
    table = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(-1, d_model)
    return jnp.asarray(table, jax.dtypes.canonicalize_dtype(dtype))


def shift_matrix(
    k: Real, d_model: int, *, dtype: Any = jnp.float32
) -> Float[Array, "d_model d_model"]:
    """Return R(k), a rotation: R(k)' = R(-k) is its inverse, and R(j) R(k) = R(j + k).

    Args:
      k: How far, any real number, traced.
      d_model: Features, static, even.
      dtype: Of the result.

    Example:
      >>> R = shift_matrix(1, 2)
      >>> [round(float(z), 4) for z in R @ sinusoidal(2, 2)[0]]
      [0.8415, 0.5403]
    """
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    wide = statistics_dtype(dtype)
    w = _frequencies(d_model)
    if _check.is_concrete(k):
        angles = jnp.asarray(np.asarray(k, np.float64) * w, wide)
    else:
        angles = jnp.asarray(k, wide) * jnp.asarray(w, wide)
    pair = np.arange(d_model) // 2
    same = pair[:, None] == pair[None, :]
    # Entry (2i, 2i + 1) is sin, (2i + 1, 2i) is -sin, and the diagonal is cos.
    sign = np.sign(np.arange(d_model)[None, :] - np.arange(d_model)[:, None])
    sine = sign * jnp.sin(angles)[pair][:, None]
    cosine = jnp.cos(angles)[pair][:, None]
    return jnp.where(same, jnp.where(sign == 0, cosine, sine), 0.0).astype(dtype)
