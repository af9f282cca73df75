"""Least squares with L1 and L2 penalties, by coordinate descent on a growing set of columns.

    J(w, b) = 1/2 sum_i p_i (x_i'w + b - y_i)^2 + l1 ||w||_1 + l2/2 ||w||_2^2,    p_i = s_i / s

Only the columns that are in, or press hardest to come in, are put into a small Gram matrix, where
a sweep is cheap; then all columns are judged by the duality gap. Once the set of nonzero
coefficients stands, their linear system is solved directly.

Symbols: a = x - c, q = y - c_y, r = q - a'w - v with v = m_q - m'w, u = sum_i p_i r_i a_i.
Reference: Massias, Gramfort, Salmon (2018), Celer: a fast solver for the lasso with dual
extrapolation, section 3; Friedman et al. (2010) for covariance updates.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml._loop import iterate
from jaxml._numerics import matmul, sum_over_rows, total
from jaxml._typing import Array, Column, Float, Int, Rows, Scalar
from jaxml.linear import _affine, _duality
from jaxml.linear._affine import Normal
from jaxml.optim.coordinate import coordinate_descent, solve_on_support

__all__ = ["Moments", "State", "minimize", "moments"]

SIZES = (96, 384, 1536, 4096)  # of the working set; the last bounds the nonzero coefficients
SWEEPS = 10  # between two solves on the nonzero set


class Moments(NamedTuple):
    """Sums over rows about the center (c, c_y)."""

    c: Float[Array, " d"]
    c_y: Scalar
    m: Float[Array, " d"]  # sum_i p_i a_i, 0 without an intercept
    m_q: Scalar  # sum_i p_i q_i, likewise
    sd: Float[Array, " d"]  # of the columns
    null: Scalar  # J at w = 0
    gram: Float[Array, "d d"] | None  # sum_i p_i (a_i - m)(a_i - m)', if it is to be kept
    h: Float[Array, " d"]  # sum_i p_i (q_i - m_q) a_i


class State(NamedTuple):
    """An iterate and what is known there."""

    w: Float[Array, " d"]
    u: Float[Array, " d"]
    J: Scalar
    residual: Scalar  # duality gap over J at 0
    idle: Int[Array, ""]  # rounds in a row that did not lower the residual


def moments(X: Rows, y: Column, s: Column, *, fit_intercept: bool, precompute: bool) -> Moments:
    """Take the sums, the whole Gram matrix among them if precompute."""
    p = s / s.sum()
    c = _affine.center(X, s, fit_intercept=fit_intercept)
    c_y = jnp.mean(y) if fit_intercept else jnp.zeros((), y.dtype)

    def sums(X: Rows, y: Column, p: Column) -> tuple[Any, ...]:
        A, q = X - c[None, :], y - c_y
        second = Normal.of(A, p).gram if precompute else matmul(p, A * A)
        return second, matmul(p, A), matmul(p * q, A), total(p * q), total(p * q**2)

    second, m, h, m_q, q_2 = sum_over_rows(sums, X, y, p)
    if not fit_intercept:
        m, m_q = jnp.zeros_like(m), jnp.zeros_like(m_q)
    gram = second - m[:, None] * m[None, :] if precompute else None
    square = second - m**2 if gram is None else jnp.diag(gram)
    sd = _affine.deviation(square, c)
    null = 0.5 * _affine.deviation(q_2 - m_q**2, c_y) ** 2
    return Moments(c, c_y, m, m_q, sd, null, gram, h - m * m_q)


def from_data(X: Rows, y: Column, s: Column, stats: Moments) -> tuple[Callable, Callable]:
    """Return w -> (u, r'r, q'r) and columns -> their Gram matrix, by passes over the data."""
    p = s / s.sum()
    c, c_y, m, m_q = stats.c, stats.c_y, stats.m, stats.m_q

    def correlate(w: Array) -> tuple[Array, Scalar, Scalar]:
        v = m_q - m @ w

        def sums(X: Rows, y: Column, p: Column) -> tuple[Array, Scalar, Scalar]:
            A, q = X - c[None, :], y - c_y
            r = q - matmul(A, w) - v
            return matmul(p * r, A), total(p * r**2), total(p * r * (q - m_q))

        return sum_over_rows(sums, X, y, p)

    def subgram(columns: Array) -> Array:
        def sums(X: Rows, p: Column) -> Array:
            return Normal.of(X[:, columns] - c[columns][None, :], p).gram

        return sum_over_rows(sums, X, p) - m[columns][:, None] * m[columns][None, :]

    return correlate, subgram


def from_gram(G: Float[Array, "d d"], stats: Moments) -> tuple[Callable, Callable]:
    """The same from the whole Gram matrix, without the data."""
    h, null = stats.h, stats.null

    def correlate(w: Array) -> tuple[Array, Scalar, Scalar]:
        u = h - matmul(G, w)
        q_r = 2 * null - h @ w
        return u, q_r - u @ w, q_r

    def subgram(columns: Array) -> Array:
        return G if columns.shape[0] == G.shape[0] else G[columns][:, columns]

    return correlate, subgram


def minimize(
    correlate: Callable[[Array], tuple[Array, Scalar, Scalar]],
    subgram: Callable[[Array], Array],
    stats: Moments,
    init: Array,
    l1: Scalar,
    l2: Scalar,
    *,
    tol: Scalar,
    max_iter: int,
) -> tuple[State, Int[Array, ""]]:
    """Return the last state and the number of rounds.

    Args:
      correlate: w -> (u, r'r, q'r).
      subgram: Columns -> their centered, weighted Gram matrix.
      stats: Sums of the data.
      init: w to start from.
      l1: Penalty.
      l2: Penalty.
      tol: What the residual must not exceed.
      max_iter: Bound on the rounds.
    """
    d = init.shape[0]

    def evaluate(w: Array, idle: Array) -> State:
        u, r_2, q_r = correlate(w)
        J = 0.5 * r_2 + _affine.penalty(w, l1, l2)
        gap = jnp.maximum(_duality.squared_gap(u, r_2, q_r, w, l1, l2), 0.0)
        return State(w, u, J, jnp.where(gap == 0, 0.0, gap / stats.null), idle)

    def stage(size: int, state: State, done: Array) -> tuple[State, Int[Array, ""]]:
        def stop(state: State) -> Array:
            # Little room is left for what presses to come in.
            full = (4 * jnp.sum(state.w != 0) > 3 * size) & (size < min(d, SIZES[-1]))
            return (state.residual <= tol) | (state.idle >= 5) | full | ~jnp.isfinite(state.J)

        def choose(state: State) -> tuple[Array, Array]:
            press = jnp.abs(state.u - l2 * state.w)
            columns = jax.lax.top_k(jnp.where(state.w != 0, jnp.inf, press), size)[1]
            return columns, subgram(columns)

        def step(state: State) -> State:
            columns, Q = choose(state) if everything is None else everything
            old = state.w[columns]
            Q = Q + l2 * jnp.eye(size, dtype=old.dtype)
            Q = jnp.where((stats.sd[columns] > 0)[:, None], Q, 0.0)
            h = matmul(Q, old) + (state.u - l2 * state.w)[columns]
            new = _descend(Q, h, l1, old, tol=jnp.sqrt(1e-3 * tol * stats.null))
            end = evaluate(state.w.at[columns].set(new), jnp.int32(0))
            return end._replace(idle=jnp.where(end.residual < state.residual, 0, state.idle + 1))

        everything = None
        if size == d:  # one Gram matrix serves all rounds, if any are left to do
            columns = jnp.arange(d)
            nothing = jnp.zeros((d, d), state.w.dtype)
            gram = jax.lax.cond(stop(state), lambda: nothing, lambda: subgram(columns))
            everything = columns, gram
        return iterate(step, state, stop=stop, max_iter=max_iter - done)

    state, n_iter = evaluate(init, jnp.int32(0)), jnp.int32(0)
    for size in sorted({min(d, size) for size in SIZES}):
        state, more = stage(size, state._replace(idle=jnp.int32(0)), n_iter)
        n_iter = n_iter + more
    return state, n_iter


def _descend(Q: Array, h: Array, l1: Scalar, w: Array, *, tol: Scalar) -> Array:
    """Alternate sweeps, which find the nonzero set A, and a solve on A, until sweeps rest."""

    def sweeps(w: Array) -> tuple[Array, Array]:
        w, count = coordinate_descent(Q, h, l1=l1, init=w, tol=tol, max_iter=SWEEPS)
        return w, count < SWEEPS

    def step(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        return sweeps(solve_on_support(Q, h, l1, carry[0]))

    w = iterate(step, sweeps(w), stop=lambda t: t[1], max_iter=20)[0][0]
    return solve_on_support(Q, h, l1, w) if w.shape[0] <= SIZES[1] else w
