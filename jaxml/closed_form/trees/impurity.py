"""Impurities by hand: their gradients, and what a split lowers, from the definitions."""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Scalar

__all__ = ["decrease", "entropy_gradient", "gini_gradient", "of", "pairs", "variance_gradient"]


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


def of(y: Column, s: Float[Array, "... n"], criterion: str, n_classes: int) -> tuple[Array, Array]:
    """Return the weight W of rows and their impurity, 0 for no rows; s = 0 leaves a row out."""
    y = jnp.broadcast_to(y, s.shape)
    W = s.sum(axis=-1)
    q = s / jnp.where(W > 0, W, 1)[..., None]
    if criterion == "variance":
        m = (q * y).sum(axis=-1)
        return W, (q * (y - m[..., None]) ** 2).sum(axis=-1)
    p = jnp.stack([jnp.where(y == c, q, 0).sum(axis=-1) for c in range(n_classes)])
    if criterion == "gini":
        return W, jnp.where(W > 0, 1 - (p**2).sum(axis=0), 0)
    return W, -jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0).sum(axis=0)


def decrease(
    y: Column, s: Column, left: Float[Array, "... n"], criterion: str, n_classes: int
) -> Array:
    """Return I - W_L/W I_L - W_R/W I_R, left in {0, 1} telling the side of each row."""
    s = jnp.broadcast_to(s, left.shape)
    W, whole = of(y, s, criterion, n_classes)
    W_L, part_L = of(y, s * left, criterion, n_classes)
    W_R, part_R = of(y, s * (1 - left), criterion, n_classes)
    return whole - W_L / W * part_L - W_R / W * part_R
