"""Mean and variance about a center, with the derivatives that a person would write.

The mean is c + delta, with c any number near it and delta the mean of x - c: so x - c - delta keeps
its digits where the mean is large beside the deviation, which x - mean would not.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._sums import SHARDS, column_sums
from jaxml._typing import Array, Float, Rows

__all__ = ["Moments", "Names", "of_channels", "of_rows"]

Names = str | tuple[str, ...]
SHARE = 16  # one row in as many makes the center
LONG = 2**18  # numbers from which not all rows make the center


class Moments(NamedTuple):
    """Of an array along an axis; mean = center + delta."""

    center: Float[Array, "..."]  # c, near the mean; a constant to derivatives
    delta: Float[Array, "..."]  # mean of x - c; carries the derivative of the mean
    variance: Float[Array, "..."]  # biased: mean of (x - mean)^2


@jax.custom_jvp
def of_rows(x: Float[Array, "... d"]) -> Moments:
    """Return the moments along the last axis, which is kept with length 1.

        c = mean x,  delta = mean(x - c),  v = mean (x - c)^2 - delta^2

    Reference: Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance, eq. (1.7).
    """
    c = jnp.mean(x, axis=-1, keepdims=True)
    d = x - c
    # delta is a rounding error of c, so nothing cancels in the difference.
    delta = jnp.mean(d, axis=-1, keepdims=True)
    v = jnp.mean(d * d, axis=-1, keepdims=True) - delta * delta
    return Moments(c, delta, jnp.maximum(v, 0.0))


@of_rows.defjvp
def _(primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    m = of_rows(x)
    # d mean = mean dx;  dv = 2 mean[(x - mean)(dx - d mean)] = 2 mean[(x - mean) dx], since the
    # deviations sum to 0: autodiff of the code above would add up that zero once more.
    mean = partial(jnp.mean, axis=-1, keepdims=True)
    deviation = x - m.center - m.delta
    return m, Moments(jnp.zeros_like(m.center), mean(dx), 2.0 * mean(deviation * dx))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def of_channels(axis_name: Names | None, X: Rows) -> Moments:
    """Return the moments of each column, over the mapped axis of that name too if there is one.

    One pass over many rows: about the mean of a 16th of them. Whatever rows these are, that center
    lies within 4 deviations of the mean, so v = E (x - c)^2 - delta^2 cancels at most 4 bits.
    """
    n, d = X.shape
    shards = math.gcd(n, SHARDS)
    rows = n // shards
    sample = X.reshape(shards, rows, d)[:, : -(-rows // SHARE) if n * d >= LONG else rows]
    c = _over(axis_name, jnp.mean(sample.reshape(-1, d), axis=0))
    A = X - c[None, :]
    first, second = column_sums(A, A * A)
    delta = _over(axis_name, first / n)
    v = _over(axis_name, second / n) - delta * delta
    return Moments(c, delta, jnp.maximum(v, 0.0))


@of_channels.defjvp
def _(axis_name: Names | None, primals: tuple, tangents: tuple) -> tuple:
    (X,), (dX,) = primals, tangents
    m = of_channels(axis_name, X)
    deviation = X - (m.center + m.delta)[None, :]
    mean = _over(axis_name, jnp.mean(dX, axis=0))
    variance = _over(axis_name, jnp.mean(2.0 * deviation * dX, axis=0))
    return m, Moments(jnp.zeros_like(m.center), mean, variance)


def _over(axis_name: Names | None, mean: Array) -> Array:
    return mean if axis_name is None else jax.lax.pmean(mean, axis_name)
