"""A dense layer: y = x W + b for every row x along the last axis.

Symbols: x (..., d_in), W = kernel (d_in, d_out), b = bias (d_out,), y (..., d_out).
PyTorch's nn.Linear holds W transposed: weight = kernel.T.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._typing import Array, Float, Key
from jaxml.nn import initializers
from jaxml.nn._tensor import along_last, tensor

__all__ = ["Params", "apply", "init"]


class Params(NamedTuple):
    """A dense layer from d_in to d_out features."""

    kernel: Float[Array, "d_in d_out"]  # W
    bias: Float[Array, " d_out"]  # b


def init(
    *,
    key: Key,
    d_in: int,
    d_out: int,
    dtype: Any = jnp.float32,
    initializer: Any = initializers.xavier_uniform,
) -> Params:
    """Draw W and set b to 0.

    Args:
      key: A JAX random key.
      d_in: Features of x, static.
      d_out: Features of y, static.
      dtype: Of the parameters.
      initializer: (shape, *, key, dtype) -> W; he_uniform or he_normal in front of a ReLU.

    Example:
      >>> init(key=jax.random.key(0), d_in=3, d_out=2).kernel.shape
      (3, 2)
    """
    shape = (_check.integer("d_in", d_in, 1), _check.integer("d_out", d_out, 1))
    kernel = initializer(shape, key=key, dtype=dtype)
    return Params(kernel, jnp.zeros(shape[1], kernel.dtype))


def apply(params: Params, x: Float[Array, "... d_in"]) -> Float[Array, "... d_out"]:
    """Return x W + b, in the dtype of x.

    Raises:
      ValueError: The last axis of x is not d_in.

    Example:
      >>> params = Params(jnp.array([[1.0], [2.0]]), jnp.array([0.5]))
      >>> apply(params, jnp.array([3.0, 4.0])).tolist()  # 3 + 8 + 0.5
      [11.5]
    """
    return _apply(params, tensor("x", x, "...", jnp.shape(params.kernel)[0]))


@jax.jit
def _apply(params: Params, x: Array) -> Array:
    y = jnp.matmul(x, params.kernel.astype(x.dtype))
    return y + along_last(params.bias, y)
