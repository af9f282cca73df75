"""Batch normalization by hand, for n rows of d channels. Letters as in jaxml.nn.norm.batch_norm.

y_i = scale xhat_i + bias,   xhat_i = (x_i - mu)/s,   s = (v + eps)^(1/2),   channel by channel
"""

import jax.numpy as jnp

from jaxml._typing import Array, Float, Real, Rows

__all__ = [
    "apply", "backward", "backward_of_moments", "backward_with_frozen_moments", "dropped",
    "moments", "updated",
]  # fmt: skip

Channels = Float[Array, " d"]
Pair = tuple[Channels, Channels]  # (scale, bias), or (mean, variance)


def moments(x: Rows) -> Pair:
    """Return mu and the biased v."""
    mu = x.sum(axis=0) / len(x)
    return mu, ((x - mu[None, :]) ** 2).sum(axis=0) / len(x)


def _normal(x: Rows, eps: Real) -> tuple[Rows, Array]:
    mu, v = moments(x)
    s = jnp.sqrt(v + eps)[None, :]
    return (x - mu[None, :]) / s, s


def apply(params: Pair, x: Rows, *, eps: Real) -> Rows:
    """Return y in training."""
    scale, bias = params
    return scale[None, :] * _normal(x, eps)[0] + bias[None, :]


def updated(state: Pair, x: Rows, *, momentum: Real, unbiased: bool) -> Pair:
    """Return the running moments after a batch."""
    # E v = (n - 1)/n Var x  =>  n v/(n - 1) has expectation Var x
    mu, v = moments(x)
    n = len(x)
    v = v * n / (n - 1) if unbiased else v
    mean, variance = state
    return momentum * mean + (1.0 - momentum) * mu, momentum * variance + (1.0 - momentum) * v


def backward(params: Pair, x: Rows, g: Rows, *, eps: Real) -> tuple[Pair, Rows]:
    """Return ((dL/dscale, dL/dbias), dL/dx) in training."""
    # h_i := dL/dxhat_i = scale g_i; three paths lead from x_i to L:
    # 1. through xhat_i itself:  h_i / s
    # 2. through v:   dL/dv  = sum_i h_i (x_i - mu) (-1/2) s^-3;   dv/dx_i  = 2 (x_i - mu)/n
    # 3. through mu:  dL/dmu = -sum_i h_i / s + dL/dv (-2/n) sum_i (x_i - mu),  the last sum is 0;
    #                 dmu/dx_i = 1/n          (Ioffe, Szegedy 2015, section 3)
    # Summed, with (x_i - mu)/s = xhat_i:
    # => dL/dx_i = [h_i - xhat_i mean_k(h_k xhat_k) - mean_k h_k]/s
    scale, _ = params
    xhat, s = _normal(x, eps)
    h = scale[None, :] * g
    n = len(x)
    by_itself = h
    by_variance = -xhat * ((h * xhat).sum(axis=0) / n)[None, :]
    by_mean = -(h.sum(axis=0) / n)[None, :]
    return ((g * xhat).sum(axis=0), g.sum(axis=0)), (by_itself + by_variance + by_mean) / s


def backward_with_frozen_moments(params: Pair, x: Rows, g: Rows, *, eps: Real) -> Rows:
    """Return path 1 alone: what is left of dL/dx when mu and v are taken for constants. Wrong."""
    return params[0][None, :] * g / _normal(x, eps)[1]


def dropped(x: Rows, g: Rows, *, eps: Real) -> Channels:
    """Return the part of path 1 that paths 2 and 3 take away: |wrong - right| / |wrong|."""
    # wrong - right = scale [mean g + xhat mean(g xhat)]/s,  |wrong| = scale |g|/s
    # mean xhat = 0 and mean xhat^2 = v/(v + eps) =: r, so the two terms are orthogonal:
    # => |wrong - right|^2 / |wrong|^2 = [mean(g)^2 + r mean(g xhat)^2] / mean(g^2)
    # It is all of it where L depends on x only through mu and v: g = a + b xhat.
    xhat, s = _normal(x, eps)
    n = len(x)
    r = moments(x)[1] / s[0] ** 2
    first, second = g.sum(axis=0) / n, (g * xhat).sum(axis=0) / n
    return jnp.sqrt((first**2 + r * second**2) / ((g**2).sum(axis=0) / n))


def backward_of_moments(x: Rows, g_mean: Channels, g_variance: Channels) -> Rows:
    """Return dL/dx for an L that sees mu and n v/(n - 1)."""
    # dmu/dx_i = 1/n;  d[n v/(n - 1)]/dx_i = n/(n - 1) * 2 (x_i - mu)/n
    n = len(x)
    deviation = x - moments(x)[0][None, :]
    return g_mean[None, :] / n + g_variance[None, :] * 2.0 * deviation / (n - 1)
