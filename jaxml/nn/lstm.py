"""A long short-term memory: a recurrent layer whose cell keeps what its gates let it.

    z_t = x_t W + h_{t-1} R + b                  four blocks of columns, in the order i, f, g, o
    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o),      g = tanh(z_g)
    c_t = f c_{t-1} + i g,      h_t = o tanh(c_t),      y_t = h_t

Symbols: x (t, b, d), W = kernel (d, 4h), R = recurrent (h, 4h), b = bias (4h,), y (t, b, h).
PyTorch's nn.LSTM has the same order of gates: W = weight_ih.T, R = weight_hh.T, b = bias_ih +
bias_hh. Flax's OptimizedLSTMCell has one matrix per gate.

The products with x are one product over all t, in front of the loop, whose only product is with R.
sigmoid(z) is (1 + tanh(z/2)) / 2, so that all gates are one tanh; a gate is off by at most half a
unit in the last place of 1, in its tails as well. Derivatives are written as a linear recursion in
the tangents (below), whose transpose is back-propagation through time with the gradient of R as
one product over all t, behind the loop.

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
    t, n, d = x.shape
    real = None
    if lengths is not None:
        real = jnp.arange(t)[:, None] < lengths[None, :]
        x = jnp.where(real[:, :, None], x, 0)  # 0 * NaN would reach the gradient of W
    u = x.reshape(t * n, d) @ W
    u = (u + jnp.broadcast_to(b, u.shape)).reshape(t, n, b.size)
    hidden, last = _recur(u, R, state, real)
    return (hidden if real is None else jnp.where(real[:, :, None], hidden, 0)), last


class _Partials(NamedTuple):
    """The derivatives of one step: du -> dc, dh; see _tangents."""

    K: Float[Array, "t b 4h"]
    A: Float[Array, "t b h"]
    B: Float[Array, "t b h"]


def _steps(
    u: Array, R: Array, state: State, real: Bool[Array, "t b"] | None, *, partials: bool
) -> tuple[Array, State, _Partials | None]:
    """All h_t, the last state and, if asked for, the partial derivatives of every step."""

    def step(state: State, now: tuple) -> tuple[State, tuple]:
        u, real = now
        h, c = state
        a = jnp.tanh(u + h @ R)
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
            K = jnp.where(jnp.broadcast_to(real[:, None], K.shape), K, 0)
            A, B = jnp.where(keep, A, 1), jnp.where(keep, B, 0)
        return after, (after.hidden, _Partials(K, A, B))

    last, (hidden, found) = jax.lax.scan(step, state, (u, real))
    return hidden, last, found


@jax.custom_jvp
def _recur(
    u: Float[Array, "t b 4h"], R: Float[Array, "h 4h"], state: State, real: Array | None
) -> tuple[Float[Array, "t b h"], State]:
    hidden, last, _ = _steps(u, R, state, real, partials=False)
    return hidden, last


@_recur.defjvp
def _tangents(primals: tuple, tangents: tuple) -> tuple:
    """Propagate tangents through time.

        dv_t = du_t + h_{t-1} dR + dh_{t-1} R       dc_t = A_t dc_{t-1} + (K_t dv_t)_i,f,g
        dh_t = (K_t dv_t)_o + B_t dc_t              h_{t-1} dR for all t in one product

    Where a step is padding, K = B = 0 and A = 1, and dh_t = dh_{t-1}.
    """
    u, R, state, real = primals
    du, dR, dstate, _ = tangents
    hidden, last, found = _steps(u, R, state, real, partials=True)
    t, n, h = hidden.shape
    before = jnp.concatenate([state.hidden[None], hidden])[:-1]
    du = du + (before.reshape(t * n, h) @ dR).reshape(du.shape)

    def step(dstate: State, now: tuple) -> tuple[State, Array]:
        du, (K, A, B), real = now
        dh, dc = dstate
        i, f, g, o = jnp.split(K * (du + dh @ R), 4, axis=1)
        dc = A * dc + (i + f + g)
        new = o + B * dc
        if real is not None:
            new = jnp.where(jnp.broadcast_to(real[:, None], dh.shape), new, dh)
        return State(new, dc), new

    dlast, dhidden = jax.lax.scan(step, dstate, (du, found, real))
    return (hidden, last), (dhidden, dlast)
