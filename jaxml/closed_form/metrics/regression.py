"""R^2 and how it moves with predictions and with features. Letters as in jaxml.metrics."""

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Column, Float, Real, Rows, Scalar

__all__ = ["adjusted_ratio", "mse_gradient", "r2", "r2_gradient", "r2_of_least_squares"]


def mse_gradient(z: Column, y: Column, s: Column) -> Column:
    """DMSE/dz."""
    # (y - z)^2  =>  2 (z - y)
    return 2 * s / s.sum() * (z - y)


def _about_mean(y: Column, s: Column) -> Scalar:
    # sum_i s_i (y_i - m)^2 = 1/(2S) sum_ij s_i s_j (y_i - y_j)^2: no mean needed
    return (s[:, None] * s[None, :] * (y[:, None] - y[None, :]) ** 2).sum() / (2 * s.sum())


def r2(y: Column, z: Column, *, sample_weight: Column) -> Scalar:
    """R^2, the sum of squares about the mean from all pairs."""
    return 1 - (sample_weight * (y - z) ** 2).sum() / _about_mean(y, sample_weight)


def r2_gradient(z: Column, y: Column, s: Column) -> Column:
    """DR^2/dz."""
    # R^2 = 1 - sum_i s_i (y_i - z_i)^2 / T, T free of z
    return -2 * s * (z - y) / _about_mean(y, s)


def _projected(X: Rows, y: Column) -> tuple[Float[Array, " k"], Float[Array, "k k"], Scalar]:
    """Least squares with intercept by the normal equations: b, (Z'Z)^-1, sum of squared errors."""
    Z = jnp.concatenate([jnp.ones((len(X), 1), X.dtype), X], axis=1)
    G = jnp.linalg.inv(jnp.dot(Z.T, Z, precision=Precision.HIGHEST))
    b = jnp.dot(G, jnp.dot(Z.T, y, precision=Precision.HIGHEST), precision=Precision.HIGHEST)
    return b, G, ((y - jnp.dot(Z, b, precision=Precision.HIGHEST)) ** 2).sum()


def r2_of_least_squares(X: Rows, y: Column) -> Scalar:
    """R^2 of the fit to all columns: a fit to fewer is one with coefficients 0, so no better."""
    return 1 - _projected(X, y)[2] / _about_mean(y, jnp.ones_like(y))


def adjusted_ratio(X: Rows, y: Column) -> Real:
    """(1 - adjusted R^2) without the last column over that with it, by its t statistic."""
    # d columns, E = squared errors with all of them, E' without the last, v = n - d - 1
    # E' = E + b_d^2/G_dd, t^2 = b_d^2/(G_dd E/v)  =>  E'/E = 1 + t^2/v
    # 1 - adjusted R^2 = E/v (n - 1)/T  =>  ratio = E'/(v + 1) v/E = (v + t^2)/(v + 1)
    # Below 1, so that adjusted R^2 falls with the column, if t^2 < 1.
    n, d = X.shape
    b, G, E = _projected(X, y)
    v = n - d - 1
    t2 = b[-1] ** 2 / (G[-1, -1] * E / v)
    return (v + t2) / (v + 1)
