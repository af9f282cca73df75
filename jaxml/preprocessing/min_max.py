"""Scaling to [0, 1]: the smallest and the largest number of each column become 0 and 1.

    z_ij = (x_ij - a_j) / r_j,    a_j = min_i x_ij,   b_j = max_i x_ij,   r_j = b_j - a_j

over the rows of positive weight, with r_j = 1 for a column that does not vary: b_j - a_j <= eps
max(|a_j|, |b_j|), a unit in its last place. Rows beyond those of the fit leave [0, 1].

Symbols: a = min, b = max.   scikit-learn: MinMaxScaler.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._lanes import any_lane
from jaxml._loop import Fit, certify, input_flags
from jaxml._numerics import default_tol
from jaxml._typing import Array, ArrayLike, Column, Float, Rows
from jaxml.preprocessing import _columns

__all__ = ["Params", "fit", "inverse_transform", "transform"]


class Params(NamedTuple):
    """The ends of each column."""

    min: Float[Array, " d"]  # a_j
    max: Float[Array, " d"]  # b_j


def fit(X: ArrayLike, *, sample_weight: ArrayLike | None = None) -> Fit[Params]:
    """Find the smallest and the largest number of each column. Rows may be sharded.

    Args:
      X: Features (n, d), float32 or float64; integers become the default float.
      sample_weight: s_i >= 0, not all zero; which are positive is all that matters.

    Returns:
      Params, and Info with objective = the mean over columns of max_i z_ij, that is the share of
      columns that vary, and residual = max_j |max_i z_ij - 1| over them, 0 but for overflow.
      DIVERGED: b_j - a_j overflows. The derivative of an end that m rows reach is 1/m for each.

    Raises:
      ValueError: Shapes disagree, or a concrete array holds NaN or inf.
      TypeError: An array is not numeric.

    Example:
      >>> params, info = fit([[1.0, 5.0], [3.0, 5.0]])
      >>> transform(params, [[1.5, 6.0]]).tolist()
      [[0.25, 1.0]]
    """
    X, s = _columns.inputs(X, sample_weight)
    return _check.raise_for(_fit(X, s), X, s)


@jax.jit
def _fit(X: Rows, s: Column) -> Fit[Params]:
    everywhere = _columns.ends(X)

    def masked(X: Rows) -> Array:
        there = (s > 0)[:, None]
        low, high = jnp.where(there, X, jnp.inf), jnp.where(there, X, -jnp.inf)
        return jnp.stack([jnp.min(low, axis=0), jnp.max(high, axis=0)])

    # A mask costs a CPU its fast reduction: only where a row is removed.
    removed = any_lane((s == 0).any())
    params = Params(*jax.lax.cond(removed, masked, lambda X: everywhere, X))
    r = _scale(params)
    top = (params.max - params.min) / r
    alive = _columns.varies(params.max - params.min, _size(params))
    return certify(
        params,
        objective=jnp.mean(jnp.where(alive, top, 0.0)),
        residual=jnp.max(jnp.where(alive, jnp.abs(top - 1), 0.0)),
        tol=default_tol(X.dtype),
        n_iter=1,
        flags=input_flags(X, s, s, everywhere),
    )


def _size(params: Params) -> Float[Array, " d"]:
    return jnp.maximum(jnp.abs(params.min), jnp.abs(params.max))


def _scale(params: Params) -> Float[Array, " d"]:
    return _columns.or_one(params.max - params.min, jax.lax.stop_gradient(_size(params)))


def transform(params: Params, X: ArrayLike) -> Rows:
    """Return z = (x - a) / r.

    Raises:
      ValueError: X has another number of columns, or a concrete X holds NaN or inf.
    """
    return _columns.mapped(X, params.min, _scale(params))


def inverse_transform(params: Params, X: ArrayLike) -> Rows:
    """Return x = a + r z, for rows z of X.

    Raises:
      ValueError: X has another number of columns, or a concrete X holds NaN or inf.
    """
    return _columns.inverse(X, params.min, _scale(params))
