"""Robust scaling by hand. Letters as in jaxml.preprocessing.robust."""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Rows, Scalar

__all__ = ["breakdown", "jacobian", "parameters", "quantile"]

Vector = Float[Array, " d"]


def _parts(x: Column, s: Column, q: float) -> Column:
    """The part of each row in the quantile q of s_i copies of each x_i, by ranks; s_i integers."""
    # Sorted, the copies of row i take the places B_i .. B_i + s_i - 1, B_i = sum of s before it.
    # Q = (1 - g) x_(k) + g x_(k+1), k = floor(h), g = h - k, h = q (S - 1), places from 0
    i = jnp.arange(len(x))
    before = (x[None, :] < x[:, None]) | ((x[None, :] == x[:, None]) & (i[None, :] < i[:, None]))
    B = (before * s[None, :]).sum(axis=1)
    h = q * (s.sum() - 1)
    k = jnp.floor(h)
    at, after = ((place >= B) & (place < B + s) for place in (k, k + 1))
    return (1 - (h - k)) * at + (h - k) * after


def quantile(x: Column, s: Column, q: float) -> Scalar:
    """Q(q), a sum over the one or two rows that take part."""
    return (_parts(x, s, q) * x).sum()


def parameters(
    X: Rows, *, sample_weight: Column, quantile_range: tuple[float, float] = (25.0, 75.0)
) -> tuple[Vector, Vector]:
    """The median, and the distance of the quantiles."""
    low, middle, high = (
        jnp.stack([quantile(X[:, j], sample_weight, q) for j in range(X.shape[1])])
        for q in (quantile_range[0] / 100, 0.5, quantile_range[1] / 100)
    )
    return middle, high - low


def jacobian(x: Column) -> Float[Array, "n n"]:
    """dz_i/dx_k of one column z = (x - c)/r."""
    # dQ(q)/dx_k = o_k(q), the part of row k;  dz_i/dx_k = ([i = k] - o_k(1/2))/r - z_i dr/dx_k / r
    low, middle, high = (_parts(x, jnp.ones_like(x), q) for q in (0.25, 0.5, 0.75))
    c, r = (middle * x).sum(), ((high - low) * x).sum()
    move = jnp.eye(len(x), dtype=x.dtype) - middle[None, :]
    return (move - ((x - c) / r)[:, None] * (high - low)[None, :]) / r


def breakdown(n: int, q: float) -> int:
    """How many of n rows must go to infinity before Q(q), q >= 1/2, follows them."""
    # They take the last m places, n - m .. n - 1. Q(q) is made of the places floor(h) and, unless h
    # is whole, floor(h) + 1: up to ceil(h), h = q (n - 1)  =>  n - m <= ceil(h)
    h = q * (n - 1)
    return n - int(-(-h // 1))
