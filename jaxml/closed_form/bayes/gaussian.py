"""Gaussian naive Bayes by hand. Letters as in jaxml.bayes.gaussian; p_i = s_i / N.

Class by class, with plain sums of masked rows: no scatter, no blocks, no update formula.
"""

import math

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Labels, Rows, Scalar

__all__ = ["estimates", "likelihood", "log_posterior_gradient", "merged", "posterior"]

Triple = tuple[Float[Array, " k"], Float[Array, "k d"], Float[Array, "k d"]]  # (pi, m, v)


def likelihood(params: Triple, X: Rows, y: Labels, *, sample_weight: Column) -> Scalar:
    """Return the log-likelihood sum_i s_i log p(y_i, x_i), row by row."""
    # log p(c, x) = log pi_c - 1/2 sum_j [log(2 pi v_cj) + (x_j - m_cj)^2 / v_cj]
    pi, m, v = (leaf[y] for leaf in params)
    inner = 0.5 * (jnp.log(2 * math.pi * v) + (X - m) ** 2 / v).sum(axis=1)
    return (sample_weight * (jnp.log(pi) - inner)).sum()


def estimates(
    X: Rows, y: Labels, *, sample_weight: Column, n_classes: int, var_smoothing: float = 0.0
) -> Triple:
    """Return where the Lagrangian is stationary, with e added to the variances."""
    # Lagrangian: sum_i s_i log p(y_i, x_i) + mu (1 - sum_c pi_c)
    # d/d pi_c: N_c / pi_c = mu for all c; with sum_c pi_c = 1, mu = N and pi_c = N_c / N
    # d/d m_cj: sum_(i in c) s_i (x_ij - m_cj) / v_cj = 0  =>  m_cj = mean
    # d/d v_cj: sum_(i in c) s_i [-1/v_cj + (x_ij - m_cj)^2 / v_cj^2] / 2 = 0  =>  v_cj = variance
    s, masks = sample_weight, [y == c for c in range(n_classes)]
    N_c = [jnp.where(mask, s, 0.0).sum() for mask in masks]
    weights = [jnp.where(mask, s, 0.0)[:, None] / N for mask, N in zip(masks, N_c, strict=True)]
    means = [(w * X).sum(axis=0) for w in weights]
    spreads = [(w * (X - m[None, :]) ** 2).sum(axis=0) for w, m in zip(weights, means, strict=True)]
    p = s[:, None] / s.sum()
    e = var_smoothing * (p * (X - (p * X).sum(axis=0)[None, :]) ** 2).sum(axis=0).max()
    return jnp.stack(N_c) / s.sum(), jnp.stack(means), jnp.stack(spreads) + e


def posterior(params: Triple, X: Rows) -> Float[Array, "n k"]:
    """Return p(c | x) from the product of the densities themselves, no logarithm taken."""
    # Bayes: p(c | x) = pi_c prod_j p(x_j | c) / sum_c' pi_c' prod_j p(x_j | c')
    # p(x_j | c) = exp(-(x_j - m_cj)^2 / (2 v_cj)) / sqrt(2 pi v_cj)
    pi, m, v = params
    z = (X[:, None, :] - m[None, :, :]) ** 2 / (2 * v[None, :, :])
    joint = pi[None, :] * (jnp.exp(-z) / jnp.sqrt(2 * math.pi * v)[None, :, :]).prod(axis=2)
    return joint / joint.sum(axis=1)[:, None]


def log_posterior_gradient(params: Triple, X: Rows) -> Float[Array, "n d"]:
    """Return d log p(0 | x) / dx of each row."""
    # log p(0 | x) = f_0 - log sum_c e^(f_c),  f_c = log p(c, x),  df_c/dx_j = -(x_j - m_cj) / v_cj
    # => d/dx = df_0/dx - sum_c p(c | x) df_c/dx
    _, m, v = params
    slope = -(X[:, None, :] - m[None, :, :]) / v[None, :, :]
    return slope[:, 0] - (posterior(params, X)[:, :, None] * slope).sum(axis=1)


def merged(
    X: Rows, y: Labels, *, sample_weight: Column, n_classes: int
) -> tuple[Float[Array, " k"], Float[Array, "k d"], Float[Array, "k d"]]:
    """Return N_c, the means and the scatters of all rows at once."""
    # sum_i s_i (x_i - m)^2 = sum_i s_i (x_i - a)^2 - N_c (m - a)^2 for any a: here a = m
    _, m, v = estimates(X, y, sample_weight=sample_weight, n_classes=n_classes)
    N_c = jnp.stack([jnp.where(y == c, sample_weight, 0.0).sum() for c in range(n_classes)])
    return N_c, m, N_c[:, None] * v
