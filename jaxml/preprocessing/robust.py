"""Robust scaling: by the median and the distance of two quantiles, which outliers do not move.

    z_ij = (x_ij - c_j) / r_j,    c_j = Q_j(1/2),   r_j = Q_j(hi) - Q_j(lo)
    Q(q) = 1/w int_h^(h+w) x(u) du,   h = q (S - w),   w = min(1, S/n')

where x(u) is the step function that takes the sorted x_i for a length s_i each, S = sum_i s_i and
n' the number of rows of positive weight. Without weights w = 1, and Q interpolates between sorted
numbers as numpy.quantile does; a weight 2 is a row twice; small weights count by their ratios.
r_j = 1 for a column whose quantiles coincide: r_j <= eps max(|Q_j(lo)|, |Q_j(hi)|).

Half of the rows, and a quarter on either side for the default quantiles, may go anywhere before c,
or r, follows them: the breakdown point.

Symbols: c = center, r = scale; s_i = sample_weight[i], 1 if None.   scikit-learn: RobustScaler.
Reference: Hyndman, Fan (1996), Sample quantiles in statistical packages, definition 7; Huber,
Ronchetti (2009), Robust Statistics, section 1.4.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check, _order
from jaxml._loop import Fit, certify, input_flags
from jaxml._numerics import default_tol
from jaxml._sums import total
from jaxml._typing import Array, ArrayLike, Column, Float, Rows, Scalar
from jaxml.preprocessing import _columns

__all__ = ["Params", "fit", "inverse_transform", "transform"]


class Params(NamedTuple):
    """The middle of each column, and how far its middle part spreads."""

    center: Float[Array, " d"]  # c_j, the median
    scale: Float[Array, " d"]  # r_j > 0


def fit(
    X: ArrayLike,
    *,
    quantile_range: tuple[float, float] = (25.0, 75.0),
    sample_weight: ArrayLike | None = None,
) -> Fit[Params]:
    """Find the median and the distance of two quantiles of each column, by one sort of integers.

    Args:
      X: Features (n, d), float32 or float64; integers become the default float.
      quantile_range: 100 lo and 100 hi, 0 <= lo < hi <= 1, traced; 25 and 75 are the quartiles.
      sample_weight: s_i >= 0, not all zero; integers are counts of rows.

    Returns:
      Params, and Info with objective = the mean over columns of 1/S sum_i s_i |z_ij|, of which c_j
      is a minimum, and residual = max over the three quantiles of the share of the weight that lies
      on the wrong side. Derivatives with respect to X and sample_weight are those of the formula at
      the present order of the rows.

    Raises:
      ValueError: Shapes disagree, quantile_range is none, or a concrete array holds NaN or inf.
      TypeError: An array is not numeric.

    Example:
      >>> params, info = fit([[1.0], [2.0], [3.0], [4.0], [1e9]])
      >>> params.center.tolist(), params.scale.tolist()
      ([3.0], [2.0])
    """
    X, s = _columns.inputs(X, sample_weight)
    q = _check.array("quantile_range", jnp.asarray(quantile_range), ndim=1, dtype=X.dtype)
    if q.shape != (2,):
        raise ValueError(f"quantile_range must be two percentages: got shape {q.shape}")
    if _check.is_concrete(q) and not 0 <= float(q[0]) < float(q[1]) <= 100:
        raise ValueError(f"quantile_range must be 0 <= lo < hi <= 100: got {q.tolist()}")
    return _check.raise_for(_fit(X, s, q), X, s)


@jax.jit
def _fit(X: Rows, s: Column, quantile_range: Float[Array, "2"]) -> Fit[Params]:
    S = total(s)
    w = jnp.minimum(1.0, S / jnp.maximum(jnp.sum(s > 0), 1))
    q = jnp.concatenate([quantile_range / 100, jnp.full(1, 0.5, X.dtype)])
    starts = q * (S - w)

    def column(x: Column) -> tuple[Array, Array, Array]:
        order = _order.argsort(_order.key(x))
        x, weight = x[order], s[order]
        ends = jnp.cumsum(weight)
        Q, wrong = jax.vmap(lambda h: _quantile(x, weight, ends, h, w))(starts)
        return Q, jnp.max(wrong) / S, total(weight * jnp.abs(x - Q[2])) / S

    Q, wrong, spread = jax.lax.map(column, X.T)
    lo, hi, c = Q.T
    size = jax.lax.stop_gradient(jnp.maximum(jnp.abs(lo), jnp.abs(hi)))
    r = _columns.or_one(hi - lo, size)
    ordered = (quantile_range[0] >= 0) & (quantile_range[0] < quantile_range[1])
    ordered = ordered & (quantile_range[1] <= 100)
    return certify(
        Params(c, r),
        objective=jnp.mean(spread / r),
        residual=jnp.where(ordered, jnp.max(wrong), jnp.nan),
        tol=default_tol(X.dtype),
        n_iter=1,
        flags=input_flags(X, s, s, _columns.ends(X)),
    )


def _quantile(x: Column, s: Column, ends: Column, h: Scalar, w: Scalar) -> tuple[Scalar, Scalar]:
    """Q of sorted x, and the weight on its wrong side: below it beyond h + w, or h beyond it."""
    h = jnp.minimum(h, ends[-1] - w)  # rounding may carry a sum in another order past the end
    part = jnp.maximum(jnp.minimum(ends, h + w) - jnp.maximum(ends - s, h), 0.0)
    n = x.shape[0]
    low, high = jax.lax.stop_gradient(
        (
            x[jnp.minimum(jnp.searchsorted(ends, h, side="right"), n - 1)],
            x[jnp.minimum(jnp.searchsorted(ends, h + w, side="left"), n - 1)],
        )
    )
    # From the lowest of the few rows that take part: exact where they are equal.
    Q = low + jnp.sum(part * jnp.where(part > 0, x - low, 0.0)) / jnp.sum(part)
    Q = jnp.where(high < Q, high, Q)

    def weight(side: str) -> Scalar:
        rows = jnp.searchsorted(x, Q, side=side)
        return jnp.where(rows > 0, ends[jnp.maximum(rows - 1, 0)], 0.0)

    below, upto = weight("left"), weight("right")
    return Q, jnp.maximum(jnp.maximum(below - (h + w), h - upto), 0.0)


def transform(params: Params, X: ArrayLike) -> Rows:
    """Return z = (x - c) / r.

    Raises:
      ValueError: X has another number of columns, or a concrete X holds NaN or inf.
    """
    return _columns.mapped(X, params.center, params.scale)


def inverse_transform(params: Params, X: ArrayLike) -> Rows:
    """Return x = c + r z, for rows z of X.

    Raises:
      ValueError: X has another number of columns, or a concrete X holds NaN or inf.
    """
    return _columns.inverse(X, params.center, params.scale)
