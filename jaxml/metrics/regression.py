"""Metrics of predicted numbers.

    MSE = 1/S sum_i s_i (y_i - z_i)^2,    R^2 = 1 - sum_i s_i (y_i - z_i)^2 / sum_i s_i (y_i - m)^2
    adjusted R^2 = 1 - (1 - R^2) (S - 1)/(S - d - 1)

Symbols: y = y_true, z = y_pred, d = n_features; s_i = sample_weight[i], 1 if None; S = sum_i s_i;
m = 1/S sum_i s_i y_i.   scikit-learn: mean_squared_error, r2_score.
Reference: Theil (1961), Economic Forecasts and Policy, section 6.4, for the adjustment.
"""

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._scatter import above_rounding
from jaxml._typing import Array, ArrayLike, Bool, Column, Real, Scalar, Weights
from jaxml.metrics import _inputs

__all__ = ["adjusted_r2", "mean_squared_error", "r2"]


def mean_squared_error(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> Scalar:
    """Return MSE, without the 1/2 of losses.squared.

    Args:
      y_true: Targets (n,).
      y_pred: Predictions (n,).
      sample_weight: s_i >= 0, not all zero.

    Raises:
      ValueError: Shapes disagree, or a concrete array holds NaN or inf.

    Example:
      >>> float(mean_squared_error([1.0, 2.0], [1.0, 4.0]))
      2.0
    """
    y, z, s = _pair(y_true, y_pred, sample_weight)
    return _judged(_mse(y, z, s), y, z, s)


def r2(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> Scalar:
    """Return R^2, the share of the variance about the mean that is explained; 1 at best.

    Args:
      y_true: Targets (n,).
      y_pred: Predictions (n,).
      sample_weight: s_i >= 0, not all zero.

    Returns:
      R^2; NaN where y_true does not vary, its standard deviation being at most eps |m|, a unit in
      the last place of its mean (scikit-learn says 0 or 1 there).

    Raises:
      ValueError: Shapes disagree, or a concrete array holds NaN or inf.

    Example:
      >>> float(r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]))  # 1 - 1/2
      0.5
    """
    y, z, s = _pair(y_true, y_pred, sample_weight)
    return _judged(_r2(y, z, s), y, z, s)


def adjusted_r2(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    n_features: Real,
    sample_weight: ArrayLike | None = None,
) -> Scalar:
    """Return adjusted R^2, in which a feature that explains nothing costs.

    Args:
      y_true: Targets (n,).
      y_pred: Predictions (n,), of a model with an intercept.
      n_features: d >= 0, the features of that model; traced.
      sample_weight: s_i >= 0, not all zero; S is the number of rows, so weights are counts here.

    Returns:
      Adjusted R^2; NaN where R^2 is, and where S <= d + 1.

    Raises:
      ValueError: Shapes disagree, n_features < 0, or a concrete array holds NaN or inf.

    Example:
      >>> float(adjusted_r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0], n_features=1))  # 1 - 1/2 2/1
      0.0
    """
    y, z, s = _pair(y_true, y_pred, sample_weight)
    d = _check.at_least("n_features", n_features, 0, dtype=y.dtype)
    return _judged(_adjusted(y, z, s, d), y, z, s)


def _pair(
    y_true: ArrayLike, y_pred: ArrayLike, s: ArrayLike | None
) -> tuple[Column, Column, Weights]:
    y = _inputs.scores("y_true", y_true)
    z = _inputs.scores("y_pred", y_pred, y.shape[0])
    dtype = jnp.promote_types(y.dtype, z.dtype)
    return y.astype(dtype), z.astype(dtype), _inputs.columns(s, y.shape[0], dtype)


def _judged(value: Scalar, y: Column, z: Column, s: Weights) -> Scalar:
    return _inputs.judged(value, s, (_inputs.finite, "y_true", y), (_inputs.finite, "y_pred", z))


def _sound(y: Column, z: Column, s: Weights) -> Bool[Array, ""]:
    return _inputs.counted(jnp.isfinite(y) & jnp.isfinite(z), s) & _inputs.sound(s)


@jax.jit
def _mse(y: Column, z: Column, s: Weights) -> Scalar:
    return jnp.where(_sound(y, z, s), _inputs.mean((y - z) ** 2, s), jnp.nan)


@jax.jit
def _r2(y: Column, z: Column, s: Weights) -> Scalar:
    first = _inputs.mean(y, s)
    # In units of the largest deviation, so that no square over- or underflows.
    there = jnp.ones(y.shape, bool) if s is None else s > 0
    u = jax.lax.stop_gradient(jnp.max(jnp.where(there, jnp.abs(y - first), 0.0)))
    u = jnp.where(u > 0, u, 1.0)
    a = (y - first) / u
    v = _inputs.mean(a**2, s) - _inputs.mean(a, s) ** 2  # the second term is what rounding left
    varies = above_rounding(v, first / u)
    unexplained = _inputs.mean(((y - z) / u) ** 2, s) / jnp.where(varies, v, 1.0)
    return jnp.where(_sound(y, z, s) & varies, 1 - unexplained, jnp.nan)


@jax.jit
def _adjusted(y: Column, z: Column, s: Weights, d: Scalar) -> Scalar:
    S = _inputs.mass(jnp.ones(y.shape, bool), s, y.dtype)
    left = S - d - 1
    factor = (S - 1) / jnp.where(left > 0, left, 1.0)
    return jnp.where(left > 0, 1 - (1 - _r2(y, z, s)) * factor, jnp.nan)
