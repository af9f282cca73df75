"""Bias and variance of linear smoothers by hand; letters as in jaxml.analysis.bias_variance.

A mean, ridge and k nearest neighbors all predict F = S y with an S that depends on the design
alone. With y = f(X) + eps, eps ~ N(0, sigma^2 I): F ~ N(S f(X), sigma^2 S S'). ESL (2009), (7.10).
"""

from functools import partial

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Float, Real, Rows, Scalar

__all__ = [
    "average_variance", "estimates", "knn_smoother", "mean_smoother", "pairwise_variance",
    "resampled_mean", "ridge_smoother", "terms",
]  # fmt: skip

Smoother = Float[Array, "m n"]
dot = partial(jnp.dot, precision=Precision.HIGHEST)


def mean_smoother(X: Rows, Z: Rows) -> Smoother:
    """S of the mean of all targets."""
    return jnp.full((len(Z), len(X)), 1 / len(X), X.dtype)


def ridge_smoother(X: Rows, Z: Rows, *, l2: Real) -> Smoother:
    """S of ridge regression with an intercept."""
    # w = (Xc'Xc/n + l2 I)^-1 Xc'y/n,  b = 1'y/n - m_x'w   =>  z'w + b = 1'y/n + (z - m_x)'w
    # => S = 1 1'/n + Zc (Xc'Xc/n + l2 I)^-1 Xc'/n
    n, d = X.shape
    m_x = X.mean(axis=0)
    Xc, Zc = X - m_x[None, :], Z - m_x[None, :]
    A = dot(Xc.T, Xc) / n + l2 * jnp.eye(d, dtype=X.dtype)
    return mean_smoother(X, Z) + dot(Zc, jnp.linalg.solve(A, Xc.T / n))


def knn_smoother(X: Rows, Z: Rows, *, k: int) -> Smoother:
    """S of the mean over the k nearest rows: 1/k at each of them."""
    D = ((Z[:, None, :] - X[None, :, :]) ** 2).sum(axis=2)
    # x_i is among the k nearest of z_j if fewer than k rows are nearer
    nearer = (D[:, None, :] < D[:, :, None]).sum(axis=2)
    return jnp.where(nearer < k, 1.0, 0.0).astype(X.dtype) / k


def terms(S: Smoother, f: Array, f_test: Array, *, noise_variance: Scalar) -> tuple[Array, Array]:
    """bias^2 and variance, each a mean over the test points."""
    # E F_j = sum_i S_ji f_i  =>  bias_j = (S f - f_test)_j
    # Var F_j = sigma^2 sum_i S_ji^2
    b = dot(S, f) - f_test
    return (b**2).mean(), noise_variance * (S**2).sum(axis=1).mean()


def estimates(
    S: Smoother, f: Array, f_test: Array, *, noise_variance: Scalar, n_datasets: int
) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
    """Means and standard errors of the estimates (bias2, variance, error) from R data sets."""
    R, m = n_datasets, len(f_test)
    bias2, variance = terms(S, f, f_test, noise_variance=noise_variance)
    b, C = dot(S, f) - f_test, noise_variance * dot(S, S.T)
    # For v ~ N(b, T): E v'v = b'b + tr T,  Var v'v = 4 b'T b + 2 tr(T^2).
    # bias2 = v'v/m with v = mean of R rows of covariance C, so T = C/R:
    se_bias2 = jnp.sqrt(4 * dot(b, dot(C, b)) / R + 2 * (C**2).sum() / R**2) / m
    # R m variance = tr of a Wishart(C, R - 1): mean (R - 1) tr C, variance 2 (R - 1) tr(C^2)
    se_variance = jnp.sqrt(2 * (R - 1) * (C**2).sum()) / (R * m)
    # error = mean of R independent v'v/m with v = F - y, so T = C + sigma^2 I:
    T = C + noise_variance * jnp.eye(m, dtype=S.dtype)
    se_error = jnp.sqrt((4 * dot(b, dot(T, b)) + 2 * (T**2).sum()) / R) / m
    means = (bias2 + variance / R, variance * (1 - 1 / R), bias2 + variance + noise_variance)
    return means, (se_bias2, se_variance, se_error)


def pairwise_variance(F: Float[Array, "r m"]) -> Array:
    """The variance over data sets, from differences of pairs of them."""
    # sum_rs (F_r - F_s)^2 = 2 R sum_r F_r^2 - 2 (sum_r F_r)^2 = 2 R^2 (mean of squares - mean^2)
    return ((F[:, None, :] - F[None, :, :]) ** 2).mean() / 2


def resampled_mean(y: Float[Array, " n"], *, n_datasets: int) -> tuple[Array, Array]:
    """Mean and standard error of the variance, over R resamples, of the mean of y."""
    # A resampled mean is that of n independent draws from the values of y: variance v/n and excess
    # kurtosis kappa/n.  The sample variance of R of them varies by v_n^2 (2/(R - 1) + kappa_n/R).
    n, R = len(y), n_datasets
    d = y - y.mean()
    v = (d**2).mean()
    kappa = (d**4).mean() / v**2 - 3
    share = 1 - 1 / R
    return v / n * share, v / n * share * jnp.sqrt(2 / (R - 1) + kappa / (n * R))


def average_variance(F: Float[Array, "r b m"]) -> tuple[Array, Array]:
    """(rho, rho s^2 + (1 - rho) s^2 / B) with the covariance of every pair of members formed."""
    B = F.shape[1]
    D = F - F.mean(axis=0)[None]
    cov = (D[:, :, None, :] * D[:, None, :, :]).mean(axis=(0, 3))
    # Var(1/B sum_b F_b) = 1/B^2 (sum_b Var F_b + sum_{b != c} Cov(F_b, F_c))
    s2 = jnp.trace(cov) / B
    rho = (cov.sum() - jnp.trace(cov)) / (B * (B - 1)) / s2
    # = s^2 / B + (1 - 1/B) rho s^2 = rho s^2 + (1 - rho) s^2 / B     (ESL eq. 15.1)
    return rho, rho * s2 + (1 - rho) * s2 / B
