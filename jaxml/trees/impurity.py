"""Impurities of a node: how far its labels or targets are from being all equal.

    gini(p) = 1 - sum_c p_c^2,   entropy(p) = - sum_c p_c log p_c (nats),   p_c >= 0, sum_c p_c = 1
    variance(y) = sum_i q_i (y_i - m)^2,    m = sum_i q_i y_i,    q_i = s_i / sum_j s_j

Each is 0 where all is equal, concave in the distribution, and so never larger in the mean over the
parts of a split than before it. scikit-learn takes the logarithm to base 2.

Reference: Breiman et al. (1984), Classification and regression trees, sections 2.5 and 8.4.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._numerics import xlogx
from jaxml._sums import weighted_mean
from jaxml._typing import Array, ArrayLike, Column, Float, Scalar

__all__ = ["entropy", "gini", "variance"]


def gini(p: ArrayLike) -> Scalar:
    """Return 1 - sum_c p_c^2, the chance that two draws differ; gradient -2 p.

    Args:
      p: Probabilities (k,), or anything with classes on its only axis; vmap for more.

    Example:
      >>> float(gini([0.5, 0.5]))
      0.5
    """
    # sum p (1 - p) = sum p - sum p^2, which keeps its digits where one p is almost 1.
    p = _distribution(p)
    return jnp.sum(p * (1 - p)) + (1 - jnp.sum(p))


def entropy(p: ArrayLike) -> Scalar:
    """Return - sum_c p_c log p_c in nats, 0 log 0 = 0; the gradient is 0 at p_c = 0.

    Args:
      p: Probabilities (k,).

    Example:
      >>> round(float(entropy([0.5, 0.5])), 4)  # log 2
      0.6931
    """
    return -jnp.sum(xlogx(_distribution(p)))


def variance(y: ArrayLike, sample_weight: ArrayLike | None = None) -> Scalar:
    """Return the variance about the weighted mean, in two passes.

    Args:
      y: Targets (n,).
      sample_weight: s_i >= 0, not all zero; None stands for ones.

    Example:
      >>> float(variance([0.0, 2.0], [3.0, 1.0]))  # 3/4 1/4 2^2
      0.75
    """
    y = _check.finite("y", _check.array("y", y, ndim=1))
    s = _check.weights(sample_weight, y[:, None])
    return spread(y, jnp.asarray(s))


@jax.jit
def spread(y: Column, s: Column) -> Scalar:
    """variance without checks."""
    y = jnp.where(s > 0, y, 0.0)
    m = weighted_mean(y, s)
    m = m + weighted_mean(y - m, s)
    return weighted_mean((y - m) ** 2, s)


def _distribution(p: Any) -> Float[Array, " k"]:
    return _check.finite("p", _check.array("p", p, ndim=1))
