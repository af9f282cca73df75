"""Scaling to [0, 1] by hand. Letters as in jaxml.preprocessing.min_max."""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Rows

__all__ = ["ends", "jacobian"]


def ends(X: Rows, *, sample_weight: Column) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """The numbers of rows with weight that no such row undercuts, or exceeds."""
    there = sample_weight > 0
    below = (X[None, :, :] < X[:, None, :]) & there[None, :, None]
    above = (X[None, :, :] > X[:, None, :]) & there[None, :, None]
    # Equal numbers all qualify: their mean is their value.
    least, most = (there[:, None] & ~beaten.any(axis=1) for beaten in (below, above))
    a, b = ((hit * X).sum(axis=0) / hit.sum(axis=0) for hit in (least, most))
    return a, b


def jacobian(x: Column) -> Float[Array, "n n"]:
    """dz_i/dx_k of one column z = (x - a)/(b - a) of distinct numbers."""
    # da/dx_k = [x_k = a], db/dx_k = [x_k = b];  z_i = (x_i - a)/r, r = b - a
    # => dz_i/dx_k = ([i = k] - [x_k = a])/r - z_i ([x_k = b] - [x_k = a])/r
    a, b = x.min(), x.max()
    low, high = (x == a).astype(x.dtype), (x == b).astype(x.dtype)
    z = (x - a) / (b - a)
    move = jnp.eye(len(x), dtype=x.dtype) - low[None, :] - z[:, None] * (high - low)[None, :]
    return move / (b - a)
