"""Metrics of predicted probabilities: their loss, and whether they mean what they say.

    log loss = -1/S sum_i s_i log p_i,y_i,    Brier = 1/S sum_i s_i (p_i - y_i)^2
    ECE = sum_b W_b/S |o_b - f_b|

for bins b of equal width in p: W_b the weight of a bin, f_b its mean probability, o_b the share of
y = 1 in it; S = sum_i s_i. A bin without rows adds nothing.

Symbols: s_i = sample_weight[i], 1 if None; y_i in {0, 1}, or in 0..k-1 where p has k columns.
Reference: Brier (1950), Verification of forecasts expressed in terms of probability; Guo et al.
(2017), On calibration of modern neural networks, eq. (3).
"""

from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._typing import Array, ArrayLike, Scalar, Weights
from jaxml.metrics import _inputs, _reliability
from jaxml.metrics._reliability import BrierDecomposition

__all__ = [
    "BrierDecomposition", "brier_decomposition", "brier_score", "expected_calibration_error",
    "log_loss",
]  # fmt: skip

T = TypeVar("T")


def log_loss(y_true: ArrayLike, p: ArrayLike, *, sample_weight: ArrayLike | None = None) -> Scalar:
    """Return the mean of -log p of what happened, p clipped to [eps, 1 - eps] of its dtype.

    So it is finite at p = 0 and p = 1: at most 36.04 a row in float64, 15.94 in float32. Where p is
    clipped the derivative is 0.

    Args:
      y_true: Labels, in {0, 1}, or in 0..k-1 where p has k columns.
      p: Probabilities in [0, 1] of class 1 (n,), or of each class (n, k), with rows that sum to 1.
      sample_weight: s_i >= 0, not all zero.

    Raises:
      ValueError: Shapes disagree, or a concrete label or probability is out of range.

    Example:
      >>> round(float(log_loss([1, 0], [0.5, 0.75])), 4)  # (log 2 + log 4) / 2
      1.0397
    """
    return _mean_of(_log_loss, y_true, p, sample_weight)


def brier_score(
    y_true: ArrayLike, p: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> Scalar:
    """Return the mean squared distance of the probabilities from what happened.

    For p of class 1 it lies in [0, 1]. For p (n, k) it is the sum over the classes, in [0, 2]:
    scikit-learn's brier_score_loss(scale_by_half=False). Arguments as in log_loss.

    Example:
      >>> float(brier_score([1, 0], [0.5, 0.75]))  # (1/4 + 9/16) / 2
      0.40625
    """
    return _mean_of(_brier, y_true, p, sample_weight)


def expected_calibration_error(
    y_true: ArrayLike, p: ArrayLike, *, n_bins: int = 10, sample_weight: ArrayLike | None = None
) -> Scalar:
    """Return ECE, the mean over bins of the distance of frequency from probability.

    Bin b holds floor(p n_bins) = b, the last one p = 1 as well. For p (n, k) the probability is the
    largest of a row, and what is counted is whether its class, of equals the lowest, is the label.
    ECE is 0 for a forecast that is right on average in every bin, however little it tells.

    Args:
      y_true: Labels, in {0, 1}, or in 0..k-1 where p has k columns.
      p: Probabilities in [0, 1] of class 1 (n,), or of each class (n, k), with rows that sum to 1.
      n_bins: Number of bins of equal width, static.
      sample_weight: s_i >= 0, not all zero.

    Returns:
      ECE in [0, 1]. Its derivative with respect to p holds the bins fixed, and is 0 in a bin
      without error.

    Raises:
      ValueError: Shapes disagree, or a concrete label or probability is out of range.

    Example:
      >>> float(expected_calibration_error([1, 0, 1, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2))
      0.25
    """
    n_bins = _check.integer("n_bins", n_bins, 1)
    y, p, s, k = _pair(y_true, p, sample_weight)
    return _judged(_reliability.calibration(y, p, s, k=k, n_bins=n_bins), y, p, s, k)


def brier_decomposition(
    y_true: ArrayLike, p: ArrayLike, *, n_bins: int = 10, sample_weight: ArrayLike | None = None
) -> BrierDecomposition:
    """Split the Brier score of probabilities of class 1 over bins of equal width.

    The three terms of Murphy (1973) add up to the score where the forecasts of a bin are equal;
    `within` is what is left where they are not, so that the four add up for any forecasts.

    Args:
      y_true: Labels, in {0, 1}.
      p: Probabilities of class 1 (n,), in [0, 1].
      n_bins: Number of bins, static; bins as in expected_calibration_error.
      sample_weight: s_i >= 0, not all zero.

    Raises:
      ValueError: Shapes disagree, or a concrete label or probability is out of range.

    Reference:
      Murphy (1973), A new vector partition of the probability score; Stephenson, Coelho, Jolliffe
      (2008), Two extra components in the Brier score decomposition, eq. (7).

    Example:
      >>> parts = brier_decomposition([1, 0, 1, 1], [0.25, 0.25, 0.75, 0.75], n_bins=2)
      >>> [float(part) for part in parts]
      [0.0625, 0.0625, 0.1875, 0.0]
    """
    n_bins = _check.integer("n_bins", n_bins, 1)
    y = _inputs.labels("y_true", y_true)
    p = _inputs.scores("p", p, y.shape[0])
    s = _inputs.columns(sample_weight, y.shape[0], p.dtype)
    return _judged(_reliability.decomposition(y, p, s, n_bins=n_bins), y, p, s, 2)


def _pair(
    y_true: ArrayLike, p: ArrayLike, s: ArrayLike | None
) -> tuple[Array, Array, Weights, int]:
    y = _inputs.labels("y_true", y_true)
    p, k = _inputs.probabilities(p, y.shape[0])
    return y, p, _inputs.columns(s, y.shape[0], p.dtype), k


def _judged(value: T, y: Array, p: Array, s: Weights, k: int) -> T:
    checks = (_inputs.whole, "y_true", y, k), (_inputs.unit, "p", p)
    return _inputs.judged(value, s, *checks)


def _mean_of(
    loss: jax.stages.Wrapped, y_true: ArrayLike, p: ArrayLike, s: ArrayLike | None
) -> Scalar:
    y, p, s, k = _pair(y_true, p, s)
    return _judged(loss(y, p, s, k=k), y, p, s, k)


@partial(jax.jit, static_argnames="k")
def _log_loss(y: Array, p: Array, s: Weights, *, k: int) -> Scalar:
    y, valid = _inputs.forecasts(y, p, s, k)
    eps = float(jnp.finfo(p.dtype).eps)
    if p.ndim == 2:
        p = jnp.take_along_axis(p, y[:, None], axis=1)[:, 0]
        loss = -jnp.log(jnp.clip(p, eps, 1 - eps))
    else:
        q = jnp.clip(p, eps, 1 - eps)
        loss = -jnp.where(y == 1, jnp.log(q), jnp.log1p(-q))  # log1p: small q keep their digits
    return jnp.where(valid, _inputs.mean(loss, s), jnp.nan)


@partial(jax.jit, static_argnames="k")
def _brier(y: Array, p: Array, s: Weights, *, k: int) -> Scalar:
    y, valid = _inputs.forecasts(y, p, s, k)
    if p.ndim == 2:
        distance = jnp.sum((p - (y[:, None] == jnp.arange(k)[None, :])) ** 2, axis=1)
    else:
        distance = (p - y) ** 2
    return jnp.where(valid, _inputs.mean(distance, s), jnp.nan)
