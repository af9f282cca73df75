"""Bernoulli naive Bayes by hand. Letters as in jaxml.bayes.bernoulli; B holds 0 and 1."""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Labels, Real, Rows, Scalar

__all__ = ["estimates", "log_posterior", "posterior"]

Pair = tuple[Float[Array, " k"], Float[Array, "k d"]]  # (pi, P)


def log_posterior(
    params: Pair, B: Rows, y: Labels, *, sample_weight: Column, alpha: Real
) -> Scalar:
    """Return sum_i s_i log p(y_i, b_i) + alpha sum_cj log P_cj (1 - P_cj), up to constants."""
    # Bernoulli likelihood: prod_j P_cj^(b_j) (1 - P_cj)^(1 - b_j). Beta prior: [P (1 - P)]^alpha
    pi, P = params
    inner = (B * jnp.log(P)[y] + (1 - B) * jnp.log(1 - P)[y]).sum(axis=1)
    total = (sample_weight * (jnp.log(pi)[y] + inner)).sum()
    return total + alpha * (jnp.log(P) + jnp.log(1 - P)).sum()


def estimates(
    B: Rows, y: Labels, *, sample_weight: Column, n_classes: int, alpha: Real = 1.0
) -> Pair:
    """Return where the Lagrangian is stationary."""
    # d/d P_cj: (T_cj + alpha) / P_cj = (N_c - T_cj + alpha) / (1 - P_cj)
    # => (T_cj + alpha)(1 - P_cj) = (N_c - T_cj + alpha) P_cj
    # => P_cj = (T_cj + alpha) / (N_c + 2 alpha);  pi_c = N_c / N as for any naive Bayes
    weights = [jnp.where(y == c, sample_weight, 0.0) for c in range(n_classes)]
    N_c = jnp.stack([w.sum() for w in weights])
    T = jnp.stack([(w[:, None] * B).sum(axis=0) for w in weights])
    return N_c / N_c.sum(), (T + alpha) / (N_c + 2 * alpha)[:, None]


def posterior(params: Pair, B: Rows) -> Float[Array, "n k"]:
    """Return p(c | b) from the product of the likelihoods themselves."""
    pi, P = params
    on, B = P[None, :, :], B[:, None, :]
    joint = pi[None, :] * (B * on + (1 - B) * (1 - on)).prod(axis=2)
    return joint / joint.sum(axis=1)[:, None]
