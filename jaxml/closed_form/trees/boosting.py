"""Second-order boosting by hand: derivatives of the losses, and the quadratic of a leaf.

Q(w) = G w + (H + l2) w^2 / 2,    G = sum_i s_i g_i,   H = sum_i s_i h_i
"""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Labels, Rows, Scalar

__all__ = [
    "leaf_weight", "least", "logistic", "quadratic", "softmax", "split_gain", "squared", "stump",
]  # fmt: skip


def squared(z: Column, y: Column) -> tuple[Column, Column]:
    """Return (g, h) of l = (z - y)^2 / 2."""
    return z - y, jnp.ones_like(z)


def logistic(z: Column, y: Column) -> tuple[Column, Column]:
    """Return (g, h) of l = log(1 + e^z) - y z."""
    # dl/dz = e^z / (1 + e^z) - y = p - y;  dp/dz = e^z / (1 + e^z)^2 = p (1 - p)
    p = 1 / (1 + jnp.exp(-z))
    return p - y, p * (1 - p)


def softmax(z: Float[Array, "n k"], y: Labels) -> tuple[Float[Array, "n k"], Float[Array, "n k"]]:
    """Return (g, diagonal of h) of l = log sum_c e^(z_c) - z_y."""
    # dl/dz_c = e^(z_c) / sum - [c = y] = p_c - [c = y];  dp_c/dz_c = p_c - p_c^2
    e = jnp.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return p - (jnp.arange(z.shape[1])[None, :] == y[:, None]), p * (1 - p)


def quadratic(w: Scalar, G: Scalar, H: Scalar, l2: Scalar) -> Scalar:
    """Return Q(w)."""
    return G * w + 0.5 * (H + l2) * w**2


def leaf_weight(G: Scalar, H: Scalar, l2: Scalar) -> Scalar:
    """Return argmin Q."""
    # Q'(w) = G + (H + l2) w = 0
    return -G / (H + l2)


def least(G: Scalar, H: Scalar, l2: Scalar) -> Scalar:
    """Return min Q."""
    # Q(-G / (H + l2)) = -G^2 / (H + l2) + G^2 / (2 (H + l2))
    return -0.5 * G**2 / (H + l2)


def split_gain(GL: Scalar, HL: Scalar, GR: Scalar, HR: Scalar, l2: Scalar) -> Scalar:
    """Return how far two leaves lower the objective below one: min Q - min Q_L - min Q_R."""
    return least(GL + GR, HL + HR, l2) - least(GL, HL, l2) - least(GR, HR, l2)


def stump(X: Rows, g: Column, h: Column, s: Column, l2: Scalar) -> tuple[Array, ...]:
    """Return (feature, threshold, gain, weights left and right), every threshold tried."""
    left = (X.T[:, None, :] <= X.T[:, :, None]).astype(X.dtype)  # (d, n, n): by X[i, j], row r
    G, H = (jnp.broadcast_to(s * a, left.shape) for a in (g, h))
    GL, HL, GR, HR = ((side * a).sum(axis=2) for side in (left, 1 - left) for a in (G, H))
    gains = jnp.where((1 - left).sum(axis=2) > 0, split_gain(GL, HL, GR, HR, l2), -jnp.inf)
    j = jnp.argmax(gains.max(axis=1))
    below = X[jnp.argmax(gains[j]), j]
    left = (X[:, j] <= below).astype(X.dtype)
    above = jnp.where(left > 0, jnp.inf, X[:, j]).min()
    w = [leaf_weight((s * p * g).sum(), (s * p * h).sum(), l2) for p in (left, 1 - left)]
    return j.astype(jnp.int32), below / 2 + above / 2, gains.max(), *w
