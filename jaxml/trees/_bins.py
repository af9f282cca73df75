"""Quantile bins: each feature in at most 256 codes, so that a split is a choice among few.

    code_ij = #{k: t_jk < x_ij},    x_ij <= t_jk  <=>  code_ij <= k,    t_j1 < t_j2 < ...

A threshold lies midway between two neighboring values, the lower of which is the weighted quantile
at the levels 1/B, ..., (B - 1)/B of B bins; if there are at most B values, between all neighbors.
A column whose range is at most 1e-7 of its largest magnitude counts as constant: it has none.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _order
from jaxml._typing import Array, Column, Float, Int, Rows

__all__ = ["Bins", "make"]

CONSTANT = 1e-7  # of the largest magnitude


class Bins(NamedTuple):
    """The data as codes, and the thresholds between them."""

    codes: Int[Array, "d n"]  # uint8; NaN has the last code, n_bins - 1, where missing is allowed
    thresholds: Float[Array, "d b"]  # t_jk, ascending, b = n_bins - 1; +inf where there is none


@partial(jax.jit, static_argnames=("n_bins", "weighted", "missing"))
def make(
    X: Rows, s: Column, *, n_bins: int = 256, weighted: bool = True, missing: bool = False
) -> Bins:
    """Return the bins of the rows of X with weights s >= 0.

    Rows of weight 0 get codes but move no threshold. The rows are sorted, feature by feature.

    Args:
      X: Features (n, d), finite, or with NaN if missing.
      s: Weights (n,).
      n_bins: B, 2..256, static; with missing the last code is that of NaN, and B - 1 are left.
      weighted: Static; False promises that all weights are one, which then are not sorted too.
      missing: Static; whether NaN may occur.
    """
    values = n_bins - missing  # B

    def column(j: Array) -> tuple[Array, Array]:
        x = X[:, j]
        # Subnormal numbers count as 0, as in the arithmetic of a CPU.
        x = jnp.where(jnp.abs(x) < jnp.finfo(x.dtype).tiny, 0.0, x)
        known, key = ~jnp.isnan(x), _order.key(x)
        key = jnp.where(known & (s > 0), key, jnp.iinfo(key.dtype).max)
        t = _thresholds(key, s if weighted else None, x.dtype, values)
        code = jnp.searchsorted(t, x, method="scan_unrolled")
        code = jnp.where(known, code, n_bins - 1)
        # With missing, one threshold more than values have: all of them against NaN.
        t = jnp.pad(t, (0, n_bins - values), constant_values=jnp.inf)
        return code.astype(jnp.uint8), t

    return Bins(*jax.lax.map(column, jnp.arange(X.shape[1])))


def _thresholds(
    key: Int[Array, " n"], s: Column | None, dtype: jnp.dtype, values: int
) -> Float[Array, " b"]:
    """The B - 1 thresholds of a column, +inf at the end; keys at the maximum are not there."""
    n, top = key.shape[0], jnp.iinfo(key.dtype).max
    levels = jnp.arange(1, values)
    if s is None:
        key = jnp.sort(key)
        C, m = None, jnp.sum(key < top)
        W = m.astype(dtype)
    else:
        order = _order.argsort(key)
        key, s = key[order], jnp.where(key < top, s, 0.0)[order]
        C, m = jnp.cumsum(s), jnp.sum(key < top)
        W = C[-1]
    new = (key[1:] != key[:-1]) & (key[1:] < top)  # whether row i + 1 begins another value
    few = jnp.sum(new) < values

    def every(key: Array) -> tuple[Array, Array]:
        at = jnp.searchsorted(jnp.cumsum(new), levels)  # the rows before the k-th change
        return at, at < n - 1

    def quantiles(key: Array) -> tuple[Array, Array]:
        level = levels.astype(dtype) * W / values
        first = jnp.ceil(level).astype(jnp.int32) - 1 if C is None else jnp.searchsorted(C, level)
        at = jnp.searchsorted(key, key[jnp.clip(first, 0, n - 1)], side="right") - 1
        again = jnp.concatenate([jnp.zeros(1, bool), at[1:] == at[:-1]])
        return at, (at < m - 1) & ~again

    at, there = jax.lax.cond(few, every, quantiles, key) if n > 1 else (0 * levels, levels < 0)
    at = jnp.clip(at, 0, max(n - 2, 0))
    middle = _middle(_order.value(key[at]), _order.value(key[jnp.minimum(at + 1, n - 1)]))
    least, most = _order.value(key[0]), _order.value(key[jnp.maximum(m - 1, 0)])
    # Halved, so that the range of numbers near the largest is finite.
    wide = most / 2 - least / 2 > CONSTANT / 2 * jnp.maximum(jnp.abs(least), jnp.abs(most))
    return jnp.sort(jnp.where(there & wide, middle, jnp.inf))


def _middle(a: Float[Array, " b"], b: Float[Array, " b"]) -> Float[Array, " b"]:
    """t with a <= t < b for a < b, midway if there is a number midway; never overflows."""
    t = a / 2 + b / 2
    return jnp.where((t >= a) & (t < b), t, a)
