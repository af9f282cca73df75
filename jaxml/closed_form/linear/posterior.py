"""Penalties as priors, by hand. y_i ~ N(z_i, noise^2), z = X w + b, b with a flat prior.

Gaussian prior w_j ~ N(0, scale^2); Laplace prior of density e^(-|w_j|/scale) / (2 scale).
"""

from functools import partial

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Column, Float, Labels, Real, Rows, Scalar

__all__ = [
    "gaussian_gradient", "laplace_gradient", "laplace_logistic_gradient", "mode", "to_l1", "to_l2",
]  # fmt: skip

Pair = tuple[Float[Array, " d"], Scalar]  # (w, b)
dot = partial(jnp.dot, precision=Precision.HIGHEST)


def to_l2(n: int, *, noise: Real, scale: Real) -> Real:
    """Return the l2 of the penalized mean loss."""
    # -log posterior = sum_i (z_i - y_i)^2 / (2 noise^2) + ||w||^2 / (2 scale^2) + const
    #   = n/noise^2 [ 1/(2n) sum_i (z_i - y_i)^2 + 1/2 noise^2/(n scale^2) ||w||^2 ] + const
    return noise**2 / (n * scale**2)


def to_l1(n: int, *, noise: Real, scale: Real) -> Real:
    """Return the l1 of the penalized mean loss."""
    # ||w||_1 / scale = n/noise^2 [ noise^2/(n scale) ||w||_1 ]
    return noise**2 / (n * scale)


def gaussian_gradient(params: Pair, X: Rows, y: Column, *, noise: Real, scale: Real) -> Pair:
    """Return d(-log posterior)/d(w, b): n/noise^2 times the gradient of ridge regression."""
    w, b = params
    r = (dot(X, w) + b - y) / y.size
    c = y.size / noise**2
    return c * (dot(r, X) + to_l2(y.size, noise=noise, scale=scale) * w), c * r.sum()


def laplace_gradient(params: Pair, X: Rows, y: Column, *, noise: Real, scale: Real) -> Pair:
    """Return d(-log posterior)/d(w, b): n/noise^2 times the gradient of the lasso, no w_j = 0."""
    w, b = params
    r = (dot(X, w) + b - y) / y.size
    c = y.size / noise**2
    g_w = dot(r, X) + to_l1(y.size, noise=noise, scale=scale) * jnp.sign(w)
    return c * g_w, c * r.sum()


def laplace_logistic_gradient(params: Pair, X: Rows, y: Labels, *, scale: Real) -> Pair:
    """Return d(-log posterior)/d(w, b) for Bernoulli y: n times that of l1 = 1/(n scale)."""
    # A Bernoulli likelihood has no noise parameter: J = -log posterior / n
    w, b = params
    r = 0.5 + 0.5 * jnp.tanh(0.5 * (dot(X, w) + b)) - y
    return dot(r, X) + jnp.sign(w) / scale, r.sum()


def mode(X: Rows, y: Column, *, noise: Real, scale: Real) -> Pair:
    """Return the mode under the Gaussian prior, from the covariance of y instead of that of w."""
    # A flat b centers the data. Then Cov(y) = scale^2 Xc Xc' + noise^2 I, Cov(w, y) = scale^2 Xc',
    # and the mode is the mean E[w | y] = Cov(w, y) Cov(y)^-1 yc   (Rasmussen, Williams, eq. 2.11)
    m_x, m_y = X.mean(axis=0), y.mean()
    Xc = X - m_x[None, :]
    K = scale**2 * dot(Xc, Xc.T) + noise**2 * jnp.eye(y.size, dtype=X.dtype)
    w = scale**2 * dot(jnp.linalg.solve(K, y - m_y), Xc)
    return w, m_y - (m_x * w).sum()
