"""Scaled dot-product attention by hand, for one head, and the layer of several heads.

z_ij = c q_i'k_j,   p_ij = m_ij e^(z_ij) / sum_l m_il e^(z_il),   o_i = sum_j p_ij v_j

Symbols: c = scale; m = keep, 1 where query i may attend to key j, else 0; 0/0 = 0 in a row of m
without a 1. The rest as in jaxml.nn.attention.
"""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Bool, Float, Real, Scalar

__all__ = [
    "Moments", "apply", "backward", "backward_through_weights", "layer", "layer_backward",
    "scale_gradient", "score_variance", "softmax_slope",
]  # fmt: skip

Queries = Float[Array, "t d"]
Keys = Float[Array, "s d"]
Values = Float[Array, "s e"]
Keep = Bool[Array, "t s"]
dot = partial(jnp.dot, precision=Precision.HIGHEST)
einsum = partial(jnp.einsum, precision=Precision.HIGHEST)


class Moments(NamedTuple):
    """Of an average over independent draws."""

    mean: Scalar
    standard_error: Scalar


def _weights(z: Float[Array, "t s"], keep: Keep) -> Float[Array, "t s"]:
    """p, by the shift of a row that puts its largest kept score at 0."""
    low = jnp.where(keep, z, -1e300 if z.dtype == jnp.float64 else -1e30)
    e = jnp.where(keep, jnp.exp(low - low.max(axis=1)[:, None]), 0.0)
    total = e.sum(axis=1)
    return e / jnp.where(total > 0, total, 1.0)[:, None]


def apply(q: Queries, k: Keys, v: Values, keep: Keep, *, scale: Real) -> Float[Array, "t e"]:
    """Return o."""
    return dot(_weights(scale * dot(q, k.T), keep), v)


def backward(
    q: Queries, k: Keys, v: Values, g: Float[Array, "t e"], keep: Keep, *, scale: Real
) -> tuple[Queries, Keys, Values]:
    """Return (dL/dq, dL/dk, dL/dv)."""
    # o_i = sum_j p_ij v_j  =>  dL/dv_j = sum_i p_ij g_i,   dL/dp_ij = g_i'v_j =: a_ij
    # softmax: dp_ij = p_ij (dz_ij - sum_l p_il dz_il)
    # => dL/dz_ij = p_ij (a_ij - sum_l p_il a_il) =: b_ij;  0 where m_ij = 0, since p_ij is
    # z_ij = c q_i'k_j  =>  dL/dq_i = c sum_j b_ij k_j,   dL/dk_j = c sum_i b_ij q_i
    p = _weights(scale * dot(q, k.T), keep)
    a = dot(g, v.T)
    b = p * (a - (p * a).sum(axis=1)[:, None])
    return scale * dot(b, k), scale * dot(b.T, q), dot(p.T, g)


def backward_through_weights(
    q: Queries, k: Keys, v: Values, g: Float[Array, "t e"], keep: Keep, *, scale: Real
) -> tuple[Queries, Keys, Values]:
    """Return the wrong backward that takes the sum in the softmax for a constant."""
    p = _weights(scale * dot(q, k.T), keep)
    b = p * dot(g, v.T)
    return scale * dot(b, k), scale * dot(b.T, q), dot(p.T, g)


def scale_gradient(
    q: Queries, k: Keys, v: Values, g: Float[Array, "t e"], keep: Keep, *, scale: Real
) -> Scalar:
    """Return dL/dc."""
    # z_ij = c q_i'k_j  =>  dL/dc = sum_ij b_ij q_i'k_j
    z = dot(q, k.T)
    p = _weights(scale * z, keep)
    a = dot(g, v.T)
    return (p * (a - (p * a).sum(axis=1)[:, None]) * z).sum()


# -- the layer: x (t, m) to queries, keys and values of h heads of d = m/h features, and back
def _heads(params: tuple, x: Float[Array, "t m"]) -> tuple[Array, Array, Array]:
    W, b = params[:2]
    q, k, v = (einsum("im,mhd->hid", x, W[:, r]) + b[r][:, None, :] for r in range(3))
    return q, k, v


