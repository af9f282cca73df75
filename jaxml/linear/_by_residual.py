"""Rounds of a working set on the data: coordinate descent by residual updates.

For few rows, where a row of the Gram matrix costs more than the steps that it serves. Columns enter
in blocks of b; a block keeps its columns, centered and weighted, and its own b x b block of G.

Reference: Friedman, Hastie, Tibshirani (2010), Regularization paths for generalized linear models
via coordinate descent, section 2.1.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._loop import iterate
from jaxml._numerics import matmul
from jaxml._sums import sum_over_rows
from jaxml._typing import Array, Bool, Column, Float, Int, Rows, Scalar
from jaxml.linear import _affine
from jaxml.linear._moments import Moments
from jaxml.linear._working_set import State
from jaxml.optim.coordinate import sweep_residuals, within_signs

__all__ = ["Blocks", "advance", "empty"]

B = 32  # columns in a block
FIRST = 256  # columns that may enter in a round, at least; else twice as many as are not 0
LOOSE, FINE = 0.01, 0.05  # changes of a_j w_j at which sweeps rest, over the gap and over tol
SWEEPS = 100  # between two solves on the nonzero set
CAPACITY = 4096  # columns that can enter


class Blocks(NamedTuple):
    """The columns that have entered, in order, and the residual."""

    columns: Int[Array, "g b"]  # d where vacant
    A: Float[Array, "g b n"]  # p_i^(1/2) (a_ij - m_j), 0 where vacant
    Q: Float[Array, "g b b"]  # A_b A_b' + l2 I
    r: Float[Array, " n"]  # p_i^(1/2) r_i
    entered: Bool[Array, " d"]
    size: Int[Array, ""]  # blocks


def empty(X: Rows, y: Column, s: Column, stats: Moments, w: Array | None) -> Blocks:
    """No columns yet, the residual at w."""
    (n, d), p = X.shape, s / s.sum()
    g = math.ceil(min(d, CAPACITY, max(2 * n, 512)) / B)
    r = jnp.sqrt(p) * (y - stats.c_y - stats.m_q)
    if w is not None:
        r = r - jnp.sqrt(p) * (matmul(X - stats.c[None, :], w) - stats.m @ w)
    return Blocks(
        jnp.full((g, B), d, jnp.int32),
        jnp.zeros((g, B, n), X.dtype),
        jnp.zeros((g, B, B), X.dtype),
        r,
        stats.sd == 0,
        jnp.int32(0),
    )


def _enter(
    X: Rows, p: Column, stats: Moments, l1: Scalar, l2: Scalar, w: Array, press: Array, pool: Blocks
) -> tuple[Blocks, Array]:
    """Let columns in that press, those that are not 0 first; return also how many blocks."""
    d = w.shape[0]
    press = jnp.where(pool.entered, -1.0, jnp.where(w != 0, jnp.inf, press))
    order = jnp.argsort(-press)
    order = jnp.where(press[order] < 0, d, order).astype(jnp.int32)
    pressing = jnp.sum(press > l1)
    most = jnp.maximum(FIRST, 2 * jnp.sum(w != 0))
    room = pool.A.shape[0] - pool.size
    more = jnp.minimum(room, (jnp.minimum(pressing, most) + B - 1) // B)
    order = jnp.pad(order, (0, -d % B), constant_values=d).reshape(-1, B)

    def block(i: Array, pool: Blocks) -> Blocks:
        chosen = order[i]
        a = X.at[:, chosen].get(mode="fill", fill_value=0.0)
        c, m = (v.at[chosen].get(mode="fill", fill_value=0.0) for v in (stats.c, stats.m))
        root, A = _affine.weigh(a, p, c)
        A = jnp.where(chosen[:, None] < d, A.T - m[:, None] * root[None, :], 0.0)
        Q = matmul(A, A.T) + jnp.where(chosen < d, l2, 0.0)[:, None] * jnp.eye(B, dtype=A.dtype)
        at = pool.size
        return pool._replace(
            columns=pool.columns.at[at].set(chosen),
            A=pool.A.at[at].set(A),
            Q=pool.Q.at[at].set(Q),
            entered=pool.entered.at[chosen].set(True, mode="drop"),
            size=at + 1,
        )

    return jax.lax.fori_loop(0, more, block, pool), more


def advance(
    X: Rows,
    y: Column,
    s: Column,
    stats: Moments,
    tol: Scalar,
    l1: Scalar,
    l2: Scalar,
    state: State,
    pool: Blocks,
) -> tuple[State, Blocks, Array]:
    """Let columns enter and minimize on those that have; return also whether any entered.

    Args:
      X: Features.
      y: Targets.
      s: Weights of the rows.
      stats: Sums of the data.
      tol: What the residual must not exceed.
      l1: Penalty.
      l2: Penalty.
      state: Where to start.
      pool: Columns that have entered.
    """
    p = s / s.sum()
    pool, more = _enter(X, p, stats, l1, l2, state.w, jnp.abs(state.u - l2 * state.w), pool)
    old = state.w.at[pool.columns].get(mode="fill", fill_value=0.0)
    # While many columns enter, w need not be nearer than the gap is small.
    loose = jnp.where(8 * more > pool.size, LOOSE * state.residual, 0.0)
    aim = jnp.maximum(jnp.maximum(loose, FINE * tol), 4 * jnp.finfo(tol.dtype).eps)
    aim = aim * jnp.sqrt(stats.null)
    new, r = _descend(pool, l1, l2, old, tol=aim)

    def sums(X: Rows, p: Column, r: Column) -> Array:
        return matmul(jnp.sqrt(p) * r, X - stats.c[None, :])

    u = sum_over_rows(sums, X, p, r) - stats.m * (jnp.sqrt(p) @ r)
    q = jnp.sqrt(p) * (y - stats.c_y - stats.m_q)
    w = state.w.at[pool.columns].set(new, mode="drop")
    state = state._replace(w=w, u=u, r_2=r @ r, q_r=q @ r)
    return state, pool._replace(r=r), more > 0


def _descend(pool: Blocks, l1: Scalar, l2: Scalar, w: Array, *, tol: Scalar) -> tuple[Array, Array]:
    """Alternate sweeps, which find the nonzero set, and a solve on it, until sweeps rest."""

    def sweeps(w: Array, r: Array) -> tuple[Array, Array, Array]:
        w, r, n = sweep_residuals(
            pool.A, pool.Q, r, l1, l2, w, tol=tol, max_iter=SWEEPS, count=pool.size
        )
        return w, r, n < SWEEPS

    def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        w, r, _ = carry
        return sweeps(*_polish(pool, l1, l2, w, r))

    return iterate(step, sweeps(w, pool.r), stop=lambda t: t[2], max_iter=20)[0][:2]


def _polish(pool: Blocks, l1: Scalar, l2: Scalar, w: Array, r: Array) -> tuple[Array, Array]:
    """Newton's step on the nonzero set, by conjugate gradients, or to the first change of sign."""
    alive = w != 0

    def products(v: Array) -> Array:
        return jnp.where(alive, matmul(pool.A, v), 0.0)

    def forward(w: Array) -> Array:
        return matmul(w.reshape(-1), pool.A.reshape(-1, pool.A.shape[2]))

    def hessian(v: Array) -> Array:
        return products(forward(v)) + l2 * v

    g = jnp.where(alive, l1 * jnp.sign(w) + l2 * w, 0.0) - products(r)
    curvature = jnp.diagonal(pool.Q, axis1=1, axis2=2)
    near = -g / jnp.where(curvature > 0, curvature, 1.0)
    step = jax.scipy.sparse.linalg.cg(hessian, -g, x0=near, tol=1e-6, maxiter=200)[0]
    new = within_signs(w, w + jnp.where(alive, step, 0.0))
    return new, r - forward(new - w)
