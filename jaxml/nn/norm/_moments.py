"""Mean and variance in two passes, with the derivatives that a person would write.

The mean is c + delta with c a first mean, rounded, and delta the mean of x - c: so x - c - delta
keeps its digits where the mean is large beside the deviation, which x - mean would not.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Float

__all__ = ["Moments", "moments"]


class Moments(NamedTuple):
    """Of an array, along some of its axes, which are kept with length 1; mean = center + delta."""

    center: Float[Array, "..."]  # c, near the mean; a constant to derivatives
    delta: Float[Array, "..."]  # mean of x - c; carries the derivative of the mean
    variance: Float[Array, "..."]  # biased: mean of (x - mean)^2


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def moments(axes: tuple[int, ...], axis_name: str | tuple[str, ...] | None, x: Array) -> Moments:
    """Return the moments of x along axes, and along the mapped axis of that name if there is one.

        c = mean x,  delta = mean(x - c),  v = mean (x - c)^2 - delta^2

    Reference: Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance, eq. (1.7).
    """
    c = _mean(axes, axis_name, x)
    d = x - c
    delta = _mean(axes, axis_name, d)
    # delta is a rounding error of c, so nothing cancels in the difference.
    v = _mean(axes, axis_name, d * d) - delta * delta
    return Moments(c, delta, jnp.maximum(v, 0.0))


@moments.defjvp
def _(axes, axis_name, primals, tangents):
    (x,), (dx,) = primals, tangents
    m = moments(axes, axis_name, x)
    # d mean = mean dx;  dv = 2 mean[(x - mean)(dx - d mean)] = 2 mean[(x - mean) dx], since the
    # deviations sum to 0: autodiff of the code above would add up that zero once more.
    deviation = x - m.center - m.delta
    dv = 2.0 * _mean(axes, axis_name, deviation * dx)
    return m, Moments(jnp.zeros_like(m.center), _mean(axes, axis_name, dx), dv)


def _mean(axes: tuple[int, ...], axis_name: str | tuple[str, ...] | None, x: Array) -> Array:
    mean = jnp.mean(x, axis=axes, keepdims=True)
    return mean if axis_name is None else jax.lax.pmean(mean, axis_name)
