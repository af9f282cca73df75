"""What both kinds of block are: convolutions with batch norms, and a skip.

    post-activation   y = relu(F(x) + skip(x)),  F = N_m C_m relu ... relu N_1 C_1
    pre-activation    y = F(x) + skip(x),        F = C_m relu N_m ... C_1 relu N_1

C_k is a convolution without bias, N_k a batch norm. skip is the identity, or where the shapes
differ a convolution of one pixel with the block's stride: of x and with a batch norm behind it, or
before activation of relu(N_1 x). The window of 3 has one zero on each side, so that a stride s
makes ceil(h / s) rows of h, as the skip does.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._typing import Array, Float, Key, Real
from jaxml.nn import conv
from jaxml.nn._tensor import statistics_dtype, tensor
from jaxml.nn.activations import relu
from jaxml.nn.norm import batch_norm

__all__ = ["Params", "Projection", "State", "apply", "checked", "init"]

AROUND = ((1, 1), (1, 1))
Images = Float[Array, "n h w c"]
Names = str | tuple[str, ...]


class Projection(NamedTuple):
    """The skip of a block that changes the shape."""

    conv: conv.Params  # one pixel, without bias
    norm: batch_norm.Params | None  # None before activation


class Params(NamedTuple):
    """A block of m convolutions."""

    convs: tuple[conv.Params, ...]  # C_1 .. C_m, without bias
    norms: tuple[batch_norm.Params, ...]  # N_1 .. N_m
    projection: Projection | None  # None where the skip is the identity


class State(NamedTuple):
    """Running moments of the batch norms."""

    norms: tuple[batch_norm.State, ...]
    projection: batch_norm.State | None


def init(
    key: Key,
    channels: tuple[int, ...],
    windows: tuple[int, ...],
    *,
    stride: int,
    preactivation: bool,
    dtype: Any,
) -> tuple[Params, State]:
    """Draw kernels by He's rule; channels are those of x and of each C_k in turn."""
    _check.integer("stride", stride, 1)
    keys = jax.random.split(key, len(windows) + 1)
    steps = list(zip(channels[:-1], channels[1:], windows, strict=True))
    convs = tuple(
        conv.init(key=k, c_in=a, c_out=b, window=window, use_bias=False, dtype=dtype)
        for k, (a, b, window) in zip(keys[1:], steps, strict=True)
    )
    norms = [batch_norm.init(a if preactivation else b, dtype=dtype) for a, b, _ in steps]
    c_in, c_out = channels[0], channels[-1]
    projection = moments = None
    if stride > 1 or c_in != c_out:
        kernel = conv.init(
            key=keys[0], c_in=c_in, c_out=c_out, window=1, use_bias=False, dtype=dtype
        )
        norm, moments = (None, None) if preactivation else batch_norm.init(c_out, dtype=dtype)
        projection = Projection(kernel, norm)
    params = Params(convs, tuple(norm for norm, _ in norms), projection)
    return params, State(tuple(state for _, state in norms), moments)


def checked(x: Any, momentum: Real, eps: Real) -> tuple[Array, Array]:
    """Return momentum and eps of the norms, checked before they are traced."""
    wide = statistics_dtype(jnp.result_type(x))
    momentum = _check.at_least("momentum", momentum, 0.0, dtype=wide)
    if _check.is_concrete(momentum) and not float(momentum) <= 1.0:
        raise ValueError(f"momentum must lie in [0, 1]: got {float(momentum)}")
    return momentum, _check.above("eps", eps, 0.0, dtype=wide)


def apply(
    params: Params,
    state: State,
    x: Images,
    *,
    strides: tuple[int, ...],
    preactivation: bool,
    training: bool,
    momentum: Real,
    eps: Real,
    axis_name: Names | None,
) -> tuple[Images, State]:
    """Return y and the new state; strides are those of C_1 .. C_m, the rest goes to the norms."""
    x = tensor("x", x, "n", "h", "w", jnp.shape(params.convs[0].kernel)[2])
    stride = max(_check.integer("stride", s, 1) for s in strides)
    if params.projection is None and stride > 1:
        raise ValueError(
            f"a block whose skip is the identity has stride 1: got {stride}; give it to init too"
        )
    pre = params.projection is None or params.projection.norm is None
    if params.projection is not None and pre != preactivation:
        made = "pre" if pre else "post"
        raise ValueError(f"init made these parameters for {made}-activation: expected the same")
    momentum, eps = checked(x, momentum, eps)
    return _apply(
        params, state, x, momentum, eps,
        strides=strides, preactivation=preactivation, training=training, axis_name=axis_name,
    )  # fmt: skip


@partial(jax.jit, static_argnames=("strides", "preactivation", "training", "axis_name"))
def _apply(
    params: Params,
    state: State,
    x: Images,
    momentum: Array,
    eps: Array,
    *,
    strides: tuple[int, ...],
    preactivation: bool,
    training: bool,
    axis_name: Names | None,
) -> tuple[Images, State]:
    norming: Any = {
        "momentum": momentum, "eps": eps, "training": training, "axis_name": axis_name,
    }  # fmt: skip
    stride = max(strides)
    moments: list[batch_norm.State] = []

    def normed(k: int, h: Images) -> Images:
        h, new = batch_norm.apply(params.norms[k], state.norms[k], h, **norming)
        moments.append(new)
        return h

    def convolved(k: int, h: Images) -> Images:
        window = params.convs[k].kernel.shape[0]
        padding = AROUND if window == 3 else "VALID"
        return conv.apply(params.convs[k], h, stride=strides[k], padding=padding)

    def skip(h: Images) -> tuple[Images, batch_norm.State | None]:
        if params.projection is None:
            return x, None
        h = conv.apply(params.projection.conv, h, stride=stride, padding="VALID")
        if params.projection.norm is None or state.projection is None:
            return h, None
        return batch_norm.apply(params.projection.norm, state.projection, h, **norming)

    last = len(strides) - 1
    if preactivation:
        h = relu(normed(0, x))
        identity, moment = skip(h)
        h = convolved(0, h)
        for k in range(1, last + 1):
            h = convolved(k, relu(normed(k, h)))
        return h + identity, State(tuple(moments), moment)
    h = x
    for k in range(last + 1):
        h = normed(k, convolved(k, h))
        h = relu(h) if k < last else h
    identity, moment = skip(x)
    return relu(h + identity), State(tuple(moments), moment)
