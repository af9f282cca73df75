"""Activations and the softmax by hand: derivatives from textbook forms, not from the library's."""

import math

import jax.numpy as jnp
from jax.scipy.special import erf

from jaxml._typing import Array, Bool, Float

__all__ = [
    "gelu", "gelu_approximate", "gelu_approximate_value", "gelu_value", "log_softmax_jacobian",
    "logsumexp", "relu", "sigmoid", "softmax", "softmax_jacobian", "tanh",
]  # fmt: skip

Entries = Float[Array, "..."]


def sigmoid(z: Entries) -> Entries:
    """d/dz 1 / (1 + e^-z)."""
    # e^-z / (1 + e^-z)^2 = 1 / (e^(z/2) + e^(-z/2))^2 = 1 / (4 cosh^2(z/2)) <= 1/4
    return 1.0 / (4.0 * jnp.cosh(0.5 * z) ** 2)


def tanh(z: Entries) -> Entries:
    """d/dz of the hyperbolic tangent."""
    # (sinh/cosh)' = (cosh^2 - sinh^2) / cosh^2
    return 1.0 / jnp.cosh(z) ** 2


def relu(z: Entries) -> Entries:
    """d/dz of the positive part, the subgradient 0 at 0."""
    return jnp.where(z > 0, 1.0, 0.0).astype(z.dtype)


def gelu_value(z: Entries) -> Entries:
    """Return z Phi(z) with Phi(z) = (1 + erf(z / sqrt 2)) / 2."""
    return 0.5 * z * (1.0 + erf(z / math.sqrt(2.0)))


def gelu(z: Entries) -> Entries:
    """d/dz z Phi(z)."""
    # (z Phi)' = Phi + z phi,  phi(z) = e^(-z^2/2) / sqrt(2 pi)
    phi = jnp.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi)
    return 0.5 * (1.0 + erf(z / math.sqrt(2.0))) + z * phi


def gelu_approximate_value(z: Entries) -> Entries:
    """z (1 + tanh u) / 2 with u = sqrt(2/pi) (z + 0.044715 z^3)."""
    u = math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3)
    return 0.5 * z * (1.0 + jnp.tanh(u))


def gelu_approximate(z: Entries) -> Entries:
    """d/dz of gelu_approximate_value."""
    # (1 + tanh u)/2 + z/2 (1 - tanh^2 u) u',  u' = sqrt(2/pi) (1 + 3 * 0.044715 z^2)
    t = jnp.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3))
    du = math.sqrt(2.0 / math.pi) * (1.0 + 0.134145 * z**2)
    return 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t**2) * du


def softmax(z: Float[Array, " k"], where: Bool[Array, " k"]) -> Float[Array, " k"]:
    """s_j = e^(z_j) / sum_l e^(z_l) over the entries that take part; 0 for the others."""
    # divided through by e^(z_j): s_j = 1 / sum_l e^(z_l - z_j)
    z = jnp.where(where, z, 0.0)
    ratios = jnp.where(where[None, :], jnp.exp(z[None, :] - z[:, None]), 0.0).sum(axis=1)
    return jnp.where(where, 1.0 / jnp.where(where, ratios, 1.0), 0.0)


def softmax_jacobian(z: Float[Array, " k"], where: Bool[Array, " k"]) -> Float[Array, "k k"]:
    """ds/dz = diag(s) - s s'; rows and columns of entries left out are 0."""
    # s_j = e_j / E with E = sum_l e_l:  ds_j/dz_l = (e_j [j = l] E - e_j e_l) / E^2
    s = softmax(z, where)
    return jnp.diag(s) - s[:, None] * s[None, :]


def log_softmax_jacobian(z: Float[Array, " k"], where: Bool[Array, " k"]) -> Float[Array, "k k"]:
    """d log s/dz = I - 1 s', with rows of 0 for entries left out."""
    # log s_j = z_j - log E,  d log E/dz_l = e_l / E = s_l
    s = softmax(z, where)
    return jnp.where(where[:, None], jnp.eye(z.size, dtype=z.dtype) - s[None, :], 0.0)


def logsumexp(z: Float[Array, " k"], where: Bool[Array, " k"]) -> Float[Array, ""]:
    """Log E by its definition, for scores that do not overflow."""
    # d log E/dz = s;  d2 log E/dz2 = diag(s) - s s'
    return jnp.log(jnp.where(where, jnp.exp(z), 0.0).sum())
