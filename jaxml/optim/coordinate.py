"""Cyclic coordinate descent for a quadratic with an L1 penalty.

    f(w) = 1/2 w'Q w - h'w + l1 ||w||_1,    Q symmetric positive semi-definite

    w_j <- prox_{l1/Q_jj}(w_j - g_j / Q_jj),    g = Q w - h kept up to date by g <- g + delta_j Q_j

For Q = A A' + l2 I the same steps need no more of Q than its blocks Q_b = A_b A_b' + l2 I on the
diagonal: with the residual r = q - A'w a block has g_b = l2 w_b - A_b r, and moves r by -A_b'delta.

Reference: Friedman, Hastie, Tibshirani (2010), Regularization paths for generalized linear models
via coordinate descent, eq. (8), naive updates, and eq. (10), covariance updates.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _lapack, penalties
from jaxml._loop import iterate
from jaxml._numerics import matmul
from jaxml._typing import Array, Float, Int, Real, Scalar

__all__ = ["coordinate_descent", "solve_on_support", "sweep", "sweep_residuals", "within_signs"]


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
    w, _, n_iter = sweep(Q, matmul(Q, init) - h, l1, init, tol=tol, max_iter=max_iter)
    return w, n_iter


def sweep(
    Q: Float[Array, "d d"],
    g: Float[Array, " d"],
    l1: Real,
    w: Float[Array, " d"],
    *,
    tol: Real,
    max_iter: int,
    count: Int[Array, ""] | None = None,
    order: Int[Array, " d"] | None = None,
) -> tuple[Float[Array, " d"], Float[Array, " d"], Int[Array, ""]]:
    """As coordinate_descent, from g = Q w - h at w; return w, g and the number of sweeps.

    Only the first count coordinates move, or those that order names first.
    """
    coordinates = g.shape[0] if count is None else count
    step, root = _scales(jnp.diag(Q))

    def once(state: _State) -> _State:
        fresh = state._replace(change=jnp.zeros_like(state.change))
        return _pass(Q, step, root, l1, fresh, coordinates, order)

    start = _State(w, g, jnp.array(jnp.inf, g.dtype))
    # Written so that a NaN ends the loop.
    end, n_iter = iterate(once, start, stop=lambda t: ~(t.change > tol), max_iter=max_iter)
    return end.w, end.g, n_iter


def sweep_residuals(
    A: Float[Array, "g b n"],
    Q: Float[Array, "g b b"],
    r: Float[Array, " n"],
    l1: Real,
    l2: Real,
    w: Float[Array, "g b"],
    *,
    tol: Real,
    max_iter: int,
    count: Int[Array, ""],
) -> tuple[Float[Array, "g b"], Float[Array, " n"], Int[Array, ""]]:
    """As sweep, over the first count blocks of b coordinates; return w, r and the sweeps.

    Args:
      A: Blocks of b rows.
      Q: A_b A_b' + l2 I of each block.
      r: The residual q - A'w.
      l1: Penalty.
      l2: Penalty.
      w: Where to start.
      tol: As for coordinate_descent.
      max_iter: Bound on the sweeps.
      count: Blocks that take part.
    """
    step, root = _scales(jnp.diagonal(Q, axis1=1, axis2=2))

    def block(i: Array, carry: tuple[Array, Array, Scalar]) -> tuple[Array, Array, Scalar]:
        w, r, change = carry
        start = _State(w[i], l2 * w[i] - matmul(A[i], r), change)
        end = _pass(Q[i], step[i], root[i], l1, start, w.shape[1])
        return w.at[i].set(end.w), r - matmul(end.w - w[i], A[i]), end.change

    def once(carry: tuple[Array, Array, Scalar]) -> tuple[Array, Array, Scalar]:
        w, r, change = carry
        return jax.lax.fori_loop(0, count, block, (w, r, jnp.zeros_like(change)))

    start = w, r, jnp.array(jnp.inf, r.dtype)
    (w, r, _), n_iter = iterate(once, start, stop=lambda t: ~(t[2] > tol), max_iter=max_iter)
    return w, r, n_iter


def _scales(curvature: Array) -> tuple[Array, Array]:
    """1 / Q_jj, 0 where that is 0, and Q_jj^(1/2)."""
    safe = jnp.where(curvature > 0, curvature, 1.0)
    return jnp.where(curvature > 0, 1.0 / safe, 0.0), jnp.sqrt(jnp.maximum(curvature, 0.0))


def _pass(
    Q: Array,
    step: Array,
    root: Array,
    l1: Real,
    state: _State,
    count: int | Array,
    order: Array | None = None,
) -> _State:
    """One step in each of the first count coordinates."""

    def coordinate(i: Array, state: _State) -> _State:
        w, g, change = state
        j = i if order is None else order[i]
        new = penalties.prox_l1(w[j] - step[j] * g[j], step[j] * l1)
        delta = new - w[j]
        moved = jnp.maximum(change, jnp.abs(delta) * root[j])
        return _State(w.at[j].set(new), g + delta * Q[j], moved)

    return jax.lax.fori_loop(0, count, coordinate, state)


def solve_on_support(
    Q: Float[Array, "d d"], h: Float[Array, " d"], l1: Real, w: Float[Array, " d"]
) -> Float[Array, " d"]:
    """Solve Q_AA w_A = h_A - l1 sign(w_A) on the nonzero set A, and go there from w.

    Where A and its signs are those of the minimizer of f, the result is the minimizer.
    """
    alive = w != 0
    Q_A = jnp.where(alive[:, None] & alive[None, :], Q, 0.0) + jnp.diag(jnp.where(alive, 0.0, 1.0))
    rhs = jnp.where(alive, h - l1 * jnp.sign(w), 0.0)
    return within_signs(w, jnp.where(alive, _lapack.cho_solve(_lapack.cholesky(Q_A), rhs), 0.0))


def within_signs(w: Float[Array, "..."], new: Float[Array, "..."]) -> Float[Array, "..."]:
    """Go from w to new, or to where the first sign changes, and be 0 there; w if new is not finite.

    Where new minimizes f for the signs of w, f falls on the way.
    """
    crossing = w * new < 0
    share = jnp.where(crossing, w / jnp.where(crossing, w - new, 1.0), 1.0)
    t = jnp.min(share)
    moved = w + t * (new - w)
    moved = jnp.where((crossing & (share == t)) | (moved * w < 0), 0.0, moved)
    return jnp.where(jnp.isfinite(new).all(), moved, w)
