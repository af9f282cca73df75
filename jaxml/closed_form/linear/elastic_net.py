"""Elastic net by hand; the lasso is l2 = 0. Letters as in jaxml.linear.elastic_net; p_i = s_i / s.

J(w, b) = 1/2 sum_i p_i (x_i'w + b - y_i)^2 + l1 ||w||_1 + l2/2 ||w||^2
"""

import itertools
from functools import partial

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Column, Float, Real, Rows, Scalar

__all__ = ["gap", "gradient", "orthonormal", "solution", "violation"]

Pair = tuple[Float[Array, " d"], Scalar]  # (w, b)
dot = partial(jnp.dot, precision=Precision.HIGHEST)


def gradient(
    params: Pair, X: Rows, y: Column, *, l1: Real, l2: Real, sample_weight: Column
) -> Pair:
    """Return dJ/d(w, b) where no w_j is 0."""
    # d||w||_1/dw = sign(w)  =>  dJ/dw = X'r + l1 sign(w) + l2 w,  r = p (z - y)
    w, b = params
    r = sample_weight / sample_weight.sum() * (dot(X, w) + b - y)
    return dot(r, X) + l1 * jnp.where(w > 0, 1.0, -1.0) + l2 * w, r.sum()


def violation(
    params: Pair, X: Rows, y: Column, *, l1: Real, l2: Real, sample_weight: Column
) -> Pair:
    """Return how far 0 lies from the subdifferential of J, entry by entry."""
    # 0 in g_j + l1 d|w_j|, g = X'r + l2 w:
    #   w_j != 0: g_j + l1 sign(w_j) = 0;   w_j = 0: |g_j| <= l1   (ESL eq. 3.56 and exercise 3.27)
    w, b = params
    r = sample_weight / sample_weight.sum() * (dot(X, w) + b - y)
    g = dot(r, X) + l2 * w
    active = jnp.where(w > 0, g + l1, g - l1)
    return jnp.where(w == 0, jnp.maximum(jnp.abs(g) - l1, 0.0), active), r.sum()


def gap(params: Pair, X: Rows, y: Column, *, l1: Real, l2: Real, sample_weight: Column) -> Scalar:
    """Return J minus a lower bound of min J, by Fenchel duality; l2 = 0 for the lasso."""
    # min_w max_u p'(u (y - z)) - 1/2 p'u^2 + l1 ||w||_1 + l2/2 ||w||^2, best at u = y - z.
    # b is free: p'u = 0.  With c = X'(p u), the inner minimum over w_j is
    #   l2 > 0: -max(|c_j| - l1, 0)^2 / (2 l2);   l2 = 0: 0 if |c_j| <= l1, else -inf
    # => any u with p'u = 0 gives D(u) = p'(u y) - 1/2 p'u^2 - sum_j max(|c_j| - l1, 0)^2 / (2 l2).
    # For the lasso u is scaled down until |c_j| <= l1 holds.
    w, b = params
    p = sample_weight / sample_weight.sum()
    u = y - dot(X, w) - b
    J = 0.5 * (p * u**2).sum() + l1 * jnp.abs(w).sum() + 0.5 * l2 * (w * w).sum()
    u = u - (p * u).sum()
    c = jnp.abs(dot(p * u, X))
    factor = jnp.where(l2 > 0, 1.0, jnp.minimum(1.0, l1 / jnp.maximum(c.max(), l1)))
    u, excess = factor * u, jnp.maximum(factor * c - l1, 0.0)
    conjugate = jnp.where(l2 > 0, (excess**2).sum() / (2.0 * jnp.where(l2 > 0, l2, 1.0)), 0.0)
    return J - ((p * u * y).sum() - 0.5 * (p * u**2).sum() - conjugate)


def orthonormal(X: Rows, y: Column, *, l1: Real, l2: Real) -> Pair:
    """Return the minimizer where the columns have mean 0 and X'X/n = I."""
    # J separates: 1/2 (w_j - c_j)^2 + l1 |w_j| + l2/2 w_j^2 + const, c = X'y/n
    # => w_j = sign(c_j) max(|c_j| - l1, 0) / (1 + l2)   (ESL table 3.4)
    c = dot(y, X) / X.shape[0]
    w = jnp.where(c > l1, c - l1, jnp.where(c < -l1, c + l1, 0.0)) / (1.0 + l2)
    return w, y.mean()


def solution(X: Rows, y: Column, *, l1: Real, l2: Real, sample_weight: Column) -> Pair:
    """Return the minimizer by trying all 3^d sign patterns; for a few columns only."""
    # With signs q in {-1, 0, 1}^d given, J is quadratic on the support S = {q_j != 0}:
    #   (A_SS + l2 I) w_S = c_S - l1 q_S,  A = Xc'P Xc, c = Xc'P yc, w = 0 off S.
    # The minimizer is the solution of its own pattern; of all candidates it has the least J.
    p = sample_weight / sample_weight.sum()
    m_x, m_y = (p[:, None] * X).sum(axis=0), (p * y).sum()
    Xc, yc = X - m_x[None, :], y - m_y
    A, c = dot(Xc.T, p[:, None] * Xc), dot(p * yc, Xc)
    eye = jnp.eye(X.shape[1], dtype=X.dtype)
    patterns = jnp.array(list(itertools.product([-1.0, 0.0, 1.0], repeat=X.shape[1])), X.dtype)
    on = jnp.abs(patterns)
    systems = on[:, :, None] * (A + l2 * eye)[None] * on[:, None, :] + (1.0 - on)[:, :, None] * eye
    w = jnp.linalg.solve(systems, (on * (c[None, :] - l1 * patterns))[:, :, None])[:, :, 0]
    z = dot(w, Xc.T)
    J = 0.5 * (p * (z - yc[None, :]) ** 2).sum(axis=1)
    J = J + l1 * jnp.abs(w).sum(axis=1) + 0.5 * l2 * (w**2).sum(axis=1)
    w = w[jnp.argmin(J)]
    return w, m_y - (m_x * w).sum()
