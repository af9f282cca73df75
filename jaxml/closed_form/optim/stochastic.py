"""Mini-batch gradients by hand: mean and variance over all batches drawn without replacement.

Reference: Cochran (1977), Sampling techniques, theorems 2.1 and 2.2.
"""

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Column, Float, Rows

Vector = Float[Array, " d"]


def logistic_gradients(w: Vector, X: Rows, y: Column) -> Float[Array, "n d"]:
    """Return the gradient of each row's loss log(1 + e^z) - y z, z = x'w."""
    # d/dw = (sigma(z) - y) x
    z = jnp.dot(X, w, precision=Precision.HIGHEST)
    return (1 / (1 + jnp.exp(-z)) - y)[:, None] * X


def expectation(gradients: Float[Array, "n d"]) -> Vector:
    """Return the mean of the mini-batch gradient over all batches of one size."""
    # A row is in the batch with probability B/n:  E[1/B sum_batch g_i] = 1/B sum_i (B/n) g_i
    # => the full gradient 1/n sum_i g_i, whatever B is
    return gradients.sum(axis=0) / gradients.shape[0]


def variance(gradients: Float[Array, "n d"], *, batch_size: int) -> Vector:
    """Return the variance of the mini-batch gradient, entry by entry."""
    # a_i tells membership, q = B/n:  Var[a_i] = q (1 - q),  Cov[a_i, a_j] = -q (1 - q)/(n - 1).
    # With h_i = g_i - mean, sum_i h_i = 0:  Var[1/B sum a_i h_i]
    #   = 1/B^2 q (1 - q) [sum h_i^2 + (sum h_i^2)/(n - 1)],  as sum_{i/=j} h_i h_j = -sum h_i^2
    # => sigma^2/B (n - B)/(n - 1),  sigma^2 = 1/n sum h_i^2
    n = gradients.shape[0]
    h = gradients - expectation(gradients)[None, :]
    sigma_2 = (h**2).sum(axis=0) / n
    return sigma_2 / batch_size * (n - batch_size) / (n - 1)
