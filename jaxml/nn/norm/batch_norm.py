"""Batch normalization: every channel is brought to mean 0 and variance 1 over the batch.

    training    mu = mean_i x_i,   v = mean_i (x_i - mu)^2     over all axes but the last
                y_i = scale (x_i - mu) / (v + eps)^(1/2) + bias
                state.mean     <- momentum state.mean     + (1 - momentum) mu
                state.variance <- momentum state.variance + (1 - momentum) v n / (n - 1)
    otherwise   y_i = scale (x_i - state.mean) / (state.variance + eps)^(1/2) + bias

Symbols: x (..., d), channels last; n values in a channel, those of all devices where axis_name is
given. Moments are taken about a center near the mean, in float32 at least, and the state is kept
so too.

Conventions. y is normalized by the biased v; what is kept is the unbiased variance, as in PyTorch.
``momentum`` weighs the past, as in Flax; PyTorch's weighs the new batch, and is 1 - ours.

    from PyTorch   momentum = 1 - theirs (0.9 for their default 0.1)
    from Flax      momentum = theirs (their default is 0.99), and unbiased=False

Reference: Ioffe, Szegedy (2015), Batch normalization, Algorithms 1 and 2.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._typing import Array, Float, Real
from jaxml.nn._tensor import along_last, statistics_dtype, tensor
from jaxml.nn.norm._moments import Names, of_channels

__all__ = ["Params", "State", "apply", "init"]


class Params(NamedTuple):
    """What follows the normalization of d channels."""

    scale: Float[Array, " d"]
    bias: Float[Array, " d"]


class State(NamedTuple):
    """Running moments of d channels."""

    mean: Float[Array, " d"]
    variance: Float[Array, " d"]  # unbiased, unless apply was told otherwise


def init(d: int, *, dtype: Any = jnp.float32) -> tuple[Params, State]:
    """Return scale 1 and bias 0, and a state of mean 0 and variance 1, for d channels.

    The state has 32 bits at least, whatever the dtype of the parameters.
    """
    d = _check.integer("d", d, 1)
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    wide = statistics_dtype(dtype)
    params = Params(jnp.ones(d, dtype), jnp.zeros(d, dtype))
    return params, State(jnp.zeros(d, wide), jnp.ones(d, wide))


def apply(
    params: Params,
    state: State,
    x: Float[Array, "... d"],
    *,
    training: bool,
    momentum: Real = 0.9,
    eps: Real = 1e-5,
    axis_name: Names | None = None,
    unbiased: bool = True,
) -> tuple[Float[Array, "... d"], State]:
    """Return y, in the dtype of x, and the new state, which is the old one outside of training.

    Args:
      params: scale and bias.
      state: Running moments.
      x: Channels last; at least two values per channel in training.
      training: Static. True: by the moments of x, through which derivatives pass.
      momentum: In [0, 1], the share of the past in the new state; traced.
      eps: > 0, traced.
      axis_name: Static, the name of a mapped axis (of vmap, shard_map) over whose members the batch
        is spread: moments are those of the whole batch, as one device would find them.
      unbiased: Static. False keeps the biased variance, which is what Flax's state holds.

    Raises:
      ValueError: The last axis of x is not d, one value per channel in training, or momentum or eps
        out of range.

    Example:
      >>> params, state = init(1)
      >>> y, state = apply(params, state, jnp.array([[3.0], [5.0]]), training=True)
      >>> y.round(4).tolist(), round(float(state.mean[0]), 4)  # mu = 4, v = 1; 0.9 * 0 + 0.1 * 4
      ([[-1.0], [1.0]], 0.4)
    """
    d = jnp.shape(params.scale)[0]
    x = tensor("x", x, "...", d)
    wide = statistics_dtype(x.dtype)
    eps = _check.above("eps", eps, 0.0, dtype=wide)
    momentum = _check.at_least("momentum", momentum, 0.0, dtype=wide)
    if _check.is_concrete(momentum) and not float(momentum) <= 1.0:
        raise ValueError(f"momentum must lie in [0, 1]: got {float(momentum)}")
    if not training:
        return _by_state(params, state, x, eps), state
    n = math.prod(x.shape[:-1]) * (1 if axis_name is None else jax.lax.axis_size(axis_name))
    if n < 2:
        raise ValueError(
            f"training needs at least 2 values per channel to have a variance: x of shape {x.shape}"
            f" holds {n}; use training=False to normalize by the state"
        )
    y, mu, v = _by_batch(params, x, eps, axis_name=axis_name)
    return y, _updated(state, mu, v * (n / (n - 1) if unbiased else 1.0), momentum)


@partial(jax.jit, static_argnames="axis_name")
def _by_batch(
    params: Params, x: Array, eps: Array, *, axis_name: Names | None
) -> tuple[Array, Array, Array]:
    """(y, mu, v) of a batch."""
    X = x.reshape(-1, x.shape[-1]).astype(eps.dtype)
    c, delta, v = of_channels(axis_name, X)
    # With channels put together first, derivatives in them are two sums over the rows.
    gain = params.scale.astype(eps.dtype) * jax.lax.rsqrt(v + eps)
    shift = params.bias.astype(eps.dtype) - delta * gain
    y = _affine(X, c, gain, shift)
    return y.reshape(x.shape).astype(x.dtype), c + delta, v


@jax.checkpoint
def _affine(X: Array, c: Array, gain: Array, shift: Array) -> Array:
    """Derivatives compute X - c anew, within their sums over the rows: kept, it is read again."""
    return (X - c[None, :]) * gain[None, :] + shift[None, :]


@jax.jit
def _by_state(params: Params, state: State, x: Array, eps: Array) -> Array:
    wide = x.astype(eps.dtype)
    gain = along_last(params.scale, wide) * jax.lax.rsqrt(along_last(state.variance, wide) + eps)
    y = (wide - along_last(state.mean, wide)) * gain + along_last(params.bias, wide)
    return y.astype(x.dtype)


@jax.jit
def _updated(state: State, mu: Array, v: Array, momentum: Array) -> State:
    """Momentum times the old state, and the rest of the batch's moments, in the state's dtype."""
    return jax.tree.map(
        lambda old, new: (momentum * old + (1.0 - momentum) * new).astype(old.dtype),
        state,
        State(mu, v),
    )
