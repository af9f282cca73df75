"""Layer normalization: every row is brought to mean 0 and variance 1, then scaled and shifted.

    mu = mean_j x_j,   v = mean_j (x_j - mu)^2
    y_j = scale_j (x_j - mu) / (v + eps)^(1/2) + bias_j

Two passes over a row, in float32 at least: rows at 1450 +- 1 keep their digits, and a constant row
gives bias, with finite derivatives. Epsilon is PyTorch's 1e-5; Flax takes 1e-6.

Reference: Ba, Kiros, Hinton (2016), Layer normalization, eq. (4).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._typing import Array, Float, Real
from jaxml.nn._tensor import along_last, statistics_dtype, tensor
from jaxml.nn.norm._moments import of_rows

__all__ = ["Params", "apply", "init"]


class Params(NamedTuple):
    """What follows the normalization of d features."""

    scale: Float[Array, " d"]
    bias: Float[Array, " d"]


def init(d: int, *, dtype: Any = jnp.float32) -> Params:
    """Return scale 1 and bias 0 for d features."""
    d = _check.integer("d", d, 1)
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    return Params(jnp.ones(d, dtype), jnp.zeros(d, dtype))


def apply(params: Params, x: Float[Array, "... d"], *, eps: Real = 1e-5) -> Float[Array, "... d"]:
    """Return y for every row along the last axis of x, in the dtype of x.

    Args:
      params: scale and bias.
      x: Any number of leading axes.
      eps: > 0, traced.

    Raises:
      ValueError: The last axis of x is not d, or eps <= 0.

    Example:
      >>> apply(init(2), jnp.array([1449.0, 1451.0])).round(4).tolist()
      [-1.0, 1.0]
    """
    x = tensor("x", x, "...", jnp.shape(params.scale)[0])
    return _apply(params, x, _check.above("eps", eps, 0.0, dtype=statistics_dtype(x.dtype)))


@jax.jit
def _apply(params: Params, x: Array, eps: Array) -> Array:
    wide = x.astype(eps.dtype)
    m = of_rows(wide)
    normal = (wide - m.center - m.delta) * jax.lax.rsqrt(m.variance + eps)
    return (normal * along_last(params.scale, wide) + along_last(params.bias, wide)).astype(x.dtype)
