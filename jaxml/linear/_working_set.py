"""Least squares with L1 and L2 penalties, by coordinate descent on a growing set of columns.

    J(w, b) = 1/2 sum_i p_i (x_i'w + b - y_i)^2 + l1 ||w||_1 + l2/2 ||w||_2^2,    p_i = s_i / s

Columns that press hardest to come in enter in groups. A group costs one pass over the data, which
gives its rows of the Gram matrix G; with them coordinate descent, the correlations u of all
columns and the duality gap need no data: a step d moves u by -G d. Where tol is near the rounding
of G, u is taken from the data once more, and that certifies.

Symbols: as in _moments; S = the columns that have entered.
Reference: Friedman, Hastie, Tibshirani (2010), Regularization paths for generalized linear models
via coordinate descent, section 2.2; Massias, Gramfort, Salmon (2018), Celer, section 3.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._loop import iterate
from jaxml._numerics import default_gap_tol, matmul
from jaxml._typing import Array, Float, Int, Real, Scalar
from jaxml.linear import _affine, _duality
from jaxml.linear._moments import Moments
from jaxml.linear._pool import Pool, enter, from_pool
from jaxml.optim.coordinate import solve_on_support, sweep

__all__ = ["State", "minimize", "start"]

SWEEPS = 1000  # between two solves on the nonzero set
EXACT = 640  # columns up to which a tight tolerance ends with a solve on the nonzero set
PATIENCE = 5  # rounds without progress


class State(NamedTuple):
    """An iterate and what is known there."""

    w: Float[Array, " d"]
    u: Float[Array, " d"]
    r_2: Scalar  # r'r
    q_r: Scalar  # q'r
    J: Scalar
    residual: Scalar  # duality gap over J at 0
    idle: Int[Array, ""]  # rounds in a row without progress


def start(w: Array, sums: tuple[Array, Scalar, Scalar]) -> State:
    """The state at w; its objective and residual depend on the penalties and are set later."""
    u, r_2, q_r = sums
    return State(w, u, r_2, q_r, r_2, r_2, jnp.int32(0))


def _judge(state: State, stats: Moments, l1: Scalar, l2: Scalar) -> State:
    w, u, r_2, q_r, *_ = state
    gap = jnp.maximum(_duality.squared_gap(u, r_2, q_r, w, l1, l2), 0.0)
    residual = jnp.where(gap == 0, 0.0, gap / stats.null)
    return state._replace(J=0.5 * r_2 + _affine.penalty(w, l1, l2), residual=residual)


def minimize(
    rows: Callable[[Array], Array] | None,
    refresh: Callable[[Array], tuple[Array, Scalar, Scalar]] | None,
    stats: Moments,
    pool: Pool,
    init: State,
    l1: Scalar,
    l2: Scalar,
    *,
    tol: Scalar,
    max_iter: int,
) -> tuple[State, Pool, Int[Array, ""]]:
    """Return the last state, the pool and the number of rounds.

    Args:
      rows: Columns -> G[columns]; None if all have entered.
      refresh: w -> (u, r'r, q'r) from the data, for a certificate finer than G allows; None: from
        G in any case.
      stats: Sums of the data.
      pool: Columns that have entered.
      init: Where to start.
      l1: Penalty.
      l2: Penalty.
      tol: What the residual must not exceed.
      max_iter: Bound on the rounds.
    """
    k = pool.columns.shape[0]
    tight = tol <= 20 * default_gap_tol(init.w.dtype)
    exact = tight & (k <= EXACT)

    def take(pool: Pool, values: Array) -> Array:
        return values.at[pool.columns].get(mode="fill", fill_value=0.0)

    def once(carry: tuple[State, Pool]) -> tuple[State, Pool]:
        state, pool = carry
        entered, count = jnp.array(False), None
        if rows is not None:
            pool, entered = enter(pool, state.w, jnp.abs(state.u - l2 * state.w), l1, l2, rows)
            count = pool.size
        old, g = take(pool, state.w), -take(pool, state.u - l2 * state.w)
        # Without l2 the gap is linear in the error of w. A solve on the nonzero set ends it.
        aim = jnp.where(exact, jnp.sqrt(1e-3 * tol), 0.1 * tol) * jnp.sqrt(stats.null)
        new = _descend(pool.gram, g, l1, old, count=count, tol=aim)
        if k <= EXACT:
            polish = partial(_polish, pool.gram, g, l1, old)
            new = jax.lax.cond(exact, polish, lambda new: new, new)
        step = new - old
        u = state.u - matmul(step, pool.rows)
        r_2 = state.r_2 - step @ take(pool, state.u + u)
        q_r = state.q_r - step @ take(pool, stats.h)
        w = state.w.at[pool.columns].set(new, mode="drop")
        new = _judge(start(w, (u, r_2, q_r)), stats, l1, l2)
        better = entered | (new.residual < state.residual)
        return new._replace(idle=jnp.where(better, 0, state.idle + 1)), pool

    def certified(carry: tuple[State, Pool, Array]) -> tuple[State, Pool, Array]:
        before, pool, done = carry
        (state, pool), more = iterate(
            once,
            (before._replace(idle=jnp.int32(0)), pool),
            stop=lambda t: (
                (t[0].residual <= 0.5 * tol) | (t[0].idle >= PATIENCE) | ~jnp.isfinite(t[0].J)
            ),
            max_iter=max_iter - done,
        )
        # Steps have added rounding to the sums. G serves only if every nonzero column is in it.
        complete = ~((state.w != 0) & ~pool.entered).any()
        again = partial(from_pool, stats, pool) if refresh is None else refresh
        fresh = tight & (complete if refresh is None else True)
        known = state.u, state.r_2, state.q_r
        sums = jax.lax.cond(fresh, again, lambda _: known, state.w)
        new = _judge(start(state.w, sums), stats, l1, l2)
        idle = jnp.where(new.residual < before.residual, 0, before.idle + 1)
        return new._replace(idle=idle), pool, done + more

    def stop(carry: tuple[State, Pool, Array]) -> Array:
        state, _, done = carry
        ended = (state.idle >= PATIENCE) | (done >= max_iter) | ~jnp.isfinite(state.J)
        return (state.residual <= tol) | ended

    first = _judge(init, stats, l1, l2)
    end, _ = iterate(certified, (first, pool, jnp.int32(0)), stop=stop, max_iter=max_iter)
    return end


def _descend(Q: Array, g: Array, l1: Real, w: Array, *, count: Array | None, tol: Scalar) -> Array:
    """Alternate sweeps, which find the nonzero set, and a solve on it, until sweeps rest."""

    def sweeps(new: Array, g: Array) -> tuple[Array, Array]:
        new, n = sweep(Q, g, l1, new, tol=tol, max_iter=SWEEPS, count=count)
        return new, n < SWEEPS

    def step(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        new = _polish(Q, g, l1, w, carry[0])
        return sweeps(new, g + matmul(Q, new - w))

    # A factorization of a large Q costs more than many sweeps.
    solves = 20 if Q.shape[0] <= EXACT else 0
    first = sweeps(w, g)
    return iterate(step, first, stop=lambda t: t[1], max_iter=solves)[0][0] if solves else first[0]


def _polish(Q: Array, g: Array, l1: Real, w: Array, new: Array) -> Array:
    """Solve on the nonzero set of new, g being the gradient at w."""
    return solve_on_support(Q, matmul(Q, w) - g, l1, new)
