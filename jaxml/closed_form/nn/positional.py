"""Sinusoidal encodings by hand: each pair of features is a point on a circle.

Letters as in jaxml.nn.positional; u_i(pos) = cos(pos w_i) + i sin(pos w_i) = e^(i pos w_i).
"""

from functools import partial
from typing import Any

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Float, Real

__all__ = ["derivative", "encoding", "from_window", "rotation"]

einsum = partial(jnp.einsum, precision=Precision.HIGHEST)


def _frequencies(d_model: int, dtype: Any) -> Float[Array, " half"]:
    # w_i = 10000^(-2i/d_model) = e^(-(2i/d_model) log 10000)
    return jnp.exp(-2.0 * jnp.arange(d_model // 2, dtype=dtype) / d_model * jnp.log(10000.0))


def encoding(positions: Float[Array, " n"], d_model: int) -> Float[Array, "n d_model"]:
    """Return PE(pos), one row for each position, whole or not."""
    # row = (Im u_0, Re u_0, Im u_1, Re u_1, ...)
    w = _frequencies(d_model, positions.dtype)
    columns = []
    for i in range(d_model // 2):
        columns += [jnp.sin(positions * w[i]), jnp.cos(positions * w[i])]
    return jnp.stack(columns, axis=1)


def rotation(k: Real, d_model: int) -> Float[Array, "d_model d_model"]:
    """Return R(k), with PE(pos + k) = R(k) PE(pos)."""
    # u(pos + k) = e^(i k w) u(pos):
    #   sin((pos + k) w) = cos(k w) sin(pos w) + sin(k w) cos(pos w)
    #   cos((pos + k) w) = -sin(k w) sin(pos w) + cos(k w) cos(pos w)
    # No position is left on the right but in PE(pos): R depends on k alone.
    k = jnp.asarray(k)
    w = _frequencies(d_model, k.dtype)
    R = jnp.zeros((d_model, d_model), k.dtype)
    for i in range(d_model // 2):
        c, s = jnp.cos(k * w[i]), jnp.sin(k * w[i])
        R = R.at[2 * i, 2 * i].set(c).at[2 * i, 2 * i + 1].set(s)
        R = R.at[2 * i + 1, 2 * i].set(-s).at[2 * i + 1, 2 * i + 1].set(c)
    return R


def derivative(k: Real, d_model: int) -> Float[Array, "d_model d_model"]:
    """Return dR/dk."""
    # d e^(i k w) / dk = i w e^(i k w): each pair is turned by a right angle more, times w
    # => dR/dk = R(k) J, J = diag of [[0, w_i], [-w_i, 0]]
    k = jnp.asarray(k)
    w = _frequencies(d_model, k.dtype)
    J = jnp.zeros((d_model, d_model), k.dtype)
    for i in range(d_model // 2):
        J = J.at[2 * i, 2 * i + 1].set(w[i]).at[2 * i + 1, 2 * i].set(-w[i])
    return einsum("ab,bc->ac", rotation(k, d_model), J)


def from_window(start: Real, k: Real, d_model: int, n: int) -> Float[Array, "d_model d_model"]:
    """Return the matrix that best maps n encodings from start on to those k further."""
    # minimize sum_pos ||R PE(pos) - PE(pos + k)||^2, A = rows PE(pos), B = rows PE(pos + k):
    # A R' = B in the sense of least squares => R' = (A'A)^(-1) A'B
    # The minimum is 0, so any window that spans d_model dimensions gives the same R: R(k)
    positions = start + 37.0 * jnp.arange(n)
    A, B = encoding(positions, d_model), encoding(positions + k, d_model)
    return jnp.linalg.solve(einsum("pa,pb->ab", A, A), einsum("pa,pb->ab", A, B)).T
