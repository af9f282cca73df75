"""The two ends of a decoder by hand, for one sequence. Letters as in jaxml.nn.transformer.decoder.

x_i = m^(1/2) E[token_i] + PE(i);   n = LN(x_L),  z = n W + b,
loss = -1/c sum_i c_i log softmax(z_i)[target_i],   c = sum_i c_i
"""

from functools import partial

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Float, Int, Scalar

__all__ = ["embed", "embed_backward", "head", "head_backward"]

Rows = Float[Array, "t m"]
Labels = Int[Array, " t"]
dot = partial(jnp.dot, precision=Precision.HIGHEST)
EPS = 1e-5


def embed(E: Float[Array, "v m"], tokens: Labels) -> Rows:
    """Return x."""
    m = E.shape[1]
    i, j = jnp.arange(tokens.shape[0])[:, None], jnp.arange(m)[None, :]
    angle = i * 10000.0 ** (-2.0 * (j // 2) / m)
    PE = jnp.where(j % 2 == 0, jnp.sin(angle), jnp.cos(angle))
    one = (tokens[:, None] == jnp.arange(E.shape[0])[None, :]).astype(E.dtype)
    return jnp.sqrt(1.0 * m) * dot(one, E) + PE.astype(E.dtype)


def embed_backward(E: Float[Array, "v m"], tokens: Labels, g: Rows) -> Float[Array, "v m"]:
    """Return dL/dE."""
    # row v of E stands wherever token_i = v: dL/dE_v = m^(1/2) sum over those i of g_i
    rows = [jnp.where((tokens == v)[:, None], g, 0.0).sum(axis=0) for v in range(E.shape[0])]
    return jnp.sqrt(1.0 * E.shape[1]) * jnp.stack(rows)


def _standard(x: Rows) -> tuple[Rows, Array]:
    mu = x.mean(axis=1)[:, None]
    s = jnp.sqrt(((x - mu) ** 2).mean(axis=1)[:, None] + EPS)
    return (x - mu) / s, s


def head(norm: tuple, output: tuple, x: Rows, targets: Labels, counted: Array) -> Scalar:
    """Return the loss; norm = (scale, bias), output = (W, b), counted = c_i."""
    z = dot(norm[0][None, :] * _standard(x)[0] + norm[1][None, :], output[0]) + output[1][None, :]
    p = jnp.exp(z) / jnp.exp(z).sum(axis=1)[:, None]
    right = targets[:, None] == jnp.arange(z.shape[1])[None, :]
    return -(counted * jnp.log((p * right).sum(axis=1))).sum() / counted.sum()


def head_backward(
    norm: tuple, output: tuple, x: Rows, targets: Labels, counted: Array
) -> tuple[tuple, tuple, Rows]:
    """Return (dL/dnorm, dL/doutput, dL/dx)."""
    # -log softmax(z)[y] = log sum_v e^(z_v) - z_y
    # => dL/dz_i = c_i/c (softmax(z_i) - [v = y]) =: r_i
    # z = n W + b:  dL/dW = n'r,  dL/db = sum_i r_i,  dL/dn = r W'
    # n = scale xhat + bias: dL/dscale = sum_i dL/dn_i xhat_i,  dL/dbias = sum_i dL/dn_i,
    # h := dL/dn scale:  dL/dx = [h - mean h - xhat mean(xhat h)]/s
    xhat, s = _standard(x)
    n = norm[0][None, :] * xhat + norm[1][None, :]
    z = dot(n, output[0]) + output[1][None, :]
    p = jnp.exp(z) / jnp.exp(z).sum(axis=1)[:, None]
    right = targets[:, None] == jnp.arange(z.shape[1])[None, :]
    r = (counted / counted.sum())[:, None] * (p - right)
    dn = dot(r, output[0].T)
    h = dn * norm[0][None, :]
    dx = (h - h.mean(axis=1)[:, None] - xhat * (xhat * h).mean(axis=1)[:, None]) / s
    return ((dn * xhat).sum(axis=0), dn.sum(axis=0)), (dot(n.T, r), r.sum(axis=0)), dx
