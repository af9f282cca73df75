"""A transformer block by hand, for one sequence x of t rows. Letters as in jaxml.nn.transformer.

pre-norm    u = LN_1(x),  y = x + A(u),        w = LN_2(y),  z = y + F(w)
post-norm   y = LN_1(x + A(x)),                z = LN_2(y + F(y))

params = (LN_1, (W, b, W_o, b_o), LN_2, (W_1, b_1), (W_2, b_2)), LN = (scale, bias), kernels as in
jaxml.nn.attention. Each piece comes as a pair: forward, and backward from the cotangent of what it
returned to those of its parameters and its input.
"""

from functools import partial

import jax.numpy as jnp
from jax.lax import Precision, erf

from jaxml._typing import Array, Bool, Float

__all__ = ["apply", "backward", "backward_without_skips"]

Rows = Float[Array, "t m"]
Keep = Bool[Array, "t t"]
Back = tuple[tuple, Rows]  # (dL/dparams, dL/dx)
einsum = partial(jnp.einsum, precision=Precision.HIGHEST)


def _standard(x: Rows, eps: float) -> tuple[Rows, Array]:
    mu = x.mean(axis=1)[:, None]
    s = jnp.sqrt(((x - mu) ** 2).mean(axis=1)[:, None] + eps)
    return (x - mu) / s, s


def _norm(params: tuple, x: Rows, eps: float) -> Rows:
    return params[0][None, :] * _standard(x, eps)[0] + params[1][None, :]


def _norm_back(params: tuple, x: Rows, g: Rows, eps: float) -> Back:
    # y = scale xhat + bias  =>  dL/dscale = sum_i g_i xhat_i,  dL/dbias = sum_i g_i,
    #                            dL/dxhat = g scale =: h
    # dxhat = [dx - mean dx - xhat mean(xhat dx)]/s, a symmetric map
    # => dL/dx = [h - mean h - xhat mean(xhat h)]/s, means over the features of a row
    xhat, s = _standard(x, eps)
    h = g * params[0][None, :]
    spread = xhat * (xhat * h).mean(axis=1)[:, None]
    dx = (h - h.mean(axis=1)[:, None] - spread) / s
    return ((g * xhat).sum(axis=0), g.sum(axis=0)), dx


def _weights(params: tuple, x: Rows, keep: Keep) -> tuple[Array, ...]:
    """(q, k, v) (t, h, d), and p (h, t, t)."""
    W, b = params[:2]
    q, k, v = (einsum("im,mhd->ihd", x, W[:, r]) + b[r][None] for r in range(3))
    e = jnp.exp(einsum("ihd,jhd->hij", q, k) / jnp.sqrt(1.0 * q.shape[2])) * keep[None]
    return q, k, v, e / e.sum(axis=2)[:, :, None]


def _attention(params: tuple, x: Rows, keep: Keep) -> Rows:
    _, _, v, p = _weights(params, x, keep)
    return einsum("hij,jhd,hdm->im", p, v, params[2]) + params[3][None, :]


def _attention_back(params: tuple, x: Rows, g: Rows, keep: Keep) -> Back:
    # a = sum_h o_h W_oh + b_o, o_h = p_h v_h:
    #   dL/dW_oh = o_h'g,  dL/db_o = sum_i g_i,  dL/do_h = g W_oh' =: r
    #   dL/dv_h = p_h'r,   dL/dp_h = r v_h' =: n
    # p = softmax(z) by rows: dL/dz = p (n - sum_j p n) =: f
    # z = q k' / d^(1/2): dL/dq = f k / d^(1/2),  dL/dk = f'q / d^(1/2)
    # q = x W_q + b_q, and so for k and v: dL/dW_q = x'dL/dq,  dL/db_q = sum_i dL/dq_i,
    #   dL/dx = sum over q, k, v of dL/dq W_q'
    W, _, W_o, _ = params
    q, k, v, p = _weights(params, x, keep)
    o, r = einsum("hij,jhd->ihd", p, v), einsum("im,hdm->ihd", g, W_o)
    n = einsum("ihd,jhd->hij", r, v)
    f = p * (n - (p * n).sum(axis=2)[:, :, None]) / jnp.sqrt(1.0 * q.shape[2])
    dq, dk, dv = (
        einsum("hij,jhd->ihd", f, k),
        einsum("hij,ihd->jhd", f, q),
        einsum("hij,ihd->jhd", p, r),
    )
    three = jnp.stack([dq, dk, dv])
    dW, db = einsum("im,rihd->mrhd", x, three), three.sum(axis=1)
    dx = einsum("rihd,mrhd->im", three, W)
    return (dW, db, einsum("ihd,im->hdm", o, g), g.sum(axis=0)), dx


