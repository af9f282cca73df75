r"""The ROC curve and the area under it, from ranks.

    tpr(t) = sum_i s_i [y_i = 1][z_i >= t] / W+,    fpr(t) = sum_i s_i [y_i = 0][z_i >= t] / W-
    AUC = 1/(W+ W-) sum_{y_i = 1, y_j = 0} s_i s_j ([z_i > z_j] + 1/2 [z_i = z_j])

W+ and W- are the weights of either class: AUC is the chance that a positive row scores higher than
a negative one, a tie counting half, which is the area under the curve by trapezoids.

Symbols: z = y_score; s_i = sample_weight[i], 1 if None.
scikit-learn: roc_auc_score(multi_class="ovr"), roc_curve(drop_intermediate=False).
Reference: Hanley, McNeil (1982), The meaning and use of the area under a ROC curve.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check, _order
from jaxml._sums import total
from jaxml._typing import Array, ArrayLike, Column, Float, Int, Scalar, Weights
from jaxml.metrics import _inputs, _ranks

__all__ = ["RocCurve", "roc_auc", "roc_curve"]


class RocCurve(NamedTuple):
    """Points of the curve from (0, 0) to (1, 1), one for each distinct score."""

    fpr: Float[Array, " m"]  # false positive rates, not decreasing; m = n + 1
    tpr: Float[Array, " m"]  # true positive rates, not decreasing
    thresholds: Float[Array, " m"]  # scores from which rows count as positive; the first is inf


def roc_auc(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    average: str | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> Array:
    """Return the area under the ROC curve, in O(n log n), by one sort of integers.

    Only the order of the scores counts. Without weights, pairs are counted in 64-bit integers: the
    result is exact but for one rounding, for every n < 2^31. Its derivative with respect to the
    scores is 0 (see soft_auc); with respect to the weights it is that of the formula.

    Args:
      y_true: Labels, in {0, 1}, or in 0..k-1 where y_score has k columns.
      y_score: Scores of class 1 (n,), or of each class (n, k): one class against the rest.
      average: Of the k areas: "macro" is their mean, "weighted" their mean weighted by the classes,
        None all of them (k,); static. Of no account for one column.
      sample_weight: s_i >= 0, not all zero.

    Returns:
      AUC in the dtype of y_score; NaN where a class, or its rest, has no weight.

    Raises:
      ValueError: Shapes disagree, or a concrete array holds a NaN, an inf, or a label out of range.

    Example:
      >>> float(roc_auc([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.9]))  # pairs: 1/2 1/2 1 1, of four
      0.75
    """
    if average is not None:
        _check.choice("average", average, ("macro", "weighted"))
    y = _inputs.labels("y_true", y_true)
    z = _inputs.scores("y_score", y_score, y.shape[0], ndim=2 if np.ndim(y_score) == 2 else 1)
    if z.ndim == 2 and z.shape[1] < 2:
        raise ValueError(f"y_score needs a column for each of 2 classes or more: got {z.shape}")
    s = _inputs.columns(sample_weight, y.shape[0], z.dtype)
    k = 2 if z.ndim == 1 else z.shape[1]
    area = _area(y, z, s) if z.ndim == 1 else _areas(y, z, s, average=average)
    checks = (_inputs.whole, "y_true", y, k), (_inputs.finite, "y_score", z)
    return _inputs.judged(area, s, *checks)


@jax.jit
def _area(y: Array, z: Column, s: Weights) -> Scalar:
    y, valid = _inputs.members(y, 2)
    valid = _inputs.counted(valid & jnp.isfinite(z), s) & _inputs.sound(s)
    return jnp.where(valid, _binary(y, z, s), jnp.nan)


@partial(jax.jit, static_argnames="average")
def _areas(y: Array, Z: Float[Array, "n k"], s: Weights, *, average: str | None) -> Array:
    k = Z.shape[1]
    y, valid = _inputs.members(y, k)
    valid = _inputs.counted(valid & jnp.isfinite(Z).all(axis=1), s) & _inputs.sound(s)

    def against_rest(c: Array) -> tuple[Array, Array]:
        chosen = y == c
        area = _binary(chosen.astype(jnp.int32), jnp.take(Z, c, axis=1), s)
        return area, _inputs.mass(chosen, s, Z.dtype)

    areas, weight = jax.lax.map(against_rest, jnp.arange(k))
    areas = jnp.where(valid, areas, jnp.nan)
    if average is None:
        return areas
    if average == "macro":
        return jnp.mean(areas)
    return _inputs.mean(areas, weight)


def _binary(y: Int[Array, " n"], z: Column, s: Weights) -> Scalar:
    if s is None:
        U, both = _ranks.count_pairs(z, y)
        return jnp.where(both > 0, U / jnp.where(both > 0, both, 1.0), jnp.nan)
    k = _order.key(z)
    order = _order.argsort(k)
    first, last = _ranks.runs(k[order])
    s, y = s[order], y[order]
    # Of a row: the weight of the other class below its run, and half of that in it. Sums of terms
    # >= 0, so that their quotient is exactly 0, 1/2 or 1 where it should be.
    pos, neg = jnp.where(y == 1, s, 0.0), jnp.where(y == 0, s, 0.0)

    def below(other: Column) -> Column:
        upto = jnp.cumsum(other)
        return jnp.where(first > 0, upto[jnp.maximum(first - 1, 0)], 0.0) + upto[last]

    won, lost = total(pos * below(neg)), total(neg * below(pos))
    both = won + lost
    return jnp.where(both > 0, won / jnp.where(both > 0, both, 1.0), jnp.nan)


def roc_curve(
    y_true: ArrayLike, y_score: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> RocCurve:
    """Return the points of the ROC curve, from the highest threshold to the lowest.

    The shape is static, n + 1 points for n rows: (0, 0) at the threshold inf, a point for each of
    the m distinct scores of rows with weight, descending, and n - m times again the last point,
    (1, 1) at the lowest score. The area by trapezoids is roc_auc.

    Args:
      y_true: Labels, in {0, 1}.
      y_score: Scores of class 1 (n,).
      sample_weight: s_i >= 0, not all zero.

    Returns:
      RocCurve in the dtype of y_score; the rate of a class without weight is NaN.

    Raises:
      ValueError: Shapes disagree, or a concrete array holds a NaN, an inf, or a label out of range.

    Example:
      >>> curve = roc_curve([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.9])
      >>> curve.tpr.tolist(), curve.fpr.tolist()
      ([0.0, 0.5, 1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0, 1.0])
    """
    y = _inputs.labels("y_true", y_true)
    z = _inputs.scores("y_score", y_score, y.shape[0])
    s = _inputs.columns(sample_weight, y.shape[0], z.dtype)
    checks = (_inputs.whole, "y_true", y, 2), (_inputs.finite, "y_score", z)
    return _inputs.judged(_curve(y, z, s), s, *checks)


@jax.jit
def _curve(y: Array, z: Column, s: Weights) -> RocCurve:
    n = z.shape[0]
    y, valid = _inputs.members(y, 2)
    valid = _inputs.counted(valid & jnp.isfinite(z), s) & _inputs.sound(s)
    k = ~_order.key(z)  # descending
    if s is not None:
        k = jnp.where(s > 0, k, jnp.iinfo(k.dtype).max)  # removed rows come last
    order = _order.argsort(k)
    k, y, z = k[order], y[order], z[order]
    ends = jnp.concatenate([k[1:] != k[:-1], jnp.ones(1, bool)])
    if s is None:
        tp, fp = (jnp.cumsum(y == c, dtype=jnp.int32).astype(z.dtype) for c in (1, 0))
        last = n - 1
    else:
        s = s[order]
        # A sum in levels may fall by a rounding where a small weight is added.
        tp, fp = (jax.lax.cummax(jnp.cumsum(jnp.where(y == c, s, 0.0))) for c in (1, 0))
        last = jnp.maximum(jnp.sum(s > 0, dtype=jnp.int32) - 1, 0)
        ends = ends & (s > 0)
    at = jnp.where(ends, jnp.cumsum(ends, dtype=jnp.int32), n + 1)  # the place of each point

    def points(values: Column, start: float) -> Column:
        out = jnp.full(n + 1, values[last]).at[at].set(values, mode="drop")
        return jnp.where(valid, out.at[0].set(start), jnp.nan)

    def rates(counts: Column) -> Column:
        whole = counts[last]
        # A quotient by a scalar may be a product with its inverse, and miss 1 by a rounding.
        share = jnp.minimum(counts / jnp.where(whole > 0, whole, 1.0), 1.0)
        return points(jnp.where(counts == whole, 1.0, share), 0.0)

    fpr, tpr = (jnp.where(c[last] > 0, rates(c), jnp.nan) for c in (fp, tp))
    return RocCurve(fpr, tpr, points(z, jnp.inf))
