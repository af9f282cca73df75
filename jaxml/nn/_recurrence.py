"""The loop of a long short-term memory over time, and its derivative. Letters as in jaxml.nn.lstm.

    u_t = [x_t, h_{t-1}] S + b,   S = [W; R],   a_t = tanh(u_t)

with the columns of i, f, o halved before: sigmoid(z) = (1 + tanh(z/2)) / 2. An accelerator takes
the products with x of all t in front of the loop; a CPU one product in each step.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Bool, Float

__all__ = ["Gates", "State", "gates", "recur"]


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


def gates(a: Float[Array, "*b 4h"]) -> Gates:
    """The gates from a = tanh(u)."""
    i, f, g, o = jnp.split(a, 4, axis=-1)
    return Gates(0.5 + 0.5 * i, 0.5 + 0.5 * f, g, 0.5 + 0.5 * o)


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
        i, f, g, o = gates(a)
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
def recur(
    x: Float[Array, "t b d"],
    S: Float[Array, "d+h 4h"],
    b: Float[Array, " 4h"],
    state: State,
    real: Array | None,
) -> tuple[Float[Array, "t b h"], State]:
    y, last, _ = _steps(x, S, b, state, real, partials=False)
    return y, last


@recur.defjvp
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
    du = dx.reshape(t * n, d) @ S[:d] + inputs @ dS
    du = (du + jnp.broadcast_to(db, du.shape)).reshape(t, n, b.size)

    def step(dstate: State, now: tuple) -> tuple[State, Array]:
        du, (K, A, B), real = now
        dh, dc = dstate
        # Linear in du and dh at once: a K taken apart before would be copied, for all t.
        i, f, g, o = jnp.split((K * (du + dh @ R)[None])[0], 4, axis=1)
        dc = A * dc + (i + f + g)
        new = o + B * dc
        if real is not None:
            new = jnp.where(jnp.broadcast_to(real[:, None], dh.shape), new, dh)
        return State(new, dc), new

    dlast, dy = jax.lax.scan(step, dstate, (du, found, real))
    return (y, last), (dy, dlast)
