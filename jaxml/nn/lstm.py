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
written as a linear recursion in the tangents (below): forward mode runs it, and its transpose is
back-propagation through time, with the gradients of W and R as one product behind the loop.

Reference: Hochreiter, Schmidhuber (1997), Long short-term memory; Gers et al. (2000), Learning to
forget (the gate f).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._typing import Array, Bool, Float, Int, Key
from jaxml.nn import initializers
from jaxml.nn._tensor import tensor

__all__ = ["Gates", "Params", "State", "apply", "gates", "init"]


class Params(NamedTuple):
    """What a layer of h units learns; columns by gate, in the order i, f, g, o."""

    kernel: Float[Array, "d 4h"]  # W
    recurrent: Float[Array, "h 4h"]  # R
    bias: Float[Array, " 4h"]  # b


class State(NamedTuple):
    """What a layer remembers of the past."""

    hidden: Float[Array, "b h"]  # h_t
    cell: Float[Array, "b h"]  # c_t


class Gates(NamedTuple):
    """The gates of one step."""

    i: Float[Array, "*b h"]  # how much of g enters the cell, in [0, 1]
    f: Float[Array, "*b h"]  # how much of the cell is kept, in [0, 1]
    g: Float[Array, "*b h"]  # what is proposed, in [-1, 1]
    o: Float[Array, "*b h"]  # how much of the cell is shown, in [0, 1]


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
    return _gates(jnp.tanh(u + jnp.broadcast_to(b, u.shape)))


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


def _gates(a: Float[Array, "*b 4h"]) -> Gates:
    """The gates from a = tanh(u)."""
    i, f, g, o = jnp.split(a, 4, axis=-1)
    return Gates(0.5 + 0.5 * i, 0.5 + 0.5 * f, g, 0.5 + 0.5 * o)


@jax.jit
def _apply(params: Params, x: Array, state: State, lengths: Array | None) -> tuple[Array, State]:
    W, R, b = _halved(params)
    real = None
    if lengths is not None:
        real = jnp.arange(x.shape[0])[:, None] < lengths[None, :]
        x = jnp.where(real[:, :, None], x, 0)  # 0 * NaN would reach the gradient of W
    y, last = _recur(x, jnp.concatenate([W, R]), b, state, real)
    return (y if real is None else jnp.where(real[:, :, None], y, 0)), last


def _steps(
    x: Array, S: Array, b: Array, state: State, real: Bool[Array, "t b"] | None, *, partials: bool
) -> tuple[Array, State, tuple[Array, Array, Array] | None]:
    """All h_t, the last state and, if asked for, K, A, B of every step: see _tangents."""
    each = partial(_loop, partials=partials)
    # A CPU multiplies as fast in parts, and saves the fresh memory of x_t W for all t.
    return jax.lax.platform_dependent(
        x, S, b, state, real, cpu=partial(each, hoist=False), default=partial(each, hoist=True)
    )


def _loop(
    x: Array, S: Array, b: Array, state: State, real: Array | None, *, partials: bool, hoist: bool
) -> tuple[Array, State, tuple[Array, Array, Array] | None]:
    d = x.shape[2]
    over = x @ S[:d] if hoist else x

    def step(state: State, now: tuple) -> tuple[State, tuple]:
        x, real = now
        h, c = state
        u = x + h @ S[d:] if hoist else jnp.concatenate([x, h], axis=1) @ S
        a = jnp.tanh(u + jnp.broadcast_to(b, u.shape))
        i, f, g, o = _gates(a)
        new = f * c + i * g
        shown = jnp.tanh(new)
        after = State(o * shown, new)
        keep = None if real is None else jnp.broadcast_to(real[:, None], h.shape)
        if keep is not None:
            after = jax.tree.map(partial(jnp.where, keep), after, state)
        if not partials:
            return after, (after.hidden, None)
        # sigmoid(z)' = (1 - a^2)/2 du, g' = 1 - a^2
        K = (1 - a * a) * jnp.concatenate([0.5 * g, 0.5 * c, i, 0.5 * shown], axis=1)
        A, B = f, o * (1 - shown * shown)
        if keep is not None:
            K = jnp.where(jnp.tile(keep, (1, 4)), K, 0)
            A, B = jnp.where(keep, A, 1), jnp.where(keep, B, 0)
        # K has a shape of its own: XLA fills buffers of one shape by copies of another.
        return after, (after.hidden, (K[None], A, B))

    last, (y, found) = jax.lax.scan(step, state, (over, real))
    return y, last, found


@jax.custom_jvp
def _recur(
    x: Float[Array, "t b d"],
    S: Float[Array, "d+h 4h"],
    b: Float[Array, " 4h"],
    state: State,
    real: Array | None,
) -> tuple[Float[Array, "t b h"], State]:
    y, last, _ = _steps(x, S, b, state, real, partials=False)
    return y, last


@_recur.defjvp
def _tangents(primals: tuple, tangents: tuple) -> tuple:
    """Propagate tangents through time.

        du_t = dx_t W + [x_t, h_{t-1}] dS + db      for all t at once
        dc_t = A_t dc_{t-1} + sum of the blocks i, f, g of K_t (du_t + dh_{t-1} R)
        dh_t = block o of K_t (du_t + dh_{t-1} R) + B_t dc_t

    Where a step is padding, K = B = 0 and A = 1, and dh_t = dh_{t-1}.
    """
    x, S, b, state, real = primals
    dx, dS, db, dstate, _ = tangents
    y, last, found = _steps(x, S, b, state, real, partials=True)
    t, n, d = x.shape
    R = S[d:]
    before = jnp.concatenate([state.hidden[None], y])[:-1]
    inputs = jnp.concatenate([x, before], axis=2).reshape(t * n, S.shape[0])
    # The gradient of S sums over rows, which a CPU does in less time on a transposed copy.
    inputs = jax.lax.optimization_barrier(inputs.T)
    du = dx.reshape(t * n, d) @ S[:d] + jax.lax.dot_general(inputs, dS, (((0,), (0,)), ((), ())))
    du = (du + jnp.broadcast_to(db, du.shape)).reshape(t, n, b.size)

    def step(dstate: State, now: tuple) -> tuple[State, Array]:
        du, (K, A, B), real = now
        dh, dc = dstate
        i, f, g, o = jnp.split(K[0] * (du + dh @ R), 4, axis=1)
        dc = A * dc + (i + f + g)
        new = o + B * dc
        if real is not None:
            new = jnp.where(jnp.broadcast_to(real[:, None], dh.shape), new, dh)
        return State(new, dc), new

    dlast, dy = jax.lax.scan(step, dstate, (du, found, real))
    return (y, last), (dy, dlast)