def layer(params: tuple, x: Float[Array, "t m"], keep: Bool[Array, "t t"]) -> Float[Array, "t m"]:
    """Return y = [o_1 ... o_h] W_o + b_o; params = (W (m, 3, h, d), b, W_o (h, d, m), b_o)."""
    q, k, v = _heads(params, x)
    c = q.shape[2] ** -0.5
    o = jnp.stack([apply(*one, keep, scale=c) for one in zip(q, k, v, strict=True)])
    return einsum("hid,hdm->im", o, params[2]) + params[3][None, :]


def layer_backward(
    params: tuple, x: Float[Array, "t m"], g: Float[Array, "t m"], keep: Bool[Array, "t t"]
) -> tuple[tuple, Float[Array, "t m"]]:
    """Return (dL/dparams, dL/dx)."""
    # y_i = sum_h o_ih W_oh + b_o  =>  dL/dW_oh = sum_i o_ih g_i',  dL/db_o = sum_i g_i,
    #                                  dL/do_ih = W_oh g_i
    # each head by backward above: its dL/dq, dL/dk, dL/dv
    # q_ih = x_i W_qh + b_qh, and so for k, v:
    # => dL/dW_qh = sum_i x_i (dL/dq_ih)',  dL/db_qh = sum_i dL/dq_ih,
    #    dL/dx_i = sum over q, k, v and heads of W_qh dL/dq_ih
    W, _, W_o, _ = params
    q, k, v = _heads(params, x)
    c = q.shape[2] ** -0.5
    o = jnp.stack([apply(*one, keep, scale=c) for one in zip(q, k, v, strict=True)])
    do = einsum("im,hdm->hid", g, W_o)
    back = [backward(*one, keep, scale=c) for one in zip(q, k, v, do, strict=True)]
    r = jnp.stack([jnp.stack(of) for of in zip(*back, strict=True)])  # (3, h, t, d)
    dW, db = einsum("im,rhid->mrhd", x, r), r.sum(axis=2)
    dx = einsum("rhid,mrhd->im", r, W)
    return (dW, db, einsum("hid,im->hdm", o, g), g.sum(axis=0)), dx


# -- why the scores are scaled
def score_variance(d: int, n: int, *, scale: Real) -> Moments:
    """Return mean and standard error of the average of z^2 over n scores z = c q'k."""
    # q_i, k_i independent, N(0, 1): x_i = q_i k_i has mean 0, E x_i^2 = 1, E x_i^4 = 3^2 = 9
    # => E (q'k)^2 = d = Var(q'k),   E (q'k)^4 = 9 d + 3 d (d - 1) = 3 d^2 + 6 d
    # => Var (q'k)^2 = 2 d^2 + 6 d;  c = d^(-1/2) makes the variance of a score 1
    return Moments(jnp.asarray(scale**2 * d), scale**2 * jnp.sqrt((2.0 * d**2 + 6.0 * d) / n))


def softmax_slope(variance: Real, n: int) -> Moments:
    """Return mean and standard error of the average of p (1 - p), p = sigma(z), z ~ N(0, variance).

    p (1 - p) = dp/dz is what a softmax over two keys lets through; z is the difference of scores.
    """
    # sigma' is the logistic density, so E sigma'(z) is the density at 0 of z + a logistic variable:
    # near 1 / (2 pi variance)^(1/2) for large variance. Scores of variance d differ with 2 d:
    # => E p (1 - p) ~ (4 pi d)^(-1/2), which vanishes with d; scaled, the variance is 2 for all d
    # The integrand is analytic and falls off at both ends: the trapezoid rule is exact to rounding.
    z = jnp.linspace(-60.0, 60.0, 4001)
    slope = 0.25 / jnp.cosh(0.5 * z) ** 2
    density = jnp.exp(-0.5 * z**2 / variance) / jnp.sqrt(2.0 * jnp.pi * variance)
    mean, square = ((z[1] - z[0]) * (slope**m * density).sum() for m in (1, 2))
    return Moments(mean, jnp.sqrt((square - mean**2) / n))
