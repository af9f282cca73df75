"""What the scalers share: an affine map of each column, and when a column does not vary.

z_ij = (x_ij - c_j) / r_j,    x_ij = c_j + r_j z_ij
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._typing import Array, ArrayLike, Column, Float, Rows

__all__ = ["ends", "inputs", "inverse", "mapped", "or_one", "varies"]

Vector = Float[Array, " d"]


def inputs(X: ArrayLike, sample_weight: ArrayLike | None) -> tuple[Rows, Column]:
    """Return (X, s) checked."""
    X = _check.array("X", X, ndim=2)
    return X, jnp.asarray(_check.weights(sample_weight, X))


def ends(X: Rows) -> Float[Array, "2 d"]:
    """The smallest and the largest number of each column, NaN if it holds one."""
    return jnp.stack([jnp.min(X, axis=0), jnp.max(X, axis=0)])


def varies(spread: Vector, size: Vector) -> Array:
    """Whether columns vary by more than one unit in the last place of their size."""
    return spread > jnp.finfo(spread.dtype).eps * jnp.abs(size)


def or_one(spread: Vector, size: Vector) -> Vector:
    """The spread where a column varies, else 1, with a derivative of 0."""
    return jnp.where(varies(spread, size), spread, 1.0)


@jax.jit
def _mapped(X: Rows, c: Vector, r: Vector) -> tuple[Rows, Array]:
    Z = (X - c[None, :]) / r[None, :]
    return Z, jnp.isfinite(ends(Z)).all()


@jax.jit
def _inverse(Z: Rows, c: Vector, r: Vector) -> tuple[Rows, Array]:
    X = c[None, :] + r[None, :] * Z
    return X, jnp.isfinite(ends(X)).all()


def mapped(X: ArrayLike, c: Vector, r: Vector) -> Rows:
    """(x - c) / r at the public boundary."""
    return _checked(_mapped, X, c, r)


def inverse(Z: ArrayLike, c: Vector, r: Vector) -> Rows:
    """C + r z at the public boundary."""
    return _checked(_inverse, Z, c, r)


def _checked(f: Any, X: ArrayLike, c: Vector, r: Vector) -> Rows:
    X = _check.rows(X, d=c.shape[0])
    out, clean = f(X, c, r)
    if _check.is_concrete(X, clean) and not bool(clean):
        _check.finite("X", X)
    return out
