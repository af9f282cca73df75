"""Forecasts in bins of equal width: what was said in each against what happened.

    W_b = sum_{i in b} s_i,    f_b = 1/W_b sum_{i in b} s_i p_i,    o_b = 1/W_b sum_{i in b} s_i y_i
    ECE = sum_b W_b/S |o_b - f_b|
    Brier = sum_b W_b/S (f_b - o_b)^2 - sum_b W_b/S (o_b - o)^2 + o (1 - o) + within

o is the mean of y, S = sum_i s_i, and `within` what forecasts that differ in a bin leave; it is
0 where they do not.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _groups, losses
from jaxml._typing import Array, Column, Int, Scalar, Weights
from jaxml.metrics import _inputs

__all__ = ["BrierDecomposition", "calibration", "decomposition"]


class BrierDecomposition(NamedTuple):
    """Brier = reliability - resolution + uncertainty + within, exactly."""

    reliability: Scalar  # sum_b W_b/S (f_b - o_b)^2, 0 if calibrated over the bins
    resolution: Scalar  # sum_b W_b/S (o_b - o)^2, how far the bins differ in what happens
    uncertainty: Scalar  # o (1 - o), o the share of y = 1
    within: Scalar  # 1/S sum_i s_i [(p_i - f_b)^2 - 2 (p_i - f_b)(y_i - o_b)], b the bin of i


def _bins(p: Column, n_bins: int) -> Int[Array, " n"]:
    # NaN, which becomes some integer, has turned the result into NaN elsewhere.
    return jnp.clip(jnp.floor(p * n_bins).astype(jnp.int32), 0, n_bins - 1)


@partial(jax.jit, static_argnames=("k", "n_bins"))
def calibration(y: Array, p: Array, s: Weights, *, k: int, n_bins: int) -> Scalar:
    """ECE; of p (n, k) that of the largest probability of a row."""
    y, valid = _inputs.forecasts(y, p, s, k)
    if p.ndim == 2:
        y, p = jnp.argmax(p, axis=1) == y, jnp.max(p, axis=1)
    error = y.astype(p.dtype) - p
    # W_b (o_b - f_b) = sum_{i in b} s_i (y_i - p_i): no bin is divided by its weight
    weighted = error if s is None else s * jnp.where(s > 0, error, 0.0)
    (off,) = _groups.sums(_groups.given, _bins(p, n_bins), n_bins, weighted[:, None])
    M = _inputs.mass(jnp.ones(p.shape, bool), s, p.dtype)
    distance = jnp.sum(losses.absolute(off, jnp.zeros_like(off)))
    return jnp.where(valid, distance / jnp.where(valid, M, 1.0), jnp.nan)


@partial(jax.jit, static_argnames="n_bins")
def decomposition(y: Array, p: Column, s: Weights, *, n_bins: int) -> BrierDecomposition:
    """The parts of the Brier score of probabilities of class 1."""
    y, valid = _inputs.forecasts(y, p, s, 2)
    ones = jnp.ones_like(p)
    w = ones if s is None else s
    o, f = y.astype(p.dtype), jnp.where(w > 0, p, 0.0)
    at = _bins(f, n_bins)
    columns = w[:, None] * jnp.stack([ones, f, o], axis=1)
    (sums,) = _groups.sums(_groups.given, at, n_bins, columns)
    W, of, oo = sums.T
    there = W > 0
    safe = jnp.where(there, W, 1.0)
    f_b, o_b = of / safe, oo / safe
    share = W / jnp.where(valid, jnp.sum(W), 1.0)
    base = _inputs.mean(o, s)
    within = (f - f_b[at]) ** 2 - 2 * (f - f_b[at]) * (o - o_b[at])
    parts = BrierDecomposition(
        jnp.sum(share * (f_b - o_b) ** 2),
        jnp.sum(jnp.where(there, share * (o_b - base) ** 2, 0.0)),
        base * (1 - base),
        _inputs.mean(within, s),
    )
    return jax.tree.map(lambda part: jnp.where(valid, part, jnp.nan), parts)
