"""Layer normalization by hand, for one row x of d features. Letters as in jaxml.nn.norm.layer_norm.

y_j = scale_j xhat_j + bias_j,   xhat = (x - mu)/s,   s = (v + eps)^(1/2)
"""

import jax.numpy as jnp

from jaxml._typing import Array, Float, Real

__all__ = ["apply", "backward"]

Row = Float[Array, " d"]
Pair = tuple[Row, Row]  # (scale, bias)


def _normal(x: Row, eps: Real) -> tuple[Row, Array]:
    mu = x.sum() / x.size
    v = ((x - mu) ** 2).sum() / x.size
    s = jnp.sqrt(v + eps)
    return (x - mu) / s, s


def apply(params: Pair, x: Row, *, eps: Real) -> Row:
    """Return y."""
    scale, bias = params
    return scale * _normal(x, eps)[0] + bias


def backward(params: Pair, x: Row, g: Row, *, eps: Real) -> tuple[Pair, Row]:
    """Return ((dL/dscale, dL/dbias), dL/dx)."""
    # dL/dxhat_j = g_j scale_j =: h_j
    # mu = mean x, v = mean (x - mu)^2:  dmu = mean dx,  dv = 2 mean[(x - mu) dx]
    # dxhat = (dx - dmu)/s - (x - mu) dv/(2 s^3) = [dx - mean dx - xhat mean(xhat dx)]/s
    # This map is symmetric, so its transpose is itself:
    # => dL/dx = [h - mean h - xhat mean(xhat h)]/s
    scale, _ = params
    xhat, s = _normal(x, eps)
    h = g * scale
    return (g * xhat, g), (h - h.mean() - xhat * (xhat * h).mean()) / s
