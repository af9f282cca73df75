"""An LSTM by hand: forward and backward as loops over time, in the letters of jaxml.nn.lstm.

Hochreiter, Schmidhuber (1997); Gers et al. (2000), section 3; gates in the order i, f, g, o.
"""

from functools import partial

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Float, Int

__all__ = ["backward", "bounds", "carousel", "forward", "gates"]

Params = tuple[Float[Array, "d 4h"], Float[Array, "h 4h"], Float[Array, " 4h"]]  # W, R, b
State = tuple[Float[Array, "b h"], Float[Array, "b h"]]  # h, c
dot = partial(jnp.dot, precision=Precision.HIGHEST)


def _sigmoid(z: Array) -> Array:
    return 1 / (1 + jnp.exp(-z))


def gates(params: Params, x: Float[Array, "b d"], h: Float[Array, "b h"]) -> tuple[Array, ...]:
    """Return i, f, g, o of one step."""
    W, R, b = params
    z_i, z_f, z_g, z_o = jnp.split(dot(x, W) + dot(h, R) + b[None, :], 4, axis=1)
    return _sigmoid(z_i), _sigmoid(z_f), jnp.tanh(z_g), _sigmoid(z_o)


def _step(params: Params, x: Array, h: Array, c: Array) -> State:
    i, f, g, o = gates(params, x, h)
    c = f * c + i * g
    return o * jnp.tanh(c), c


def forward(
    params: Params, x: Float[Array, "t b d"], state: State, lengths: Int[Array, " b"]
) -> tuple[Float[Array, "t b h"], State]:
    """Return y_t = h_t, 0 from lengths on, and the state, which stays from there on."""
    (h, c), y = state, []
    for t in range(x.shape[0]):
        real = (t < lengths)[:, None]
        h_t, c_t = _step(params, x[t], h, c)
        h, c = jnp.where(real, h_t, h), jnp.where(real, c_t, c)
        y.append(jnp.where(real, h, 0.0))
    return jnp.stack(y) if y else jnp.zeros((0, *h.shape), h.dtype), (h, c)


def backward(
    params: Params,
    x: Float[Array, "t b d"],
    state: State,
    lengths: Int[Array, " b"],
    gy: Float[Array, "t b h"],
    gstate: State,
) -> tuple[Params, Float[Array, "t b d"], State]:
    """Return the cotangents of params, x and the first state, from those of y and the last."""
    W, R, _ = params
    states = [state]
    for t in range(x.shape[0]):
        _, then = forward(params, x[t : t + 1], states[-1], lengths - t)
        states.append(then)
    dW, dR, db = (jnp.zeros_like(leaf) for leaf in params)
    dx = jnp.zeros_like(x)
    gh, gc = gstate  # dJ/dh_t, dJ/dc_t as far as later steps go
    for t in reversed(range(x.shape[0])):
        real = (t < lengths)[:, None]
        h, c = states[t]
        i, f, g, o = gates(params, x[t], h)
        tanh_c = jnp.tanh(f * c + i * g)
        # h_t is seen as y_t, by step t + 1 and, at the end, as the state:  dJ/dh_t = gy_t + gh
        total = gy[t] + gh
        # h_t = o tanh(c_t)   =>  dJ/do = dJ/dh_t tanh(c_t);   dJ/dc_t += dJ/dh_t o (1 - tanh^2 c_t)
        do, dc = total * tanh_c, gc + total * o * (1 - tanh_c**2)
        # c_t = f c_{t-1} + i g   =>  dJ/di = dJ/dc_t g, dJ/df = dJ/dc_t c_{t-1}, dJ/dg = dJ/dc_t i
        di, df, dg = dc * g, dc * c, dc * i
        # sigmoid' = s (1 - s), tanh' = 1 - tanh^2   =>  dJ/dz_t by blocks
        dz = [di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)]
        # behind the end of a sequence h_t = h_{t-1}, c_t = c_{t-1}, y_t = 0: nothing depends on z_t
        dz = jnp.where(real, jnp.concatenate(dz, axis=1), 0.0)
        # z_t = x_t W + h_{t-1} R + b
        # => dJ/dW = sum_t x_t' dz_t, dJ/dR = sum_t h_{t-1}' dz_t, dJ/db = sum_t 1' dz_t
        dW, dR, db = dW + dot(x[t].T, dz), dR + dot(h.T, dz), db + dz.sum(axis=0)
        # => dJ/dx_t = dz_t W',   dJ/dh_{t-1} = dz_t R',   dJ/dc_{t-1} = dJ/dc_t f
        dx = dx.at[t].set(dot(dz, W.T))
        gh, gc = jnp.where(real, dot(dz, R.T), gh), jnp.where(real, dc * f, gc)
    return (dW, dR, db), dx, (gh, gc)


def bounds(x: Float[Array, "t b d"], state: State) -> tuple[Array, Array, Array]:
    """Return what bounds |i|, |f|, |g|, |o|, what bounds |y_t|, and what bounds |c_T|."""
    # 0 < sigmoid < 1, |tanh| < 1
    # h_t = o tanh(c_t)                       =>  |h_t| < 1
    # |c_t| <= f |c_{t-1}| + i |g| < |c_{t-1}| + 1  =>  |c_T| <= |c_0| + T
    h, c = state
    return (
        jnp.ones((4, *h.shape), h.dtype),
        jnp.ones((x.shape[0], *h.shape), h.dtype),
        (jnp.abs(c) + x.shape[0]),
    )


def carousel(params: Params, x: Float[Array, "t b d"], state: State) -> Float[Array, "b h"]:
    """Return dc_T/dc_0 (a diagonal) where R = 0: the product of the forget gates."""
    # dc_t/dc_{t-1} = f_t + (paths through h_{t-1}, of which R = 0 leaves none)
    # => dc_T/dc_0 = prod_t f_t, which is 1 where the gates stay open: errors do not vanish
    W, R, b = params
    product = jnp.ones_like(state[1])
    for t in range(x.shape[0]):
        _, f, _, _ = gates((W, jnp.zeros_like(R), b), x[t], state[0])
        product = product * f
    return product
