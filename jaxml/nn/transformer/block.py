"""A transformer block: attention, then a two-layer perceptron, each beside an identity.

    pre-norm     y = x + A(LN_1(x)),    z = y + F(LN_2(y))
    post-norm    y = LN_1(x + A(x)),    z = LN_2(y + F(y))

    A = multi-head self-attention,   F(y) = gelu(y W_1 + b_1) W_2 + b_2

Post-norm is the form of Vaswani et al.; in pre-norm the identity runs from input to output, so
gradients of deep stacks stay of one size (Xiong et al.), and a stack ends with one more LN.
Dropout, if any, acts on what A and F return, before it is added (Vaswani et al., section 5.4).

PyTorch's nn.TransformerEncoderLayer(norm_first=True, activation="gelu") is the pre-norm form;
in training it drops attention weights and the inner layer of F as well.

Reference: Vaswani et al. (2017), Attention is all you need, section 3.1 and 3.3; Xiong et al.
(2020), On layer normalization in the transformer architecture, table 1.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._typing import Array, Bool, Float, Key
from jaxml.nn import attention, dense, dropout
from jaxml.nn._tensor import tensor
from jaxml.nn.activations import gelu
from jaxml.nn.norm import layer_norm

__all__ = ["Params", "apply", "init", "residual"]

NORMS = ("pre", "post")
Sequences = Float[Array, "... t d_model"]


class Params(NamedTuple):
    """A block over d_model features, d_hidden of them between the layers of F."""

    attention_norm: layer_norm.Params  # LN_1
    attention: attention.Params  # A
    mlp_norm: layer_norm.Params  # LN_2
    mlp_in: dense.Params  # W_1 (d_model, d_hidden), b_1
    mlp_out: dense.Params  # W_2 (d_hidden, d_model), b_2


def init(
    *, key: Key, d_model: int, n_heads: int, d_hidden: int, dtype: Any = jnp.float32
) -> Params:
    """Draw kernels by Xavier's rule; biases are 0, and the norms start as they are.

    Args:
      key: A JAX random key.
      d_model: Features, static.
      n_heads: Heads, static; divides d_model.
      d_hidden: Features between the layers of F, static; 4 d_model is usual.
      dtype: Of the parameters.

    Raises:
      ValueError: n_heads does not divide d_model.

    Example:
      >>> init(key=jax.random.key(0), d_model=4, n_heads=2, d_hidden=8).mlp_in.kernel.shape
      (4, 8)
    """
    one, two, three = jax.random.split(key, 3)
    return Params(
        layer_norm.init(d_model, dtype=dtype),
        attention.init(key=one, d_model=d_model, n_heads=n_heads, dtype=dtype),
        layer_norm.init(d_model, dtype=dtype),
        dense.init(key=two, d_in=d_model, d_out=d_hidden, dtype=dtype),
        dense.init(key=three, d_in=d_hidden, d_out=d_model, dtype=dtype),
    )


def apply(
    params: Params,
    x: Sequences,
    *,
    mask: Bool[Array, "... h t t"] | None = None,
    causal: bool = False,
    norm: str = "pre",
    rate: float = 0.0,
    key: Key | None = None,
    activation: Callable[[Array], Array] = gelu,
) -> Sequences:
    """Return z, in the dtype of x.

    Args:
      params: Of the block.
      x: Sequences of t rows; t may be 0.
      mask: True where a row may attend to a row, broadcast to (..., h, t, t).
      causal: Static; whether row i attends to rows 0..i only.
      norm: Static, "pre" or "post".
      rate: Static, of dropout, in [0, 1]; 0 outside of training.
      key: A JAX random key, a new one for each call; needed where rate > 0.
      activation: Static, between the layers of F.

    Raises:
      ValueError: A shape does not fit, norm is unknown, or rate > 0 comes without a key.

    Example:
      >>> params = init(key=jax.random.key(0), d_model=4, n_heads=2, d_hidden=8)
      >>> apply(params, jnp.ones((3, 4)), causal=True).shape
      (3, 4)
    """
    x = tensor("x", x, "...", "t", jnp.shape(params.attention.kernel)[0])
    _check.choice("norm", norm, NORMS)
    if rate != 0 and key is None:
        raise ValueError(f"rate > 0 needs a random key: got rate={rate} and key=None")
    return _apply(
        params, x, mask, key, causal=bool(causal), norm=norm, rate=rate, activation=activation
    )


@partial(jax.jit, static_argnames=("causal", "norm", "rate", "activation"))
def _apply(
    params: Params, x: Array, mask: Any, key: Key | None, *, causal: bool, **options: Any
) -> Array:
    def attend(q: Array, k: Array, v: Array) -> Array:
        return attention.scaled_dot_product(q, k, v, mask=mask, causal=causal)

    return residual(params, x, attend, key=key, **options)


def residual(
    params: Params,
    x: Sequences,
    attend: Callable[[Array, Array, Array], Array],
    *,
    norm: str = "pre",
    rate: float = 0.0,
    key: Key | None = None,
    activation: Callable[[Array], Array] = gelu,
) -> Sequences:
    """Return the block with attend(q, k, v) for its attention, which may keep keys and values."""
    keys = (None, None) if key is None else jax.random.split(key)

    def drop(y: Array, key: Key | None) -> Array:
        return y if key is None else dropout.apply(y, rate=rate, key=key)

    def A(x: Array) -> Array:
        o = attend(*attention.heads(params.attention, x))
        return drop(attention.merge(params.attention, o), keys[0])

    def F(y: Array) -> Array:
        hidden = activation(dense.apply(params.mlp_in, y))
        return drop(dense.apply(params.mlp_out, hidden), keys[1])

    if norm == "pre":
        y = x + A(layer_norm.apply(params.attention_norm, x))
        return y + F(layer_norm.apply(params.mlp_norm, y))
    y = layer_norm.apply(params.attention_norm, x + A(x))
    return layer_norm.apply(params.mlp_norm, y + F(y))
