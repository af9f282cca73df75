"""Multinomial naive Bayes by hand. Letters as in jaxml.bayes.multinomial."""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Labels, Real, Rows, Scalar

__all__ = ["estimates", "log_posterior", "posterior"]

Pair = tuple[Float[Array, " k"], Float[Array, "k d"]]  # (pi, theta)


def log_posterior(
    params: Pair, X: Rows, y: Labels, *, sample_weight: Column, alpha: Real
) -> Scalar:
    """Return sum_i s_i log p(y_i, x_i) + alpha sum_cj log theta_cj, up to constants."""
    # Multinomial likelihood: prod_j theta_cj^(x_j). Dirichlet prior: prod_j theta_cj^alpha
    pi, theta = params
    inner = jnp.log(pi)[y] + (X * jnp.log(theta)[y]).sum(axis=1)
    return (sample_weight * inner).sum() + alpha * jnp.log(theta).sum()


def estimates(
    X: Rows, y: Labels, *, sample_weight: Column, n_classes: int, alpha: Real = 1.0
) -> Pair:
    """Return where the Lagrangian is stationary."""
    # Lagrangian: log-posterior + mu (1 - sum_c pi_c) + sum_c lambda_c (1 - sum_j theta_cj)
    # d/d pi_c: N_c / pi_c = mu  =>  pi_c = N_c / N
    # d/d theta_cj: (T_cj + alpha) / theta_cj = lambda_c, and sum_j theta_cj = 1
    # => lambda_c = sum_j (T_cj + alpha),  theta_cj = (T_cj + alpha) / lambda_c
    weights = [jnp.where(y == c, sample_weight, 0.0) for c in range(n_classes)]
    T = jnp.stack([(w[:, None] * X).sum(axis=0) for w in weights])
    pi = jnp.stack([w.sum() for w in weights]) / sample_weight.sum()
    return pi, (T + alpha) / (T + alpha).sum(axis=1)[:, None]


def posterior(params: Pair, X: Rows) -> Float[Array, "n k"]:
    """Return p(c | x) from the product of the likelihoods themselves."""
    # p(c | x) = pi_c prod_j theta_cj^(x_j) / sum_c' ...; the multinomial coefficient cancels
    pi, theta = params
    joint = pi[None, :] * (theta[None, :, :] ** X[:, None, :]).prod(axis=2)
    return joint / joint.sum(axis=1)[:, None]
