"""Losses of a score z and a target y, elementwise, each with the schema a solver may rely on.

A loss states its domain, its curvature bound and the subgradient it takes at kinks. Where autodiff
would choose otherwise, or would lose digits, the derivative is given by ``custom_jvp`` with a rule
that can be differentiated again.
"""

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Float, Int, Real, Scalar

__all__ = [
    "absolute",
    "exponential",
    "hinge",
    "huber",
    "logistic",
    "softmax_cross_entropy",
    "squared",
    "squared_hinge",
]


def squared(z: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
    """l(z, y) = (z - y)^2 / 2; z, y real. dl/dz = z - y; d2l/dz2 = 1. Strongly convex, mu = 1."""
    return 0.5 * (z - y) ** 2


def absolute(z: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
    """l(z, y) = |z - y|; z, y real. dl/dz = sign(z - y), 0 at z = y. Convex."""
    return _magnitude(z - y)


@jax.custom_jvp
def _magnitude(r: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.abs(r)


@_magnitude.defjvp
def _(primals, tangents):
    (r,), (dr,) = primals, tangents
    return _magnitude(r), jnp.sign(r) * dr


def huber(
    z: Float[Array, "..."], y: Float[Array, "..."], *, delta: Real = 1.0
) -> Float[Array, "..."]:
    """l(z, y) = r^2/2 where |r| <= delta, else delta (|r| - delta/2); r = z - y, delta > 0.

    dl/dz = clip(r, -delta, delta); d2l/dz2 is 1 inside, 0 outside, and 1 on the joint. Convex.

    Reference: Huber (1964), Robust estimation of a location parameter.
    """
    r = z - y
    inside = jnp.abs(r) <= delta
    # The inner where keeps r^2 finite outside, where its gradient would be 0 * inf.
    r_in = jnp.where(inside, r, 0.0)
    return jnp.where(inside, 0.5 * r_in**2, delta * (jnp.abs(r) - 0.5 * delta))


def logistic(z: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
    """l(z, y) = log(1 + e^z) - y z; z real, y in {0, 1}; p = sigma(z).

    dl/dz = sigma(z) - y; 0 < d2l/dz2 = sigma(z) sigma(-z) <= 1/4. Strictly convex. Finite, and its
    derivatives exact to rounding, for every finite z.

    Example:
      >>> round(float(logistic(0.0, 1.0)), 4)  # log 2
      0.6931
    """
    return _logistic(z, _like(y, z))


def _like(y: Float[Array, "..."], z: Float[Array, "..."]) -> Float[Array, "..."]:
    """Labels as numbers of the kind of z: a derivative rule has no use for integers."""
    return jnp.asarray(y, jnp.result_type(z, 0.0))


@jax.custom_jvp
def _logistic(z: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
    # y z is taken off max(z, 0) first: for the right class both are equal and cancel exactly.
    return (jnp.maximum(z, 0.0) - y * z) + jnp.log1p(jnp.exp(-jnp.abs(z)))


@_logistic.defjvp
def _(primals, tangents):
    (z, y), (dz, dy) = primals, tangents
    # sigma(z) - 1 = -sigma(-z): exact where 1 - sigma(z) would round to 0.
    slope = (1.0 - y) * _sigmoid(z) - y * _sigmoid(-z)
    return _logistic(z, y), slope * dz - z * dy


@jax.custom_jvp
def _sigmoid(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """sigma(z) = 1 / (1 + e^-z), by the tail that cannot overflow."""
    t = jnp.exp(-jnp.abs(z))
    return jnp.where(z >= 0, 1.0, t) / (1.0 + t)


@_sigmoid.defjvp
def _(primals, tangents):
    (z,), (dz,) = primals, tangents
    return _sigmoid(z), _sigmoid(z) * _sigmoid(-z) * dz


def hinge(z: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
    """l(z, y) = max(0, 1 - y z); z real, y in {-1, 1}. dl/dz = -y if y z < 1, else 0. Convex."""
    return _positive(1.0 - _like(y, z) * z)


@jax.custom_jvp
def _positive(r: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.maximum(0.0, r)


@_positive.defjvp
def _(primals, tangents):
    (r,), (dr,) = primals, tangents
    return _positive(r), jnp.where(r > 0, dr, 0.0)


def squared_hinge(z: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
    """l(z, y) = max(0, 1 - y z)^2; z real, y in {-1, 1}. dl/dz = -2 y max(0, 1 - y z). Convex."""
    return hinge(z, y) ** 2


def exponential(z: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
    """l(z, y) = e^(-y z); z real, y in {-1, 1}. dl/dz = -y e^(-y z). Strictly convex, unbounded."""
    return jnp.exp(-y * z)


def softmax_cross_entropy(z: Float[Array, " k"], y: Int[Array, ""]) -> Scalar:
    """l(z, y) = log sum_j e^(z_j) - z_y for one sample; z real (-inf allowed), y in 0..k-1.

    dl/dz = softmax(z) - e_y; d2l/dz2 = diag(s) - s s' <= (I - 1 1'/k) / 2. Convex; flat along 1.
    A score of -inf is a class that cannot happen: its term, and its derivatives, are 0 unless it
    is the label's, where the loss is inf. A label outside 0..k-1 gives NaN.

    Reference: Boehning (1992), Multinomial logistic regression algorithm, for the bound.

    Example:
      >>> round(float(softmax_cross_entropy(jnp.array([0.0, 0.0]), 1)), 4)  # log 2
      0.6931
    """
    label = jnp.arange(z.shape[-1]) == y
    # Every score is taken relative to the label's before the exponential, so that the loss of a
    # sure and right answer keeps its digits: log(1 + sum_{j != y} e^(z_j - z_y)).
    z_y = jnp.sum(jnp.where(label, z, 0.0), axis=-1)
    z_y = jnp.where(label.any(), z_y, jnp.nan)
    rest = jnp.where(label, -jnp.inf, z - z_y)
    top = jax.lax.stop_gradient(jnp.maximum(rest.max(axis=-1), 0.0))
    top = jnp.where(top == jnp.inf, 0.0, top)
    possible = ~(rest == -jnp.inf)  # so that NaN stays and shows
    tail = jnp.sum(jnp.where(possible, jnp.exp(jnp.where(possible, rest, 0.0) - top), 0.0), axis=-1)
    return jnp.where(top > 0, top + jnp.log(tail + jnp.exp(-top)), jnp.log1p(tail))
