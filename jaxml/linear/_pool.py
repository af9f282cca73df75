"""The columns S that take part in a sparse fit, with their rows of the Gram matrix G.

Shapes are static: a pool has room for so many columns, and a place that is still vacant holds the
number d, a column that does not exist. Reads of it give 0, writes to it are dropped.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._loop import iterate
from jaxml._typing import Array, Bool, Float, Int, Scalar
from jaxml.linear._moments import Moments

__all__ = ["Pool", "empty", "enter"]

CAPACITY = 4096  # columns that can enter


class Pool(NamedTuple):
    """The columns that have entered, in order."""

    columns: Int[Array, " k"]
    rows: Float[Array, "k d"]  # G[S]
    gram: Float[Array, "k k"]  # G[S][:, S] + l2 I, 0 where a column does not vary
    entered: Bool[Array, " d"]
    size: Int[Array, ""]


def empty(n: int, stats: Moments) -> Pool:
    """A pool that never exceeds the data in size: of more than n columns few are ever needed."""
    d, dtype = stats.c.shape[0], stats.c.dtype
    group = _group(d)
    # Whole groups, and one more for scratch.
    k = group * (math.ceil(min(d, CAPACITY, max(2 * n, 512)) / group) + 1)
    columns, zeros = jnp.full(k, d, jnp.int32), jnp.zeros((k, k), dtype)
    return Pool(columns, jnp.zeros((k, d), dtype), zeros, stats.sd == 0, jnp.int32(0))


def _group(d: int) -> int:
    """Columns that enter together: a narrow product costs nearly as much as a wider one."""
    return min(d, 32 * min(math.ceil(d / 256), 8))


def enter(
    pool: Pool,
    w: Float[Array, " d"],
    press: Float[Array, " d"],
    l1: Scalar,
    l2: Scalar,
    rows: Callable[[Array], Array],
) -> tuple[Pool, Bool[Array, ""]]:
    """Let the columns in that press hardest, if any does and there is room; return whether.

    Args:
      pool: Columns that have entered.
      w: Coefficients; columns that are not 0 come first.
      press: |dJ/dw_j| of the smooth part; above l1 a column moves away from 0.
      l1: Penalty.
      l2: Penalty.
      rows: Columns -> G[columns], called only if any enters.
    """
    k, d = pool.rows.shape
    group = _group(d)
    press = jnp.where(w != 0, jnp.inf, press)
    press, chosen = jax.lax.top_k(jnp.where(pool.entered, -1.0, press), group)
    worth = (press[0] > l1) & (pool.size + 2 * group <= k)
    chosen = jnp.where((press >= 0) & worth, chosen, d).astype(jnp.int32)
    nothing = jnp.zeros((group, d), pool.rows.dtype)
    # A loop of one turn or none: XLA may copy what a cond is given, here the data.
    new, _ = iterate(lambda _: rows(chosen), nothing, stop=lambda _: ~worth, max_iter=1)
    at = jnp.where(worth, pool.size, k - group)  # else into the scratch
    zero = jnp.zeros_like(at)
    columns = jax.lax.dynamic_update_slice(pool.columns, chosen, (at,))
    same = (chosen[:, None] == columns[None, :]) & (chosen < d)[:, None]
    side = new.at[:, columns].get(mode="fill", fill_value=0.0) + jnp.where(same, l2, 0.0)
    gram = jax.lax.dynamic_update_slice(pool.gram, side, (at, zero))
    gram = jax.lax.dynamic_update_slice(gram, side.T, (zero, at))
    grown = jax.lax.dynamic_update_slice(pool.rows, new, (at, zero))
    entered = pool.entered.at[chosen].set(True, mode="drop")
    return Pool(columns, grown, gram, entered, pool.size + jnp.where(worth, group, 0)), worth
