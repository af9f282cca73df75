"""Rounds of a working set on the whole Gram matrix: coordinate descent by covariance updates.

For a path of penalties, for few columns, and for lanes that share the matrix: coordinate steps keep
the correlations of all columns up to date, and a round costs no more than its steps.

Symbols: as in _moments; Q = G + l2 I, and g = Q w - h = l2 w - u.
Reference: Friedman, Hastie, Tibshirani (2010), Regularization paths for generalized linear models
via coordinate descent, sections 2.2 and 2.5.
"""

import jax
import jax.numpy as jnp

from jaxml._numerics import matmul
from jaxml._typing import Array, Float, Scalar
from jaxml.linear._moments import Moments
from jaxml.linear._working_set import State, Sums, is_tight, start
from jaxml.optim.coordinate import solve_on_support, sweep

__all__ = ["advance", "curvature", "refresh"]

SWEEPS = 100  # in a round that can end with a solve, else ten times as many
EXACT = 640  # columns up to which such a solve, on the nonzero set, costs less than sweeps


def curvature(G: Float[Array, "d d"], stats: Moments, l2: Scalar) -> Float[Array, "d d"]:
    """Q, 0 where a column does not vary."""
    return jnp.where((stats.sd > 0)[:, None], G + l2 * jnp.eye(G.shape[0], dtype=G.dtype), 0.0)


def advance(
    Q: Array, stats: Moments, tol: Scalar, l1: Scalar, l2: Scalar, state: State, pool: None
) -> tuple[State, None, Array]:
    """Minimize over the columns that are not 0 or press; as _by_covariance.advance."""
    w, g = state.w, l2 * state.w - state.u
    active = (w != 0) | (jnp.abs(g) > l1)
    (order,) = jnp.nonzero(active, size=w.shape[0], fill_value=0)
    order, count = order.astype(jnp.int32), jnp.sum(active).astype(jnp.int32)
    few = Q.shape[0] <= EXACT
    tight = is_tight(tol) & few
    # Without l2 the gap is linear in the error of w. A solve on the nonzero set ends it.
    near = jnp.minimum(tol, 0.1 * state.residual)
    aim = jnp.where(tight, jnp.sqrt(1e-3 * tol), near) * jnp.sqrt(stats.null)
    most = SWEEPS if few else 10 * SWEEPS
    w, g, n = sweep(Q, g, l1, w, tol=aim, max_iter=most, count=count, order=order)
    if few:

        def solved() -> tuple[Array, Array]:
            new = solve_on_support(Q, stats.h, l1, w)
            return new, matmul(Q, new) - stats.h

        w, g = jax.lax.cond(tight | (n == most), solved, lambda: (w, g))
    u = l2 * w - g
    return start(w, (u, *_squares(stats, w, u))), pool, jnp.array(False)


def refresh(G: Array, stats: Moments, state: State, pool: None) -> Sums:
    """u, r'r and q'r without the rounding of steps."""
    del pool
    u = stats.h - matmul(G, state.w)
    return u, *_squares(stats, state.w, u)


def _squares(stats: Moments, w: Array, u: Array) -> tuple[Scalar, Scalar]:
    """r'r and q'r."""
    q_r = 2 * stats.null - stats.h @ w
    return q_r - u @ w, q_r
