"""The confusion matrix, and ratios of the counts of each class that are read off it.

    C_ab = sum_i s_i [y_i = a][p_i = b]
    TP_c = C_cc,  FP_c = sum_(a != c) C_ac,  FN_c = sum_(b != c) C_cb

A ratio is taken of one class, of the sums over all, or of each class and then averaged.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml import _groups
from jaxml._typing import Array, Float, Int, Scalar, Weights
from jaxml.metrics import _inputs

__all__ = ["Ratio", "averaged", "confusion", "table"]

Ratio = Callable[[Array, Array, Array], tuple[Array, Array]]  # TP, FP, FN -> numerator, denominator


@partial(jax.jit, static_argnames=("k", "dtype"))
def confusion(y: Array, p: Array, s: Weights, *, k: int, dtype: Any) -> Float[Array, "k k"]:
    """C, or NaN where a row of positive weight has no label."""
    (y, seen), (p, known) = _inputs.members(y, k), _inputs.members(p, k)
    valid = _inputs.counted(seen & known, s) & _inputs.sound(s)
    return jnp.where(valid, table(y, p, s, k, dtype), jnp.nan)


def table(
    i: Int[Array, " n"], j: Int[Array, " n"], s: Weights, k: int, dtype: jnp.dtype
) -> Float[Array, "k k"]:
    """sum_i s_i over the rows of each pair (i, j); without weights a count, exact below 2^31."""
    if s is None:
        counts = jnp.zeros(k * k, jnp.int32).at[i * k + j].add(1, mode="promise_in_bounds")
        return counts.reshape(k, k).astype(dtype)

    def by_pair(i: Array, j: Array, s: Array) -> Array:
        return _groups.sums(_groups.given, i * k + j, k * k, s[:, None])[0].reshape(k, k)

    def by_row(i: Array, j: Array, s: Array) -> Array:  # a product of (k, n) and (n, k)
        columns = jnp.where(j[:, None] == jnp.arange(k)[None, :], s[:, None], 0.0)
        return _groups.sums(_groups.given, i, k, columns)[0]

    return jax.lax.platform_dependent(i, j, s, cpu=by_pair, default=by_row)


@partial(jax.jit, static_argnames=("ratio", "average"))
def averaged(C: Float[Array, "k k"], empty: Scalar, *, ratio: Ratio, average: str | None) -> Array:
    """The ratio, `empty` where its denominator is 0, for an average as in classification.f1."""
    tp, there, told = jnp.diagonal(C), jnp.sum(C, axis=1), jnp.sum(C, axis=0)
    # Off the diagonal, not as a difference that may leave a rounding.
    off = C * (1 - jnp.eye(C.shape[0], dtype=C.dtype))
    counts = tp, jnp.sum(off, axis=0), jnp.sum(off, axis=1)
    if average == "binary":
        counts = tuple(count[1] for count in counts)
    elif average == "micro":
        counts = tuple(jnp.sum(count) for count in counts)
    top, bottom = ratio(*counts)
    score = jnp.where(bottom == 0, empty, top / jnp.where(bottom == 0, 1.0, bottom))
    if average in ("binary", "micro", None):
        return score
    share = there if average == "weighted" else ((there > 0) | (told > 0)).astype(C.dtype)
    return _inputs.mean(score, share)
