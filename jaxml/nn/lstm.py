"""A long short-term memory: a recurrent layer whose cell keeps what its gates let it.

    z_t = x_t W + h_{t-1} R + b                  four blocks of columns, in the order i, f, g, o
    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o),      g = tanh(z_g)
    c_t = f c_{t-1} + i g,      h_t = o tanh(c_t),      y_t = h_t

Symbols: x (t, b, d), W = kernel (d, 4h), R = recurrent (h, 4h), b = bias (4h,), y (t, b, h).
PyTorch's nn.LSTM has the same order of gates: W = weight_ih.T, R = weight_hh.T, b = bias_ih +
bias_hh. Flax's OptimizedLSTMCell has one matrix per gate.

sigmoid(z) is (1 + tanh(z/2)) / 2, so that all gates are one tanh; a gate is off by at most half a
unit in the last place of 1, in its tails as well. An accelerator takes the products with x of all t
in front of the loop; a CPU takes [x_t, h_{t-1}] [W; R] as one product in each step. Derivatives are
written as a linear recursion in the tangents: forward mode runs it, and its transpose is
back-propagation through time, with the gradients of W and R as one product behind the loop.

Reference: Hochreiter, Schmidhuber (1997), Long short-term memory; Gers et al. (2000), Learning to
forget (the gate f).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._typing import Array, Float, Int, Key
from jaxml.nn import _recurrence, initializers
from jaxml.nn._recurrence import Gates, State
from jaxml.nn._tensor import tensor

__all__ = ["Gates", "Params", "State", "apply", "gates", "init"]


class Params(NamedTuple):
    """What a layer of h units learns; columns by gate, in the order i, f, g, o."""

    kernel: Float[Array, "d 4h"]  # W
    recurrent: Float[Array, "h 4h"]  # R
    bias: Float[Array, " 4h"]  # b


def init(
    *, key: Key, d: int, n_hidden: int, dtype: Any = jnp.float32, forget_bias: float = 1.0
) -> Params:
    """Draw W and R by Xavier's rule for each gate; b is 0 but for the gate f.

    Args:
      key: A JAX random key.
      d: Features of x, static.
      n_hidden: Units h, static.
      dtype: Of the parameters.
      forget_bias: The bias of f; at 1 a fresh cell keeps sigmoid(1) = 0.73 of itself each step, and
        gradients reach farther back (Jozefowicz et al., 2015). PyTorch draws it about 0.

    Example:
      >>> init(key=jax.random.key(0), d=3, n_hidden=2).bias.tolist()
      [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    d, h = _check.integer("d", d, 1), _check.integer("n_hidden", n_hidden, 1)
    keys = jax.random.split(key, 8)
    draws = [
        initializers.xavier_uniform((rows, h), key=keys[j], dtype=dtype)
        for j, rows in enumerate([d] * 4 + [h] * 4)
    ]
    kernel, recurrent = (jnp.concatenate(part, axis=1) for part in (draws[:4], draws[4:]))
    bias = jnp.concatenate([jnp.full(h, v, kernel.dtype) for v in (0.0, forget_bias, 0.0, 0.0)])
    return Params(kernel, recurrent, bias)


def apply(
    params: Params,
    x: Float[Array, "t b d"],
    state: State | None = None,
    *,
    lengths: Int[Array, " b"] | None = None,
) -> tuple[Float[Array, "t b h"], State]:
    """Return (y, state): y_t = h_t for all t, and the state behind the last step.

    Args:
      params: See init.
      x: A batch of sequences, time first; t = 0 gives no y and the state as it was.
      state: Where to go on; None: zeros.
      lengths: How many steps of each sequence are real, 0..t; None: all. Behind them y is 0, the
        state stays, and x has no influence (and no gradient), whatever it holds. Numbers that are
        traced and out of range act as the nearest in range.

    Raises:
      ValueError: Shapes do not fit, or concrete lengths lie outside 0..t.

    Example:
      >>> params = Params(jnp.zeros((1, 4)), jnp.zeros((1, 4)), jnp.zeros(4))
      >>> y, state = apply(params, jnp.ones((2, 1, 1)), State(jnp.ones((1, 1)), jnp.ones((1, 1))))
      >>> state.cell.tolist()  # f = 1/2 and g = 0: half of the cell stays each step
      [[0.25]]
    """
    d, h = jnp.shape(params.kernel)[0], jnp.shape(params.recurrent)[0]
    x = tensor("x", x, "t", "b", d)
    t, b, _ = x.shape
    if state is None:
        state = State(*(jnp.zeros((b, h), x.dtype) for _ in State._fields))
    start = State(
        *(
            tensor(f"state.{k}", v, b, h).astype(x.dtype)
            for k, v in zip(State._fields, state, strict=True)
        )
    )
    if lengths is not None:
        lengths = _lengths(lengths, t, b)
    return _apply(_cast(params, d, h, x.dtype), x, start, lengths)


def gates(params: Params, x: Float[Array, "*b d"], hidden: Float[Array, "*b h"]) -> Gates:
    """Return the gates of one step from x_t and h_{t-1}.

    Example:
      >>> params = init(key=jax.random.key(0), d=3, n_hidden=1)
      >>> [round(float(v[0]), 2) for v in gates(params, jnp.zeros(3), jnp.zeros(1))]
      [0.5, 0.73, 0.0, 0.5]
    """
    d, h = jnp.shape(params.kernel)[0], jnp.shape(params.recurrent)[0]
    x = tensor("x", x, "...", d)
    hidden = tensor("hidden", hidden, *x.shape[:-1], h).astype(x.dtype)
    W, R, b = _halved(_cast(params, d, h, x.dtype))
    u = x @ W + hidden @ R
    return _recurrence.gates(jnp.tanh(u + jnp.broadcast_to(b, u.shape)))


def _cast(params: Params, d: int, h: int, dtype: Any) -> Params:
    shapes = ((d, 4 * h), (h, 4 * h), (4 * h,))
    named = zip(Params._fields, params, shapes, strict=True)
    return Params(*(tensor(f"params.{k}", v, *shape).astype(dtype) for k, v, shape in named))


def _lengths(lengths: Any, t: int, b: int) -> Array:
    if not isinstance(lengths, jax.Array):
        lengths = np.asarray(lengths)
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise TypeError(f"lengths must hold integers: got dtype {lengths.dtype}")
    if lengths.shape != (b,):
        raise ValueError(f"lengths must have shape ({b},), one per sequence: got {lengths.shape}")
    if _check.is_concrete(lengths) and b:
        least, most = int(lengths.min()), int(lengths.max())
        if least < 0 or most > t:
            raise ValueError(f"lengths must lie in 0..{t}: got {least}..{most}")
    return jnp.asarray(lengths)


def _halved(params: Params) -> Params:
    """The parameters for u = z/2 where a sigmoid follows and u = z for g; halving is exact."""
    h = params.recurrent.shape[0]
    half = np.repeat([0.5, 0.5, 1.0, 0.5], h)
    return Params(
        *(leaf * jnp.broadcast_to(jnp.asarray(half, leaf.dtype), leaf.shape) for leaf in params)
    )


@jax.jit
def _apply(params: Params, x: Array, state: State, lengths: Array | None) -> tuple[Array, State]:
    W, R, b = _halved(params)
    real = None
    if lengths is not None:
        real = jnp.arange(x.shape[0])[:, None] < lengths[None, :]
        x = jnp.where(real[:, :, None], x, 0)  # 0 * NaN would reach the gradient of W
    y, last = _recurrence.recur(x, jnp.concatenate([W, R]), b, state, real)
    return (y if real is None else jnp.where(real[:, :, None], y, 0)), last
