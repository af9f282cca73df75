"""Impurities by hand: their gradients, and the Gini impurity as the chance of a mistake."""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Scalar

__all__ = ["entropy_gradient", "gini_gradient", "pairs", "variance_gradient"]


def gini_gradient(p: Float[Array, " k"]) -> Float[Array, " k"]:
    """Return d/dp (1 - sum_c p_c^2)."""
    # each p_c enters one square: d/dp_c = -2 p_c
    return -2 * p


def entropy_gradient(p: Float[Array, " k"]) -> Float[Array, " k"]:
    """Return d/dp (- sum_c p_c log p_c) for p > 0."""
    # d/dp_c (p_c log p_c) = log p_c + p_c / p_c
    return -jnp.log(p) - 1


def variance_gradient(y: Column, sample_weight: Column) -> Column:
    """Return d/dy of sum_i q_i (y_i - m)^2, m = sum_i q_i y_i."""
    # d/dy_i = 2 q_i (y_i - m) - 2 dm/dy_i sum_j q_j (y_j - m), and the last sum is 0
    q = sample_weight / sample_weight.sum()
    return 2 * q * (y - (q * y).sum())


def pairs(p: Float[Array, " k"]) -> Scalar:
    """Return the chance that two draws from p differ, pair by pair: the Gini impurity."""
    # sum_{c != e} p_c p_e = (sum_c p_c)^2 - sum_c p_c^2 = 1 - sum_c p_c^2
    total = jnp.zeros((), p.dtype)
    for c in range(len(p)):
        for e in range(len(p)):
            if c != e:
                total = total + p[c] * p[e]
    return total
