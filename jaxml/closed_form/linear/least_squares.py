"""Least squares by hand. Letters as in jaxml.linear.least_squares; p_i = s_i / s, z = X w + b."""

from functools import partial

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Column, Float, Rows, Scalar

__all__ = [
    "gradient", "gram_condition", "hessian", "r_squared", "solution", "standard_errors",
    "variance_inflation",
]  # fmt: skip

Pair = tuple[Float[Array, " d"], Scalar]  # (w, b)
dot = partial(jnp.dot, precision=Precision.HIGHEST)


def _weighted(X: Rows, y: Column, s: Column) -> tuple[Rows, Column, Float[Array, " d"], Scalar]:
    # dJ/db = 0  =>  b = m_y - m_x'w: what remains is min ||A w - q||^2 / 2
    p = s / s.sum()
    m_x, m_y = (p[:, None] * X).sum(axis=0), (p * y).sum()
    return jnp.sqrt(p)[:, None] * (X - m_x[None, :]), jnp.sqrt(p) * (y - m_y), m_x, m_y


def gradient(params: Pair, X: Rows, y: Column, *, sample_weight: Column) -> Pair:
    """Return dJ/d(w, b) by the chain rule through z."""
    # J = sum_i p_i (z_i - y_i)^2 / 2:  dJ/dz_i = p_i (z_i - y_i) =: r_i
    # dz_i/dw = x_i, dz_i/db = 1
    # => dJ/dw = X'r,  dJ/db = 1'r
    w, b = params
    r = sample_weight / sample_weight.sum() * (dot(X, w) + b - y)
    return dot(r, X), r.sum()


def hessian(params: Pair, X: Rows, y: Column, *, sample_weight: Column) -> tuple[Pair, Pair]:
    """Return ((J_ww, J_wb), (J_bw, J_bb)), the same everywhere."""
    # dr_i/dw = p_i x_i, dr_i/db = p_i  =>  J_ww = X'PX,  J_wb = X'p,  J_bb = 1
    del params, y
    p = sample_weight / sample_weight.sum()
    m = dot(p, X)
    return (dot(X.T, p[:, None] * X), m), (m, p.sum())


def solution(X: Rows, y: Column, *, sample_weight: Column) -> Pair:
    """Return the minimizer of least ||w||, by SVD."""
    # A = U S V':  w = V S^+ U'q, with S^+ = 1/S where S is not rounding and 0 elsewhere
    # (Golub, Van Loan, section 5.5.2)
    A, q, m_x, m_y = _weighted(X, y, sample_weight)
    U, S, Vt = jnp.linalg.svd(A, full_matrices=False)
    alive = S / S[0] > max(A.shape) * jnp.finfo(S.dtype).eps
    w = dot(jnp.where(alive, dot(q, U) / jnp.where(alive, S, 1.0), 0.0), Vt)
    return w, m_y - (m_x * w).sum()


def gram_condition(X: Rows) -> Scalar:
    """Return cond(X'X) from the singular values of X."""
    # X = U S V'  =>  X'X = V S^2 V'  =>  cond(X'X) = (S_1 / S_d)^2 = cond(X)^2
    S = jnp.linalg.svd(X, compute_uv=False)
    return (S[0] / S[-1]) ** 2


def variance_inflation(X: Rows, *, sample_weight: Column) -> Float[Array, " d"]:
    """Return VIF_j = 1 / (1 - R_j^2), by regressing each column on the others."""
    # 1 - R_j^2 = RSS_j / TSS_j of column j on the others, all centered. RSS_j is what QR leaves
    # of a column that is put last: its last diagonal entry, squared.
    A, _, _, _ = _weighted(X, X[:, 0], sample_weight)
    d, found = X.shape[1], []
    for j in range(d):
        last = jnp.concatenate([A[:, :j], A[:, j + 1 :], A[:, j : j + 1]], axis=1)
        R = jnp.linalg.qr(last, mode="r")
        found.append((A[:, j] ** 2).sum() / R[d - 1, d - 1] ** 2)
    return jnp.stack(found)


def standard_errors(params: Pair, X: Rows, y: Column, *, sample_weight: Column) -> Pair:
    """Return the classical standard errors of w and b, weights counting observations."""
    # Cov(w, b) = sigma^2 ([X 1]' S [X 1])^-1,  sigma^2 = RSS / (sum s - d - 1)   (ESL eq. 3.8)
    w, b = params
    r = y - (dot(X, w) + b)
    B = jnp.sqrt(sample_weight)[:, None] * jnp.concatenate([X, jnp.ones_like(X[:, :1])], axis=1)
    R = jnp.linalg.qr(B, mode="r")
    R_inv = jnp.linalg.solve(R, jnp.eye(R.shape[0], dtype=R.dtype))
    sigma_2 = (sample_weight * r**2).sum() / (sample_weight.sum() - R.shape[0])
    se = jnp.sqrt(sigma_2 * (R_inv**2).sum(axis=1))
    return se[:-1], se[-1]


def r_squared(params: Pair, X: Rows, y: Column, *, sample_weight: Column) -> Scalar:
    """Return 1 - RSS/TSS."""
    w, b = params
    p = sample_weight / sample_weight.sum()
    z = dot(X, w) + b
    return 1.0 - (p * (y - z) ** 2).sum() / (p * (y - (p * y).sum()) ** 2).sum()
