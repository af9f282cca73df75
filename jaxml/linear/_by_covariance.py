"""Rounds of a working set on rows of the Gram matrix: coordinate descent by covariance updates.

For many rows. A group of columns that enters costs one pass over the data, which gives its rows of
the Gram matrix G; with them coordinate descent, the correlations u of all columns and the duality
gap need no data: a step d moves u by -G d.

Reference: Friedman, Hastie, Tibshirani (2010), Regularization paths for generalized linear models
via coordinate descent, section 2.2.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jaxml._loop import iterate
from jaxml._numerics import matmul
from jaxml._typing import Array, Real, Scalar
from jaxml.linear._moments import Moments
from jaxml.linear._pool import Pool, enter
from jaxml.linear._working_set import State, is_tight
from jaxml.optim.coordinate import solve_on_support, sweep

__all__ = ["advance"]

SWEEPS = 1000  # between two solves on the nonzero set
EXACT = 640  # columns up to which a tight tolerance ends with a solve on the nonzero set


def advance(
    rows: Callable[[Array], Array],
    stats: Moments,
    tol: Scalar,
    l1: Scalar,
    l2: Scalar,
    state: State,
    pool: Pool,
) -> tuple[State, Pool, Array]:
    """Let columns enter and minimize on those that have; return also whether any entered.

    Args:
      rows: Columns -> G[columns].
      stats: Sums of the data.
      tol: What the residual must not exceed.
      l1: Penalty.
      l2: Penalty.
      state: Where to start.
      pool: Columns that have entered.
    """
    exact = is_tight(tol) & (pool.columns.shape[0] <= EXACT)

    def take(pool: Pool, values: Array) -> Array:
        return values.at[pool.columns].get(mode="fill", fill_value=0.0)

    pool, entered = enter(pool, state.w, jnp.abs(state.u - l2 * state.w), l1, l2, rows)
    old, g = take(pool, state.w), -take(pool, state.u - l2 * state.w)
    # Without l2 the gap is linear in the error of w. A solve on the nonzero set ends it.
    aim = jnp.where(exact, jnp.sqrt(1e-3 * tol), 0.1 * tol) * jnp.sqrt(stats.null)
    new = _descend(pool.gram, g, l1, old, count=pool.size, tol=aim)
    if pool.columns.shape[0] <= EXACT:
        polish = partial(_polish, pool.gram, g, l1, old)
        new = jax.lax.cond(exact, polish, lambda new: new, new)
    step = new - old
    u = state.u - matmul(step, pool.rows)
    r_2 = state.r_2 - step @ take(pool, state.u + u)
    q_r = state.q_r - step @ take(pool, stats.h)
    w = state.w.at[pool.columns].set(new, mode="drop")
    return state._replace(w=w, u=u, r_2=r_2, q_r=q_r), pool, entered


def _descend(Q: Array, g: Array, l1: Real, w: Array, *, count: Array, tol: Scalar) -> Array:
    """Alternate sweeps, which find the nonzero set, and a solve on it, until sweeps rest."""

    def sweeps(new: Array, g: Array) -> tuple[Array, Array]:
        new, _, n = sweep(Q, g, l1, new, tol=tol, max_iter=SWEEPS, count=count)
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
