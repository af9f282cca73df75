"""The dense layer by hand: y_i = W'x_i + b for the rows x_i."""

from functools import partial

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Float

__all__ = ["backward"]

Pair = tuple[Float[Array, "d_in d_out"], Float[Array, " d_out"]]  # (W, b)
dot = partial(jnp.dot, precision=Precision.HIGHEST)


def backward(
    params: Pair, x: Float[Array, "n d_in"], g: Float[Array, "n d_out"]
) -> tuple[Pair, Float[Array, "n d_in"]]:
    """Return ((dL/dW, dL/db), dL/dx)."""
    # y_ij = sum_a x_ia W_aj + b_j
    # dL/dW_aj = sum_i x_ia g_ij     => X'G
    # dL/db_j  = sum_i g_ij          => G'1
    # dL/dx_ia = sum_j g_ij W_aj     => G W'
    W, _ = params
    return (dot(x.T, g), g.sum(axis=0)), dot(g, W.T)
