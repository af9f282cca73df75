"""The basic residual block: two convolutions of 3x3 pixels, and a skip.

    y = relu(F(x) + x),  F = N_2 C_2 relu N_1 C_1,    so that dL/dx = dL/dH (dF/dx + I), H = F + x

C_1 takes the stride. Before activation: y = F(x) + x, F = C_2 relu N_2 C_1 relu N_1. Where the
shape changes, a convolution of one pixel stands for the identity; see _block for what follows it.
With the gain of N_2 zero, y = relu(x): a block can start as its skip.

Reference: He, Zhang, Ren, Sun (2016), Deep residual learning, eq. (1), (2), Figure 5 (left); and
Identity mappings in deep residual networks, eq. (5), Figure 4 (e), for the other order.
"""

from typing import Any

import jax.numpy as jnp

from jaxml._typing import Key, Real
from jaxml.nn.residual import _block
from jaxml.nn.residual._block import Images, Params, Projection, State

__all__ = ["Params", "Projection", "State", "apply", "init"]


def init(
    *,
    key: Key,
    c_in: int,
    c_out: int,
    stride: int = 1,
    preactivation: bool = False,
    dtype: Any = jnp.float32,
) -> tuple[Params, State]:
    """Draw kernels by He's rule, gains 1 and biases 0; no projection where none is needed.

    Args:
      key: A JAX random key.
      c_in: Channels of x.
      c_out: Channels of y.
      stride: Of the first convolution and of the skip.
      preactivation: Whether norm and activation stand before their convolution.
      dtype: Of the parameters; the state has 32 bits at least.

    Raises:
      ValueError: A size below 1.

    Example:
      >>> import jax
      >>> params, state = init(key=jax.random.key(0), c_in=4, c_out=8, stride=2)
      >>> params.projection.conv.kernel.shape
      (1, 1, 4, 8)
    """
    return _block.init(
        key, (c_in, c_out, c_out), (3, 3), stride=stride, preactivation=preactivation, dtype=dtype
    )


def apply(
    params: Params,
    state: State,
    x: Images,
    *,
    training: bool,
    stride: int = 1,
    preactivation: bool = False,
    momentum: Real = 0.9,
    eps: Real = 1e-5,
    axis_name: str | tuple[str, ...] | None = None,
) -> tuple[Images, State]:
    """Return y as defined at the top of this module, and the new state.

    Args:
      params: As drawn by init.
      state: Running moments of the norms.
      x: Images, batch first and channels last.
      training: Static; whether the norms use the moments of the batch, as in batch_norm.apply.
      stride: As given to init; static.
      preactivation: As given to init; static.
      momentum: Of the running moments, see batch_norm.
      eps: Added to variances.
      axis_name: Of the mapped axis over which the batch is spread, if it is.

    Raises:
      ValueError: Channels, stride or order are not those of params; or one value per channel.

    Example:
      >>> import jax
      >>> params, state = init(key=jax.random.key(0), c_in=2, c_out=2)
      >>> y, state = apply(params, state, jnp.ones((1, 4, 4, 2)), training=True)
      >>> y.shape
      (1, 4, 4, 2)
    """
    return _block.apply(
        params, state, x, strides=(stride, 1), preactivation=preactivation, training=training,
        momentum=momentum, eps=eps, axis_name=axis_name,
    )  # fmt: skip
