"""Least squares with L1 and L2 penalties, by coordinate descent on a growing set of columns.

    J(w, b) = 1/2 sum_i p_i (x_i'w + b - y_i)^2 + l1 ||w||_1 + l2/2 ||w||_2^2,    p_i = s_i / s

In each round columns that press hardest to come in enter, J is minimized over those that have, and
the correlations u of all columns give a duality gap. Three kinds of rounds: _by_gram has the whole
Gram matrix, _by_covariance rows of it, _by_residual works on the data. Where tol is near rounding,
u is taken once more without the rounding of steps, and that certifies.

Symbols: as in _moments.
Reference: Massias, Gramfort, Salmon (2018), Celer, section 3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml._loop import iterate
from jaxml._numerics import default_gap_tol
from jaxml._typing import Array, Float, Int, Scalar
from jaxml.linear import _affine, _duality
from jaxml.linear._moments import Moments

__all__ = ["State", "Sums", "is_tight", "minimize", "start"]

PATIENCE = 5  # rounds without progress

Sums = tuple[Array, Scalar, Scalar]  # u, r'r, q'r


class State(NamedTuple):
    """An iterate and what is known there."""

    w: Float[Array, " d"]
    u: Float[Array, " d"]
    r_2: Scalar  # r'r
    q_r: Scalar  # q'r
    J: Scalar
    residual: Scalar  # duality gap over J at 0
    idle: Int[Array, ""]  # rounds in a row without progress


def start(w: Array, sums: Sums) -> State:
    """The state at w; its objective and residual depend on the penalties and are set later."""
    u, r_2, q_r = sums
    return State(w, u, r_2, q_r, r_2, r_2, jnp.int32(0))


def is_tight(tol: Scalar) -> Array:
    """Whether a tolerance is so near rounding that it takes more than coordinate descent."""
    return tol <= 20 * default_gap_tol(tol.dtype)


def _judge(state: State, stats: Moments, l1: Scalar, l2: Scalar) -> State:
    w, u, r_2, q_r, *_ = state
    gap = jnp.maximum(_duality.squared_gap(u, r_2, q_r, w, l1, l2), 0.0)
    residual = jnp.where(gap == 0, 0.0, gap / stats.null)
    return state._replace(J=0.5 * r_2 + _affine.penalty(w, l1, l2), residual=residual)


def minimize(
    advance: Callable[[State, Any], tuple[State, Any, Array]],
    refresh: Callable[[State, Any], Sums],
    stats: Moments,
    pool: Any,
    init: State,
    l1: Scalar,
    l2: Scalar,
    tol: Scalar,
    max_iter: int,
) -> tuple[State, Any, Int[Array, ""]]:
    """Return the last state, the pool and the number of rounds.

    Args:
      advance: (state, pool) -> the same after a round, and whether a column has entered.
      refresh: (state, pool) -> the sums at state.w anew, free of the rounding of steps.
      stats: Sums of the data.
      pool: Columns that have entered, as advance keeps them.
      init: Where to start.
      l1: Penalty.
      l2: Penalty.
      tol: What the residual must not exceed.
      max_iter: Bound on the rounds.
    """

    def once(carry: tuple[State, Any]) -> tuple[State, Any]:
        state, pool = carry
        new, pool, entered = advance(state, pool)
        new = _judge(new, stats, l1, l2)
        better = entered | (new.residual < state.residual)
        return new._replace(idle=jnp.where(better, 0, state.idle + 1)), pool

    def certified(carry: tuple[State, Any, Array]) -> tuple[State, Any, Array]:
        before, pool, done = carry
        (state, pool), more = iterate(
            once,
            (before._replace(idle=jnp.int32(0)), pool),
            stop=lambda t: (
                (t[0].residual <= 0.5 * tol) | (t[0].idle >= PATIENCE) | ~jnp.isfinite(t[0].J)
            ),
            max_iter=max_iter - done,
        )
        known = state.u, state.r_2, state.q_r
        sums = jax.lax.cond(is_tight(tol), lambda: refresh(state, pool), lambda: known)
        new = _judge(start(state.w, sums), stats, l1, l2)
        idle = jnp.where(new.residual < before.residual, 0, before.idle + 1)
        return new._replace(idle=idle), pool, done + more

    def stop(carry: tuple[State, Any, Array]) -> Array:
        state, _, done = carry
        ended = (state.idle >= PATIENCE) | (done >= max_iter) | ~jnp.isfinite(state.J)
        return (state.residual <= tol) | ended

    first = _judge(init._replace(idle=jnp.int32(0)), stats, l1, l2)
    end, _ = iterate(certified, (first, pool, jnp.int32(0)), stop=stop, max_iter=max_iter)
    return end
