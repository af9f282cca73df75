"""The bottleneck residual block: 1x1 to a quarter of the channels, 3x3 there, 1x1 back, and a skip.

    y = relu(H), H = F(x) + x, F = N_3 C_3 relu N_2 C_2 relu N_1 C_1,    dL/dx = dL/dH (dF/dx + I)

C_2 takes the stride (as PyTorch has it; the paper's C_1 did). Before activation: y = F(x) + x,
F = C_3 relu N_3 C_2 relu N_2 C_1 relu N_1. Everything else is as for the basic block.

Reference: He, Zhang, Ren, Sun (2016), Deep residual learning, eq. (1), (2), Figure 5 (right).
"""

from typing import Any

import jax.numpy as jnp

from jaxml import _check
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
    """Draw kernels by He's rule, gains 1 and biases 0; arguments as for the basic block.

    Raises:
      ValueError: c_out is not a multiple of 4, or a size is below 1.

    Example:
      >>> import jax
      >>> params, state = init(key=jax.random.key(0), c_in=16, c_out=16)
      >>> [p.kernel.shape for p in params.convs]
      [(1, 1, 16, 4), (3, 3, 4, 4), (1, 1, 4, 16)]
    """
    if _check.integer("c_out", c_out, 1) % 4:
        raise ValueError(f"c_out must be a multiple of 4, the factor of a bottleneck: got {c_out}")
    narrow = c_out // 4
    return _block.init(
        key, (c_in, narrow, narrow, c_out), (1, 3, 1),
        stride=stride, preactivation=preactivation, dtype=dtype,
    )  # fmt: skip


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

    Arguments and errors as for basic.apply.

    Example:
      >>> import jax
      >>> params, state = init(key=jax.random.key(0), c_in=8, c_out=16, stride=2)
      >>> apply(params, state, jnp.ones((1, 5, 4, 8)), training=True, stride=2)[0].shape
      (1, 3, 2, 16)
    """
    return _block.apply(
        params, state, x, strides=(1, stride, 1), preactivation=preactivation, training=training,
        momentum=momentum, eps=eps, axis_name=axis_name,
    )  # fmt: skip
