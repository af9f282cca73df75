"""Losses by hand: value, first and second derivative in the score z. Letters as in jaxml.losses.

Each derivative is written from the textbook form of the loss, in another form than the library's
where one exists (tanh for the sigmoid, cases for clips and maxima).
"""

import jax.numpy as jnp

from jaxml._typing import Array, Float, Int, Real

__all__ = [
    "absolute",
    "absolute_curvature",
    "exponential",
    "exponential_curvature",
    "hinge",
    "hinge_curvature",
    "huber",
    "huber_curvature",
    "logistic",
    "logistic_curvature",
    "logistic_value",
    "softmax_cross_entropy",
    "softmax_cross_entropy_hessian",
    "softmax_cross_entropy_value",
    "squared",
    "squared_after_sigmoid",
    "squared_after_sigmoid_curvature",
    "squared_curvature",
    "squared_hinge",
    "squared_hinge_curvature",
]  # fmt: skip

Scores = Float[Array, "..."]


def squared(z: Scores, y: Scores) -> Scores:
    """dl/dz."""
    # l = (z - y)^2 / 2  =>  dl/dz = 2 (z - y) / 2
    return z - y


def squared_curvature(z: Scores, y: Scores) -> Scores:
    """d2l/dz2 = 1."""
    return jnp.ones_like(z - y)


def absolute(z: Scores, y: Scores) -> Scores:
    """dl/dz, the subgradient 0 at z = y."""
    # l = z - y above y, y - z below it
    return jnp.where(z > y, 1.0, jnp.where(z < y, -1.0, 0.0)).astype(z.dtype)


def absolute_curvature(z: Scores, y: Scores) -> Scores:
    """d2l/dz2 = 0 off the kink."""
    return jnp.zeros_like(z - y)


def huber(z: Scores, y: Scores, *, delta: Real) -> Scores:
    """dl/dz."""
    # |r| <= delta: d(r^2/2)/dr = r.  Beyond: d(delta |r| - delta^2/2)/dr = delta sign(r)
    r = z - y
    return jnp.where(r > delta, delta, jnp.where(r < -delta, -delta, r))


def huber_curvature(z: Scores, y: Scores, *, delta: Real) -> Scores:
    """d2l/dz2: 1 up to and on the joint, 0 beyond it."""
    r = z - y
    return jnp.where((r <= delta) & (r >= -delta), 1.0, 0.0).astype(r.dtype)


def logistic_value(z: Scores, y: Scores) -> Scores:
    """Minus the log-likelihood of a Bernoulli variable with log-odds z."""
    # -[y log p + (1 - y) log(1 - p)] with p = 1 / (1 + e^-z):
    # -log p = log(1 + e^-z),  -log(1 - p) = log(1 + e^z)
    return y * jnp.logaddexp(0.0, -z) + (1.0 - y) * jnp.logaddexp(0.0, z)


def logistic(z: Scores, y: Scores) -> Scores:
    """dl/dz = sigma(z) - y, y in {0, 1}."""
    # l = log(1 + e^z) - y z  =>  dl/dz = e^z / (1 + e^z) - y.
    # For y = 1 the difference is -1 / (1 + e^z): no cancellation in the tail.
    return jnp.where(y > 0.5, -1.0 / (1.0 + jnp.exp(z)), 1.0 / (1.0 + jnp.exp(-z)))


def logistic_curvature(z: Scores, y: Scores) -> Scores:
    """d2l/dz2 = sigma(z) (1 - sigma(z)) = 1 / (4 cosh^2(z/2)), the same for both labels."""
    # d/dz [e^z / (1 + e^z)] = e^z / (1 + e^z)^2 = 1 / (e^(-z/2) + e^(z/2))^2
    del y
    return 1.0 / (jnp.exp(-0.5 * z) + jnp.exp(0.5 * z)) ** 2


def hinge(z: Scores, y: Scores) -> Scores:
    """dl/dz = -y inside the margin, 0 on it and beyond."""
    # l = 1 - y z where y z < 1, else 0
    return jnp.where(1.0 - y * z > 0, -y, 0.0)


def hinge_curvature(z: Scores, y: Scores) -> Scores:
    """d2l/dz2 = 0 off the kink."""
    return jnp.zeros_like(y * z)


def squared_hinge(z: Scores, y: Scores) -> Scores:
    """dl/dz = -2 y max(0, 1 - y z)."""
    # l = (1 - y z)^2 where y z < 1  =>  dl/dz = 2 (1 - y z) (-y)
    m = 1.0 - y * z
    return jnp.where(m > 0, -2.0 * y * m, 0.0)


def squared_hinge_curvature(z: Scores, y: Scores) -> Scores:
    """d2l/dz2 = 2 y^2 = 2 inside the margin, 0 on it and beyond."""
    return jnp.where(1.0 - y * z > 0, 2.0, 0.0).astype(z.dtype)


def exponential(z: Scores, y: Scores) -> Scores:
    """dl/dz = -y e^(-y z)."""
    return -y / jnp.exp(y * z)


def exponential_curvature(z: Scores, y: Scores) -> Scores:
    """d2l/dz2 = y^2 e^(-y z)."""
    return y * y / jnp.exp(y * z)


def _softmax(z: Float[Array, " k"]) -> Float[Array, " k"]:
    # s_j = 1 / sum_l e^(z_l - z_j): the definition divided through by e^(z_j)
    return 1.0 / jnp.exp(z[None, :] - z[:, None]).sum(axis=1)


def softmax_cross_entropy_value(z: Float[Array, " k"], y: Int[Array, ""]) -> Float[Array, ""]:
    """-log s_y = log sum_l e^(z_l - z_y)."""
    return jnp.log(jnp.exp(z - z[y]).sum())


def softmax_cross_entropy(z: Float[Array, " k"], y: Int[Array, ""]) -> Float[Array, " k"]:
    """dl/dz = s - e_y."""
    # l = log sum_l e^(z_l) - z_y  =>  dl/dz_j = e^(z_j) / sum_l e^(z_l) - [j = y]
    return _softmax(z) - (jnp.arange(z.size) == y)


def softmax_cross_entropy_hessian(z: Float[Array, " k"], y: Int[Array, ""]) -> Float[Array, "k k"]:
    """d2l/dz2 = diag(s) - s s', whatever the label."""
    # ds_j/dz_l = s_j [j = l] - s_j s_l, by the quotient rule
    del y
    s = _softmax(z)
    return jnp.diag(s) - s[:, None] * s[None, :]


def squared_after_sigmoid(z: Scores, y: Scores) -> Scores:
    """d/dz [(p - y)^2 / 2], p = sigma(z)."""
    # dp/dz = p (1 - p)  =>  (p - y) p (1 - p): it vanishes where p is near 0 or 1, right or wrong
    p = 1.0 / (1.0 + jnp.exp(-z))
    return (p - y) * p / (1.0 + jnp.exp(z))


def squared_after_sigmoid_curvature(z: Scores, y: Scores) -> Scores:
    """d2/dz2 [(p - y)^2 / 2], negative for y = 0 where p > 2/3."""
    # d/dz [(p - y) p (1 - p)] = p (1 - p) [p (1 - p) + (p - y)(1 - 2p)]
    # y = 0: p^2 (1 - p)(2 - 3p)
    p, q = 1.0 / (1.0 + jnp.exp(-z)), 1.0 / (1.0 + jnp.exp(z))
    return p * q * (p * q + (p - y) * (q - p))
