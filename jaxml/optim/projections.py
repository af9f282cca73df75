"""Projections onto convex sets, with their exact derivatives.

    P_C(v) = argmin_{w in C} 1/2 ||w - v||^2,  the prox of the indicator of C for every step

    box      low <= w <= high                  P(v) = min(max(v, low), high)
    simplex  w >= 0, sum w = radius            P(v) = max(v - tau, 0),  tau with sum P(v) = radius

Reference: Duchi et al. (2008), Efficient projections onto the l1-ball, figure 1.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._typing import Array, Float, Real

__all__ = ["as_prox", "box", "simplex"]


def box(
    v: Float[Array, "..."],
    low: Real | Float[Array, "..."] = -jnp.inf,
    high: Real | Float[Array, "..."] = jnp.inf,
) -> Float[Array, "..."]:
    """Return v with every entry moved to the nearest point of [low, high].

    The derivative is 1 in v on [low, high], bounds included, and 0 outside, where it is 1 in the
    bound that holds. Where low > high the result is low.

    Example:
      >>> box(jnp.array([-3.0, 0.5, 2.0]), 0.0, 1.0).tolist()
      [0.0, 0.5, 1.0]
    """
    # Selections, not clip: at a bound its derivative would be 1/2.
    low, high = jnp.asarray(low, v.dtype), jnp.asarray(high, v.dtype)
    w = jnp.where(v > high, high, v)
    return jnp.where(w < low, low, w)


def simplex(v: Float[Array, " d"], radius: Real = 1.0) -> Float[Array, " d"]:
    """Return the nearest point with entries >= 0 and sum radius.

    With S the entries that stay positive, tau = (sum_S v_j - radius)/|S|: the derivative is that of
    v_S - mean(v_S) in v, 1/|S| in radius, and 0 outside of S.

    Args:
      v: Any point.
      radius: Sum of the entries, > 0; traced.

    Raises:
      ValueError: v is not a vector, or a concrete radius is not > 0.

    Example:
      >>> simplex(jnp.array([2.0, 1.5, -1.0])).tolist()
      [0.75, 0.25, 0.0]
    """
    if jnp.ndim(v) != 1 or jnp.size(v) == 0:
        raise ValueError(f"v must be a vector of at least one entry: got shape {jnp.shape(v)}")
    radius = _check.above("radius", radius, 0, dtype=v.dtype)
    # S is found on v - max v: it is the same, and its sums keep their digits if v is far from 0.
    x = jax.lax.stop_gradient(v - v.max())
    u = -jnp.sort(-x)
    rank = jnp.arange(1, v.size + 1, dtype=v.dtype)
    # |S| is the last k with u_k > (u_1 + .. + u_k - radius)/k; true for k = 1, since radius > 0.
    size = jnp.sum(u * rank > jnp.cumsum(u) - jax.lax.stop_gradient(radius)).astype(v.dtype)
    support = x >= u[size.astype(jnp.int32) - 1]
    size = support.sum().astype(v.dtype)
    shifted = v - jax.lax.stop_gradient(v.max())
    tau = (jnp.sum(jnp.where(support, shifted, 0)) - radius) / size
    return jnp.where(support, jnp.maximum(shifted - tau, 0), 0)


@lru_cache
def as_prox(projection: Callable) -> Callable[..., Any]:
    """Return (v, step, *args) -> projection(v, *args): a projection does not depend on the step."""

    def prox(v: Any, step: Real, *args: Any) -> Any:
        del step
        return projection(v, *args)

    return prox
