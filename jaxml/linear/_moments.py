"""Sums over rows that a penalized least-squares fit needs, about the center (c, c_y).

a = x - c, q = y - c_y, p_i = s_i / s;    r = q - a'w - v with v = m_q - m'w
h = sum_i p_i (q_i - m_q) a_i,   G = sum_i p_i (a_i - m)(a_i - m)',   u = sum_i p_i r_i a_i
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml._lanes import any_lane, weighted_sums
from jaxml._numerics import matmul
from jaxml._sums import sum_over_rows, total
from jaxml._typing import Array, Column, Float, Int, Rows, Scalar
from jaxml.linear import _affine

__all__ = ["Moments", "correlate", "gram_rows", "moments"]


class Moments(NamedTuple):
    """Sums of the data; m and m_q are 0 without an intercept."""

    c: Float[Array, " d"]
    c_y: Scalar
    m: Float[Array, " d"]  # sum_i p_i a_i
    m_q: Scalar  # sum_i p_i q_i
    sd: Float[Array, " d"]  # of the columns
    null: Scalar  # J at w = 0
    gram: Float[Array, "d d"] | None  # G, if the whole of it is wanted
    h: Float[Array, " d"]


def moments(X: Rows, y: Column, s: Column, *, fit_intercept: bool, precompute: bool) -> Moments:
    """Take the sums in one pass, the whole Gram matrix among them if precompute."""
    X, y, s = jax.lax.stop_gradient((X, y, s))
    shared = any_lane(s)
    c = _affine.center(X, shared, fit_intercept=fit_intercept)
    c_y = jnp.mean(y) if fit_intercept else jnp.zeros((), y.dtype)

    def sums(p: Column, X: Rows, y: Column, c: Array, c_y: Scalar) -> tuple[Any, ...]:
        (root, B), q = _affine.weigh(X, p, c), y - c_y
        second = matmul(B.T, B) if precompute else jnp.sum(B * B, axis=0)
        return second, matmul(root, B), matmul(root * q, B), total(p * q), total(p * q**2), total(p)

    *sums_p, mass = weighted_sums(sums, s / shared.sum(), (X, y), (c, c_y))
    second, m, h, m_q, q_2 = (sum_p / mass for sum_p in sums_p)
    if not fit_intercept:
        m, m_q = jnp.zeros_like(m), jnp.zeros_like(m_q)
    gram = second - m[:, None] * m[None, :] if precompute else None
    sd = _affine.deviation(second - m**2 if gram is None else jnp.diag(gram), c)
    null = 0.5 * _affine.deviation(q_2 - m_q**2, c_y) ** 2
    return Moments(c, c_y, m, m_q, sd, null, gram, h - m * m_q)


def gram_rows(X: Rows, s: Column, stats: Moments, columns: Int[Array, " k"]) -> Float[Array, "k d"]:
    """G[columns], by a pass over the data; rows of 0 for columns that do not exist."""
    c, m = stats.c, stats.m

    def sums(X: Rows, p: Column) -> Array:
        _, B = _affine.weigh(X, p, c)
        return matmul(B.at[:, columns].get(mode="fill", fill_value=0.0).T, B)

    m_k = m.at[columns].get(mode="fill", fill_value=0.0)
    return sum_over_rows(sums, X, s / s.sum()) - m_k[:, None] * m[None, :]


def correlate(
    X: Rows, y: Column, s: Column, stats: Moments, w: Float[Array, " d"]
) -> tuple[Array, Scalar, Scalar]:
    """u, r'r and q'r at w, by a pass over the data."""
    c, c_y, m_q = stats.c, stats.c_y, stats.m_q
    v = m_q - stats.m @ w

    def sums(X: Rows, y: Column, p: Column) -> tuple[Array, Scalar, Scalar]:
        A, q = X - c[None, :], y - c_y
        r = q - matmul(A, w) - v
        return matmul(p * r, A), total(p * r**2), total(p * r * (q - m_q))

    return sum_over_rows(sums, X, y, s / s.sum())