def _Phi(z: Array) -> Array:
    return 0.5 * (1.0 + erf(z / jnp.sqrt(2.0)))


def _mlp(first: tuple, second: tuple, y: Rows) -> Rows:
    z = einsum("im,mn->in", y, first[0]) + first[1][None, :]
    return einsum("in,nm->im", z * _Phi(z), second[0]) + second[1][None, :]


def _mlp_back(first: tuple, second: tuple, y: Rows, g: Rows) -> tuple[tuple, tuple, Rows]:
    # f = a W_2 + b_2:      dL/dW_2 = a'g,  dL/db_2 = sum_i g_i,  dL/da = g W_2'
    # a = z Phi(z):         dL/dz = dL/da (Phi(z) + z phi(z)) =: r,  phi the normal density
    # z = y W_1 + b_1:      dL/dW_1 = y'r,  dL/db_1 = sum_i r_i,  dL/dy = r W_1'
    z = einsum("im,mn->in", y, first[0]) + first[1][None, :]
    a, phi = z * _Phi(z), jnp.exp(-0.5 * z**2) / jnp.sqrt(2.0 * jnp.pi)
    r = einsum("im,nm->in", g, second[0]) * (_Phi(z) + z * phi)
    one = einsum("im,in->mn", y, r), r.sum(axis=0)
    two = einsum("in,im->nm", a, g), g.sum(axis=0)
    return one, two, einsum("in,mn->im", r, first[0])


def apply(params: tuple, x: Rows, keep: Keep, *, norm: str, eps: float = 1e-5) -> Rows:
    """Return z; every row of keep has a True."""
    ln1, A, ln2, one, two = params
    if norm == "pre":
        y = x + _attention(A, _norm(ln1, x, eps), keep)
        return y + _mlp(one, two, _norm(ln2, y, eps))
    y = _norm(ln1, x + _attention(A, x, keep), eps)
    return _norm(ln2, y + _mlp(one, two, y), eps)


def backward(params: tuple, x: Rows, g: Rows, keep: Keep, *, norm: str, eps: float = 1e-5) -> Back:
    """Return (dL/dparams, dL/dx), params as given."""
    return _backward(params, x, g, keep, norm=norm, eps=eps, skip=1.0)


def backward_without_skips(
    params: tuple, x: Rows, g: Rows, keep: Keep, *, norm: str, eps: float = 1e-5
) -> Back:
    """Return the wrong backward that lets nothing through the identities."""
    return _backward(params, x, g, keep, norm=norm, eps=eps, skip=0.0)


def _backward(
    params: tuple, x: Rows, g: Rows, keep: Keep, *, norm: str, eps: float, skip: float
) -> Back:
    ln1, A, ln2, one, two = params
    if norm == "pre":
        # z = y + F(LN_2(y)):  dL/dy = g + LN_2'(F'(g));  y = x + A(LN_1(x)) likewise
        u = _norm(ln1, x, eps)
        y = x + _attention(A, u, keep)
        d_one, d_two, dw = _mlp_back(one, two, _norm(ln2, y, eps), g)
        d_ln2, through = _norm_back(ln2, y, dw, eps)
        dy = skip * g + through
        d_A, du = _attention_back(A, u, dy, keep)
        d_ln1, through = _norm_back(ln1, x, du, eps)
        return (d_ln1, d_A, d_ln2, d_one, d_two), skip * dy + through
    # z = LN_2(r), r = y + F(y):  dL/dr = LN_2'(g),  dL/dy = dL/dr + F'(dL/dr);  and so for LN_1, A
    before = x + _attention(A, x, keep)
    y = _norm(ln1, before, eps)
    d_ln2, dr = _norm_back(ln2, y + _mlp(one, two, y), g, eps)
    d_one, d_two, through = _mlp_back(one, two, y, dr)
    d_ln1, da = _norm_back(ln1, before, skip * dr + through, eps)
    d_A, through = _attention_back(A, x, da, keep)
    return (d_ln1, d_A, d_ln2, d_one, d_two), skip * da + through
