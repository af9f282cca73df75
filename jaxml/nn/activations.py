"""Activations, and the softmax with its masks. Arrays of any shape; functions of one entry first.

    sigmoid(z) = 1 / (1 + e^-z)      gelu(z) = z Phi(z)      relu(z) = max(0, z), relu'(0) = 0
    softmax(z)_j = e^(z_j) / sum_l e^(z_l)      logsumexp(z) = log sum_l e^(z_l)

An entry is left out of a softmax by ``where``, whatever it holds, or by a score of -inf: it gets
probability 0, and no gradient passes. With nothing left, softmax is 0, log_softmax and logsumexp
are -inf, and all derivatives are 0. A score of +inf lies outside the domain and gives NaN.

16-bit floats are computed with 32 bits and rounded once. Derivatives are given by ``custom_jvp``
where autodiff would lose digits or give NaN; these rules can be differentiated again.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Bool, Float
from jaxml.nn._tensor import statistics_dtype, tensor

__all__ = ["gelu", "log_softmax", "logsumexp", "relu", "sigmoid", "softmax", "tanh"]

Axes = int | tuple[int, ...]


def sigmoid(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """The logistic function s; derivative s(z) s(-z) <= 1/4, exact in both tails."""
    return _sigmoid(tensor("z", z, "..."))


@jax.custom_jvp
def _sigmoid(z: Array) -> Array:
    return jax.lax.logistic(z)


@_sigmoid.defjvp
def _(primals: tuple, tangents: tuple) -> tuple:
    (z,), (dz,) = primals, tangents
    # 1 - sigmoid(z) would round to 0 where sigmoid(-z) keeps its digits.
    p = _sigmoid(z)
    return p, p * _sigmoid(-z) * dz


def tanh(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """The hyperbolic tangent t; derivative 1 - t(z)^2."""
    return jnp.tanh(tensor("z", z, "..."))


def relu(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """The positive part; derivative 1 for z > 0, else 0, at 0 as well."""
    return _relu(tensor("z", z, "..."))


@jax.custom_jvp
def _relu(z: Array) -> Array:
    return jnp.maximum(z, 0)


@_relu.defjvp
def _(primals: tuple, tangents: tuple) -> tuple:
    (z,), (dz,) = primals, tangents
    return _relu(z), jnp.where(z > 0, dz, 0)


def gelu(z: Float[Array, "..."], *, approximate: bool = False) -> Float[Array, "..."]:
    """Return z Phi(z), Phi the standard normal distribution function.

    Args:
      z: Finite.
      approximate: Static; z sigmoid(2 u), u = sqrt(2/pi) (z + 0.044715 z^3), which is the form with
        tanh; off by at most 5e-4. PyTorch's default is False, Flax's is True.

    Reference: Hendrycks, Gimpel (2016), Gaussian error linear units, section 2.

    Example:
      >>> round(float(gelu(1.0)), 4), round(float(gelu(1.0, approximate=True)), 4)
      (0.8413, 0.8412)
    """
    return _gelu(tensor("z", z, "..."), approximate=bool(approximate))


@partial(jax.jit, static_argnames="approximate")
def _gelu(z: Array, *, approximate: bool) -> Array:
    x = z.astype(statistics_dtype(z.dtype))
    if approximate:
        c = jnp.clip(x, -30.0, 30.0)  # Phi is 0 or 1 beyond, and c^3 cannot overflow
        Phi = _sigmoid((8.0 / jnp.pi) ** 0.5 * (c + 0.044715 * c**3))
    else:
        Phi = 0.5 * jax.lax.erfc(-(0.5**0.5) * x)  # erfc keeps the digits of the left tail
    return (x * Phi).astype(z.dtype)


def softmax(
    z: Float[Array, "..."], *, axis: Axes = -1, where: Bool[Array, "..."] | None = None
) -> Float[Array, "..."]:
    """Return s_j = e^(z_j) / sum_l e^(z_l) along axis; ds = s (dz - s'dz).

    Args:
      z: Scores; -inf stands for an entry that cannot happen.
      axis: Static, one axis or several.
      where: True for entries that take part, broadcast to z; None is all of them.

    Returns:
      Entries >= 0 of sum 1, or all 0 where no entry takes part.

    Example:
      >>> softmax(jnp.array([1e30, 0.0, 7.0]), where=jnp.array([True, True, False])).tolist()
      [1.0, 0.0, 0.0]
    """
    z, x = _scores(z, where)
    return _softmax(_axes(axis, z.ndim), x).astype(z.dtype)


def log_softmax(
    z: Float[Array, "..."], *, axis: Axes = -1, where: Bool[Array, "..."] | None = None
) -> Float[Array, "..."]:
    """Return log softmax(z), -inf where an entry is left out; arguments as for softmax.

    d log s_j = dz_j - s'dz, and 0 for an entry that is left out.
    """
    z, x = _scores(z, where)
    return _log_softmax(_axes(axis, z.ndim), x).astype(z.dtype)


def logsumexp(
    z: Float[Array, "..."], *, axis: Axes = -1, where: Bool[Array, "..."] | None = None
) -> Float[Array, "..."]:
    """Return log sum_l e^(z_l) along axis, which it removes; d logsumexp = s'dz.

    Arguments as for softmax; -inf, with derivative 0, where no entry takes part.

    Example:
      >>> float(logsumexp(jnp.array([-jnp.inf, -jnp.inf])))
      -inf
    """
    z, x = _scores(z, where)
    axis = _axes(axis, z.ndim)
    return jnp.squeeze(_logsumexp(axis, x), axis).astype(z.dtype)


def _scores(z: Any, where: Any) -> tuple[Array, Array]:
    """(z, x): x the scores with at least 32 bits, -inf where an entry is left out."""
    z = tensor("z", z, "...")
    x = z.astype(statistics_dtype(z.dtype))
    if where is None:
        return z, x
    where = jnp.asarray(where)
    if where.dtype != jnp.bool_:
        raise TypeError(f"where must hold booleans: got dtype {where.dtype}")
    try:
        fits = jnp.broadcast_shapes(where.shape, z.shape) == z.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"where must broadcast to the shape of z, {z.shape}: got {where.shape}")
    return z, jnp.where(jnp.broadcast_to(where, z.shape), x, -jnp.inf)


def _axes(axis: Axes, ndim: int) -> tuple[int, ...]:
    axes = axis if isinstance(axis, tuple) else (axis,)
    if not all(-ndim <= a < ndim for a in axes):
        raise ValueError(f"axis must lie in -{ndim}..{ndim - 1} for {ndim} axes: got {axis}")
    return tuple(a % ndim for a in axes)


def _exponentials(axis: tuple[int, ...], z: Array) -> tuple[Array, Array, Array]:
    """(z - top, e^(z - top), their sum): the sum is at least 1 unless no entry takes part."""
    top = jnp.max(z, axis=axis, keepdims=True, initial=-jnp.inf)
    below = z - jnp.where(top == -jnp.inf, 0.0, top)  # -inf - (-inf) would be NaN
    e = jnp.exp(below)
    return below, e, jnp.sum(e, axis=axis, keepdims=True)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
@partial(jax.jit, static_argnums=0)
def _softmax(axis: tuple[int, ...], z: Array) -> Array:
    _, e, total = _exponentials(axis, z)
    return e / jnp.maximum(total, 1.0)  # 0/1 where no entry takes part


@_softmax.defjvp
def _(axis: tuple[int, ...], primals: tuple, tangents: tuple) -> tuple:
    (z,), (dz,) = primals, tangents
    s = _softmax(axis, z)
    return s, s * (dz - jnp.sum(s * dz, axis=axis, keepdims=True))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
@partial(jax.jit, static_argnums=0)
def _log_softmax(axis: tuple[int, ...], z: Array) -> Array:
    below, _, total = _exponentials(axis, z)
    return below - jnp.log(jnp.maximum(total, 1.0))


@_log_softmax.defjvp
def _(axis: tuple[int, ...], primals: tuple, tangents: tuple) -> tuple:
    (z,), (dz,) = primals, tangents
    change = dz - jnp.sum(_softmax(axis, z) * dz, axis=axis, keepdims=True)
    return _log_softmax(axis, z), jnp.where(z == -jnp.inf, 0.0, change)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
@partial(jax.jit, static_argnums=0)
def _logsumexp(axis: tuple[int, ...], z: Array) -> Array:
    """Log of the sum, its axes kept with length 1."""
    top = jnp.max(z, axis=axis, keepdims=True, initial=-jnp.inf)
    _, _, total = _exponentials(axis, z)
    return top + jnp.log(jnp.maximum(total, 1.0))


@_logsumexp.defjvp
def _(axis: tuple[int, ...], primals: tuple, tangents: tuple) -> tuple:
    (z,), (dz,) = primals, tangents
    return _logsumexp(axis, z), jnp.sum(_softmax(axis, z) * dz, axis=axis, keepdims=True)
