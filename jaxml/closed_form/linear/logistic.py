"""Logistic regression by hand. Letters as in jaxml.linear.logistic; p_i = s_i / s, z = X w + b.

J(w, b) = sum_i p_i [log(1 + e^(z_i)) - y_i z_i] + l1 ||w||_1 + l2/2 ||w||^2
"""

from functools import partial

import jax.numpy as jnp
from jax.lax import Precision, fori_loop

from jaxml._typing import Array, Column, Float, Labels, Real, Rows, Scalar

__all__ = [
    "derivative_l2", "gradient", "hessian", "likelihood", "solution", "standard_errors",
]  # fmt: skip

Pair = tuple[Float[Array, " d"], Scalar]  # (w, b)
dot = partial(jnp.dot, precision=Precision.HIGHEST)


def _sigma(z: Column) -> Column:
    # 1 / (1 + e^-z) = (1 + tanh(z/2)) / 2
    return 0.5 + 0.5 * jnp.tanh(0.5 * z)


def likelihood(
    params: Pair, X: Rows, y: Labels, *, l1: Real, l2: Real, sample_weight: Column
) -> Scalar:
    """Return minus the weighted mean Bernoulli log-likelihood plus the penalties."""
    # P(y = 1) = sigma(z), P(y = 0) = sigma(-z): log-likelihood sum_i p_i log P(y_i)
    w, b = params
    z = dot(X, w) + b
    p = sample_weight / sample_weight.sum()
    log_P = jnp.log(jnp.where(y == 1, _sigma(z), _sigma(-z)))
    return -(p * log_P).sum() + l1 * jnp.abs(w).sum() + 0.5 * l2 * (w * w).sum()


def gradient(
    params: Pair, X: Rows, y: Labels, *, l1: Real, l2: Real, sample_weight: Column
) -> Pair:
    """Return dJ/d(w, b) where no w_j is 0 (or l1 is)."""
    # dJ/dz_i = p_i (e^z / (1 + e^z) - y_i) = p_i (sigma(z_i) - y_i) =: r_i
    # => dJ/dw = X'r + l1 sign(w) + l2 w,  dJ/db = 1'r     (ESL eq. 4.21)
    w, b = params
    r = sample_weight / sample_weight.sum() * (_sigma(dot(X, w) + b) - y)
    return dot(r, X) + l1 * jnp.sign(w) + l2 * w, r.sum()


def hessian(
    params: Pair, X: Rows, y: Labels, *, l1: Real, l2: Real, sample_weight: Column
) -> tuple[Pair, Pair]:
    """Return ((J_ww, J_wb), (J_bw, J_bb)); l1 adds nothing off its kinks."""
    # dr_i/dz_i = p_i sigma(z_i) sigma(-z_i) =: D_i
    # => J_ww = X'DX + l2 I,  J_wb = X'D1,  J_bb = 1'D1
    del y, l1
    w, b = params
    z = dot(X, w) + b
    D = sample_weight / sample_weight.sum() * _sigma(z) * _sigma(-z)
    m = dot(D, X)
    return (dot(X.T, D[:, None] * X) + l2 * jnp.eye(X.shape[1], dtype=X.dtype), m), (m, D.sum())


def _matrix(blocks: tuple[Pair, Pair]) -> Float[Array, "e e"]:
    (ww, wb), (_, bb) = blocks
    top = jnp.concatenate([ww, wb[:, None]], axis=1)
    return jnp.concatenate([top, jnp.concatenate([wb, bb[None]])[None, :]], axis=0)


def solution(X: Rows, y: Labels, *, l2: Real, sample_weight: Column) -> Pair:
    """Return argmin J for l1 = 0 by Newton's method, undamped, from 0."""
    # (w, b) <- (w, b) - H^-1 g   (ESL eq. 4.23-4.28)
    d = X.shape[1]
    terms = {"l1": 0.0, "l2": l2, "sample_weight": sample_weight}

    def step(_: int, v: Float[Array, " e"]) -> Float[Array, " e"]:
        g_w, g_b = gradient((v[:d], v[d]), X, y, **terms)
        H = _matrix(hessian((v[:d], v[d]), X, y, **terms))
        return v - jnp.linalg.solve(H, jnp.concatenate([g_w, g_b[None]]))

    v = fori_loop(0, 30, step, jnp.zeros(d + 1, X.dtype))
    return v[:d], v[d]


def standard_errors(params: Pair, X: Rows, y: Labels, *, l2: Real, sample_weight: Column) -> Pair:
    """Return the roots of the diagonal of the inverse information; weights count observations."""
    # J is the mean over s = sum s_i observations: information = s H   (ESL eq. 4.29)
    H = _matrix(hessian(params, X, y, l1=0.0, l2=l2, sample_weight=sample_weight))
    se = jnp.sqrt(jnp.diag(jnp.linalg.inv(H)) / sample_weight.sum())
    return se[:-1], se[-1]


def derivative_l2(params: Pair, X: Rows, y: Labels, *, l2: Real, sample_weight: Column) -> Pair:
    """Return d(w, b)/d l2 at the minimizer params, l1 = 0."""
    # g(w(l2), l2) = 0  =>  H d(w, b)/dl2 + dg/dl2 = 0, dg/dl2 = (w, 0)
    w, _ = params
    H = _matrix(hessian(params, X, y, l1=0.0, l2=l2, sample_weight=sample_weight))
    v = -jnp.linalg.solve(H, jnp.concatenate([w, jnp.zeros_like(w[:1])]))
    return v[:-1], v[-1]
