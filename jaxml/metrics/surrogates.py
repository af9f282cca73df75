"""Differentiable stand-ins for the AUC and for F1: steps become sigmoids of width t.

    soft AUC = 1/(W+ W-) sum_{y_i = 1, y_j = 0} s_i s_j sigma((z_i - z_j)/t)
    soft F1  = 2 sum_i s_i y_i q_i / (sum_i s_i y_i + sum_i s_i q_i),    q_i = sigma((z_i - c)/t)

As the temperature t falls to 0 they become roc_auc(y, z), ties half, and f1(y, z > c). Large t has
slopes everywhere, small t only near a tie: a fit starts warm.

Symbols: z = y_score, c = threshold; s_i = sample_weight[i], 1 if None; W+ and W- as in ranking.
Reference: Yan et al. (2003), Optimizing classifier performance via an approximation to the
Wilcoxon-Mann-Whitney statistic.
"""

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._sums import total
from jaxml._typing import Array, ArrayLike, Bool, Column, Int, Real, Scalar, Weights
from jaxml.metrics import _inputs

__all__ = ["soft_auc", "soft_f1"]

PAIRS = 2**20  # that are in memory at a time
FLAT = 100.0  # from where on a sigmoid is a step: sigma(-100) = 4e-44


def soft_auc(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    temperature: Real,
    sample_weight: ArrayLike | None = None,
) -> Scalar:
    """Return the soft AUC: roc_auc with a slope.

    Takes n^2 sigmoids, some 10^6 pairs in memory at a time, also for its derivative.

    Args:
      y_true: Labels, in {0, 1}.
      y_score: Scores of class 1 (n,).
      temperature: t > 0, in units of the score, traced.
      sample_weight: s_i >= 0, not all zero.

    Returns:
      A number in [0, 1]; NaN, with a derivative of 0, where a class has no weight.

    Raises:
      ValueError: Shapes disagree, temperature <= 0, or a concrete array holds a NaN, an inf, or a
        label out of range.

    Example:
      >>> round(float(soft_auc([0, 1], [0.0, 1.0], temperature=1.0)), 4)  # sigma(1)
      0.7311
      >>> float(soft_auc([0, 1], [0.0, 1.0], temperature=1e-3))
      1.0
    """
    y, z, s = _inputs_of(y_true, y_score, sample_weight)
    t = _check.above("temperature", temperature, 0, dtype=z.dtype)
    return _judged(_soft_auc(y, z, s, t), y, z, s)


def soft_f1(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    temperature: Real,
    threshold: Real = 0.0,
    sample_weight: ArrayLike | None = None,
) -> Scalar:
    """Return the soft F1: f1 of class 1, each row predicted to the degree sigma((z - c)/t).

    Args:
      y_true: Labels, in {0, 1}.
      y_score: Scores of class 1 (n,).
      temperature: t > 0, in units of the score, traced.
      threshold: c, above which a row counts as positive, traced; 0 suits scores, 1/2 probabilities.
      sample_weight: s_i >= 0, not all zero.

    Returns:
      A number in [0, 1]; without positives 0, or NaN where no row is predicted to any degree.

    Raises:
      ValueError: Shapes disagree, temperature <= 0, or a concrete array holds a NaN, an inf, or a
        label out of range.

    Example:
      >>> float(soft_f1([1, 0], [0.0, 0.0], temperature=1.0))  # 2 1/2 / (1 + 1/2 + 1/2)
      0.5
    """
    y, z, s = _inputs_of(y_true, y_score, sample_weight)
    t = _check.above("temperature", temperature, 0, dtype=z.dtype)
    c = _check.array("threshold", threshold, ndim=0, dtype=z.dtype)
    return _judged(_soft_f1(y, z, s, t, c), y, z, s)


def _inputs_of(
    y_true: ArrayLike, y_score: ArrayLike, s: ArrayLike | None
) -> tuple[Array, Column, Weights]:
    y = _inputs.labels("y_true", y_true)
    z = _inputs.scores("y_score", y_score, y.shape[0])
    return y, z, _inputs.columns(s, y.shape[0], z.dtype)


def _judged(value: Scalar, y: Array, z: Column, s: Weights) -> Scalar:
    return _inputs.judged(value, s, (_inputs.whole, "y_true", y, 2), (_inputs.finite, "y_score", z))


def _rows(
    y: Array, z: Column, s: Weights, t: Scalar
) -> tuple[Int[Array, " n"], Column, Column, Bool[Array, ""]]:
    """Labels, scores (0 in removed rows), weights, and whether all of it is sound."""
    y, valid = _inputs.members(y, 2)
    valid = _inputs.counted(valid & jnp.isfinite(z), s) & _inputs.sound(s) & (t > 0)
    if s is None:
        return y, z, jnp.ones_like(z), valid
    return y, jnp.where(s > 0, z, 0.0), s, valid


def _step(d: Array, t: Scalar) -> Array:
    """sigma(d/t), with a finite derivative in t too where d/t is not."""
    far = jnp.abs(d) > FLAT * t
    return jnp.where(far, d > 0, jax.nn.sigmoid(jnp.where(far, 0.0, d) / t))


@jax.jit
def _soft_auc(y: Array, z: Column, s: Weights, t: Scalar) -> Scalar:
    y, z, s, valid = _rows(y, z, s, t)
    n = z.shape[0]
    pos, neg = jnp.where(y == 1, s, 0.0), jnp.where(y == 0, s, 0.0)
    size = max(1, min(n, PAIRS // n))
    count = -(-n // size)

    @jax.checkpoint  # its derivative forms the pairs of a block again
    def block(rows: tuple[Column, Column]) -> Scalar:
        z_i, s_i = rows
        wins = jnp.sum(neg[None, :] * _step(z_i[:, None] - z[None, :], t), axis=1)
        return jnp.sum(s_i * wins)

    if count == 1:
        U = block((z, pos))
    else:
        padded = (jnp.pad(a, (0, count * size - n)).reshape(count, size) for a in (z, pos))
        U = total(jax.lax.map(block, tuple(padded)))
    both = total(pos) * total(neg)
    valid = valid & (both > 0)
    return jnp.where(valid, U / jnp.where(valid, both, 1.0), jnp.nan)


@jax.jit
def _soft_f1(y: Array, z: Column, s: Weights, t: Scalar, c: Scalar) -> Scalar:
    y, z, s, valid = _rows(y, z, s, t)
    q = s * _step(z - c, t)
    bottom = total(s * y) + total(q)
    valid = valid & (bottom > 0)
    return jnp.where(valid, 2 * total(q * y) / jnp.where(valid, bottom, 1.0), jnp.nan)
