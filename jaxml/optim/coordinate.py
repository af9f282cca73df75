"""Cyclic coordinate descent for a quadratic with an L1 penalty.

    f(w) = 1/2 w'Q w - h'w + l1 ||w||_1,    Q symmetric positive semi-definite

    w_j <- prox_{l1/Q_jj}(w_j - g_j / Q_jj),    g = Q w - h kept up to date by g <- g + delta_j Q_j

Reference: Friedman, Hastie, Tibshirani (2010), Regularization paths for generalized linear models
via coordinate descent, eq. (10), covariance updates.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import penalties
from jaxml._loop import iterate
from jaxml._numerics import matmul
from jaxml._typing import Array, Float, Int, Real, Scalar

__all__ = ["coordinate_descent", "solve_on_support", "sweep"]


class _State(NamedTuple):
    w: Float[Array, " d"]
    g: Float[Array, " d"]  # Q w - h
    change: Scalar  # max_j |delta_j| Q_jj^(1/2) in the last sweep


def coordinate_descent(
    Q: Float[Array, "d d"],
    h: Float[Array, " d"],
    *,
    l1: Real,
    init: Float[Array, " d"],
    tol: Real,
    max_iter: int = 100,
) -> tuple[Float[Array, " d"], Int[Array, ""]]:
    """Return an approximate minimizer of f and the number of sweeps.

    Args:
      Q: Symmetric, PSD; a coordinate with Q_jj = 0 is left where it is.
      h: Linear term.
      l1: Penalty, >= 0.
      init: Where to start.
      tol: Stop after a sweep in which no coordinate moved f by more than tol^2 / 2.
      max_iter: Bound on the sweeps.
    """
    return sweep(Q, matmul(Q, init) - h, l1, init, tol=tol, max_iter=max_iter)


def sweep(
    Q: Float[Array, "d d"],
    g: Float[Array, " d"],
    l1: Real,
    w: Float[Array, " d"],
    *,
    tol: Real,
    max_iter: int,
    count: Int[Array, ""] | None = None,
) -> tuple[Float[Array, " d"], Int[Array, ""]]:
    """As coordinate_descent, from g = Q w - h at w; only the first count coordinates move."""
    coordinates = g.shape[0] if count is None else count
    curvature = jnp.diag(Q)
    safe = jnp.where(curvature > 0, curvature, 1.0)
    step = jnp.where(curvature > 0, 1.0 / safe, 0.0)
    root = jnp.sqrt(jnp.where(curvature > 0, curvature, 0.0))

    def coordinate(j: Array, state: _State) -> _State:
        w, g, change = state
        new = penalties.prox_l1(w[j] - step[j] * g[j], step[j] * l1)
        delta = new - w[j]
        moved = jnp.maximum(change, jnp.abs(delta) * root[j])
        return _State(w.at[j].set(new), g + delta * Q[j], moved)

    def once(state: _State) -> _State:
        fresh = state._replace(change=jnp.zeros_like(state.change))
        return jax.lax.fori_loop(0, coordinates, coordinate, fresh)

    start = _State(w, g, jnp.array(jnp.inf, g.dtype))
    # Written so that a NaN ends the loop.
    end, n_iter = iterate(once, start, stop=lambda t: ~(t.change > tol), max_iter=max_iter)
    return end.w, n_iter


def solve_on_support(
    Q: Float[Array, "d d"], h: Float[Array, " d"], l1: Real, w: Float[Array, " d"]
) -> Float[Array, " d"]:
    """Solve Q_AA w_A = h_A - l1 sign(w_A) on the nonzero set A; keep w if a sign would change.

    Where A and its signs are those of the minimizer of f, the result is the minimizer.
    """
    alive = w != 0
    Q_A = jnp.where(alive[:, None] & alive[None, :], Q, 0.0) + jnp.diag(jnp.where(alive, 0.0, 1.0))
    rhs = jnp.where(alive, h - l1 * jnp.sign(w), 0.0)
    L = jnp.linalg.cholesky(Q_A)
    new = jax.scipy.linalg.cho_solve((L, True), rhs)
    agrees = (jnp.sign(new) == jnp.sign(w)).all() & jnp.isfinite(new).all()
    return jnp.where(agrees, jnp.where(alive, new, 0.0), w)
