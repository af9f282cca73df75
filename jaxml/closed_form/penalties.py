"""Penalties and proximal operators by hand. Letters as in jaxml.penalties."""

import jax.numpy as jnp

from jaxml._typing import Array, Float, Real

__all__ = ["elastic_net", "l1", "l2", "prox_elastic_net", "prox_elastic_net_slope", "prox_l1"]

Vector = Float[Array, "..."]


def l1(w: Vector) -> Vector:
    """d||w||_1/dw, the subgradient 0 at 0."""
    return jnp.where(w > 0, 1.0, jnp.where(w < 0, -1.0, 0.0)).astype(w.dtype)


def l2(w: Vector) -> Vector:
    """d(1/2 ||w||^2)/dw = w."""
    return w


def elastic_net(w: Vector, *, l1_ratio: Real) -> Vector:
    """The weighted sum of both."""
    return l1_ratio * l1(w) + w - l1_ratio * w


def prox_l1(v: Vector, step: Real) -> Vector:
    """argmin_w 1/2 (w - v)^2 + s |w|, by cases."""
    # w > 0: w - v + s = 0  =>  w = v - s, which is > 0 iff v > s.  w < 0: w = v + s iff v < -s.
    # Otherwise no interior minimum exists on either side: w = 0.
    return jnp.where(v > step, v - step, jnp.where(v < -step, v + step, 0.0))


def prox_elastic_net(v: Vector, step: Real, *, l1_ratio: Real) -> Vector:
    """argmin_w 1/2 (w - v)^2 + s [a |w| + (1 - a)/2 w^2], by cases."""
    # w > 0: w - v + s a + s (1 - a) w = 0  =>  w = (v - s a) / (1 + s (1 - a))
    t, c = step * l1_ratio, 1.0 + step - step * l1_ratio
    return jnp.where(v > t, (v - t) / c, jnp.where(v < -t, (v + t) / c, 0.0))


def prox_elastic_net_slope(v: Vector, step: Real, *, l1_ratio: Real) -> Vector:
    """The diagonal of d prox/dv: 1 / (1 + s (1 - a)) beyond the threshold, 0 within."""
    return jnp.where(jnp.abs(v) > step * l1_ratio, 1.0 / (1.0 + step - step * l1_ratio), 0.0)
