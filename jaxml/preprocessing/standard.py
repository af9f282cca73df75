"""Standardization: mean 0 and standard deviation 1 in each column.

    z_ij = (x_ij - m_j) / r_j,    m_j = 1/S sum_i s_i x_ij,   r_j^2 = 1/S sum_i s_i (x_ij - m_j)^2

with r_j = 1 for a column that does not vary: r_j <= eps |m_j|, a unit in its mean's last place.

Symbols: s_i = sample_weight[i], 1 if None; S = sum_i s_i; m = mean, r = scale, over n, not n - 1.
scikit-learn: StandardScaler.   Reference: Chan, Golub, LeVeque (1983), Algorithms for computing the
sample variance, eq. (1.7).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._lanes import any_lane
from jaxml._loop import Code, Fit, certify, input_flags
from jaxml._sums import column_sums, moments, total
from jaxml._typing import Array, ArrayLike, Column, Float, Rows
from jaxml.preprocessing import _columns

__all__ = ["Params", "fit", "inverse_transform", "transform"]


class Params(NamedTuple):
    """Where each column lies, and how far it spreads."""

    mean: Float[Array, " d"]  # m_j
    scale: Float[Array, " d"]  # r_j > 0


def fit(X: ArrayLike, *, sample_weight: ArrayLike | None = None) -> Fit[Params]:
    """Find mean and standard deviation of each column, and verify them in a second pass.

    They are taken about a center near the mean, so that nothing cancels: columns far from
    0 keep what digits their numbers have. Rows may be sharded.

    Args:
      X: Features (n, d), float32 or float64; integers become the default float.
      sample_weight: s_i >= 0, not all zero; only their ratios matter.

    Returns:
      Params, and Info with objective = the mean over columns of 1/S sum_i s_i z_ij^2, that is the
      share of columns that vary, and residual = max over them of |1/S sum_i s_i z_ij| and
      |1/S sum_i s_i z_ij^2 - 1|.
      ILL_CONDITIONED: the residual exceeds sqrt(eps), since a column lies so far from 0 that its
      mean cannot be stored any closer; the parameters are the best of the dtype. Derivatives with
      respect to X and sample_weight are those of the formula, 0 for a column that does not vary.

    Raises:
      ValueError: Shapes disagree, or a concrete array holds NaN or inf.
      TypeError: An array is not numeric.

    Example:
      >>> params, info = fit([[1.0, 5.0], [3.0, 5.0]])
      >>> params.mean.tolist(), params.scale.tolist()
      ([2.0, 5.0], [1.0, 1.0])
    """
    X, s = _columns.inputs(X, sample_weight)
    return _check.raise_for(_fit(X, s), X, s)


@jax.jit
def _fit(X: Rows, s: Column) -> Fit[Params]:
    p = s / total(s)
    m, sd = _moments(X, p, s)
    r = _columns.or_one(sd, m)
    alive = _columns.varies(sd, m)

    Z = (X - m[None, :]) / r[None, :]
    P = p[:, None] * Z
    first, second = column_sums(P, P * Z)
    off = jnp.maximum(jnp.abs(first), jnp.abs(second - 1))
    return certify(
        Params(m, r),
        objective=jnp.mean(jnp.where(alive, second, 0.0)),
        residual=jnp.max(jnp.where(alive, off, 0.0)),
        tol=float(jnp.finfo(X.dtype).eps) ** 0.5,
        n_iter=1,
        flags=input_flags(X, s, s, m + sd),
        unmet=Code.ILL_CONDITIONED,
    )


def _moments(X: Rows, p: Column, s: Column) -> tuple[Array, Array]:
    """Mean and deviation; a column whose squares may over- or underflow in units of its size."""
    m, sd = moments(X, p)
    small, large = (float(jnp.finfo(X.dtype).tiny) ** power for power in (0.25, -0.25))
    extreme = ~((sd > small) & (sd < large))

    def rescaled(X: Rows) -> tuple[Array, Array]:
        peak = jnp.max(jnp.where((s > 0)[:, None], jnp.abs(X), 0.0), axis=0)
        u = jnp.where(extreme & (peak > 0), jax.lax.stop_gradient(peak), 1.0)
        m_u, sd_u = moments(X / u[None, :], p)
        return jnp.where(jnp.isfinite(m), m, m_u * u), sd_u * u

    m_u, sd_u = jax.lax.cond(any_lane(extreme.any()), rescaled, lambda X: (m, sd), X)
    return jnp.where(extreme, m_u, m), jnp.where(extreme, sd_u, sd)


def transform(params: Params, X: ArrayLike) -> Rows:
    """Return z = (x - m) / r.

    Raises:
      ValueError: X has another number of columns, or a concrete X holds NaN or inf.
    """
    return _columns.mapped(X, params.mean, params.scale)


def inverse_transform(params: Params, X: ArrayLike) -> Rows:
    """Return x = m + r z, for rows z of X.

    Raises:
      ValueError: X has another number of columns, or a concrete X holds NaN or inf.
    """
    return _columns.inverse(X, params.mean, params.scale)
