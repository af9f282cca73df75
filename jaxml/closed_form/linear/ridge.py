"""Ridge regression by hand. Letters as in jaxml.linear.ridge; p_i = s_i / s, z = X w + b."""

from functools import partial

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Column, Float, Real, Rows, Scalar

__all__ = ["derivative_l2", "gradient", "hessian", "shrinkage", "solution"]

Pair = tuple[Float[Array, " d"], Scalar]  # (w, b)
dot = partial(jnp.dot, precision=Precision.HIGHEST)


def gradient(params: Pair, X: Rows, y: Column, *, l2: Real, sample_weight: Column) -> Pair:
    """Return dJ/d(w, b) by the chain rule through z."""
    # dJ/dz_i = p_i (z_i - y_i) =: r_i,  dz_i/dw = x_i,  dz_i/db = 1
    # => dJ/dw = X'r + l2 w,  dJ/db = 1'r
    w, b = params
    r = sample_weight / sample_weight.sum() * (dot(X, w) + b - y)
    return dot(r, X) + l2 * w, r.sum()


def hessian(
    params: Pair, X: Rows, y: Column, *, l2: Real, sample_weight: Column
) -> tuple[Pair, Pair]:
    """Return ((J_ww, J_wb), (J_bw, J_bb)), the same everywhere."""
    # dr_i/dw = p_i x_i, dr_i/db = p_i  =>  J_ww = X'PX + l2 I,  J_wb = X'p,  J_bb = 1
    del params, y
    p = sample_weight / sample_weight.sum()
    m = dot(p, X)
    return (dot(X.T, p[:, None] * X) + l2 * jnp.eye(X.shape[1], dtype=X.dtype), m), (m, p.sum())


def _factors(X: Rows, y: Column, s: Column) -> tuple[Array, ...]:
    # dJ/db = 0  =>  b = m_y - m_x'w.  p^(1/2) Xc = U S V' and q = p^(1/2) yc
    p = s / s.sum()
    m_x, m_y = (p[:, None] * X).sum(axis=0), (p * y).sum()
    A = jnp.sqrt(p)[:, None] * (X - m_x[None, :])
    U, S, Vt = jnp.linalg.svd(A, full_matrices=False)
    return dot(jnp.sqrt(p) * (y - m_y), U), S, Vt, m_x, m_y


def solution(X: Rows, y: Column, *, l2: Real, sample_weight: Column) -> Pair:
    """Return argmin J by SVD, not Cholesky: another route than the one it judges."""
    # V (S^2 + l2) V'w = V S U'q  =>  w = V [S / (S^2 + l2)] U'q   (ESL eq. 3.47: shrinkage)
    Uq, S, Vt, m_x, m_y = _factors(X, y, sample_weight)
    w = dot(S / (S**2 + l2) * Uq, Vt)
    return w, m_y - (m_x * w).sum()


def derivative_l2(X: Rows, y: Column, *, l2: Real, sample_weight: Column) -> Pair:
    """Return d(w, b)/d l2."""
    # d/d l2 [S / (S^2 + l2)] = -S / (S^2 + l2)^2,  db = -m_x'dw
    Uq, S, Vt, m_x, _ = _factors(X, y, sample_weight)
    dw = -dot(S / (S**2 + l2) ** 2 * Uq, Vt)
    return dw, -(m_x * dw).sum()


def shrinkage(X: Rows, *, l2: Real) -> Float[Array, " d"]:
    """Return s_j^2 / (s_j^2 + n l2), what ridge leaves of each principal direction of Xc."""
    # s_j are the singular values of Xc itself: with p_i = 1/n, S^2 = s^2 / n
    s = jnp.linalg.svd(X - X.mean(axis=0)[None, :], compute_uv=False)
    return s**2 / (s**2 + X.shape[0] * l2)
