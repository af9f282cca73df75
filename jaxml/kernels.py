"""Kernels k(x, z), inner products of features phi(x)'phi(z) that need not be written out.

A kernel is a pytree of its parameters that is called on one pair of points, so that vmap and grad
reach the parameters. Any callable (x, z) -> scalar is a kernel, too; one with parameters is best
written as these are, since a plain function is a constant to jit.

Reference: Schoelkopf, Smola (2002), Learning with Kernels, sections 2.2 and 13.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check, losses
from jaxml._numerics import matmul, squared_distances
from jaxml._typing import Array, ArrayLike, Float, Real, Rows, Scalar

__all__ = ["RBF", "Kernel", "Laplacian", "Linear", "Polynomial", "as_pytree", "gram"]

Vector = Float[Array, " d"]
Kernel = Callable[[Vector, Vector], Scalar]


class Linear(NamedTuple):
    """k(x, z) = x'z."""

    def __call__(self, x: Vector, z: Vector) -> Scalar:
        """Return k(x, z)."""
        return matmul(x, z)


class Polynomial(NamedTuple):
    """k(x, z) = (gamma x'z + coef0)^degree; positive semi-definite for coef0 >= 0.

    The derivative with respect to degree is taken as 0 where the base is not positive.
    """

    degree: Real = 3.0  # a whole number >= 0, or any >= 1 where the base is positive
    gamma: Real = 1.0  # > 0
    coef0: Real = 1.0  # >= 0

    def __call__(self, x: Vector, z: Vector) -> Scalar:
        """Return k(x, z)."""
        return self._of(matmul(x, z))

    def _of(self, products: Float[Array, "..."]) -> Float[Array, "..."]:
        degree, gamma, coef0 = (_cast(value, products) for value in self)
        return _power(gamma * products + coef0, jnp.broadcast_to(degree, products.shape))


class RBF(NamedTuple):
    """k(x, z) = exp(-gamma ||x - z||_2^2)."""

    gamma: Real = 1.0  # > 0, in units of x^-2

    def __call__(self, x: Vector, z: Vector) -> Scalar:
        """Return k(x, z)."""
        return self._of(jnp.sum((x - z) ** 2))

    def _of(self, squares: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.exp(-_cast(self.gamma, squares) * squares)


class Laplacian(NamedTuple):
    """k(x, z) = exp(-gamma ||x - z||_1); the derivative taken where x_j = z_j is 0."""

    gamma: Real = 1.0  # > 0, in units of x^-1

    def __call__(self, x: Vector, z: Vector) -> Scalar:
        """Return k(x, z)."""
        distance = jnp.sum(losses.absolute(x, z))
        return jnp.exp(-_cast(self.gamma, distance) * distance)


def gram(kernel: Kernel, X: ArrayLike, Z: ArrayLike | None = None) -> Float[Array, "n m"]:
    """Return K with K_ij = k(x_i, z_j), of full precision on every device.

    Linear, Polynomial and RBF are one matrix product; about eps (||x||^2 + ||z||^2) of a squared
    distance is rounding there, after the mean of Z is taken off. Any other kernel is mapped over
    all pairs.

    Args:
      kernel: A kernel.
      X: Points (n, d), float32 or float64; integers become the default float.
      Z: Points (m, d); None stands for X, whose distances to themselves are then exactly 0.

    Raises:
      ValueError: X and Z differ in columns, or a concrete array holds NaN or inf.
      TypeError: An array is not numeric, or kernel cannot be called.

    Example:
      >>> gram(Polynomial(2, 1.0, 1.0), jnp.array([[1.0], [2.0]])).tolist()
      [[4.0, 9.0], [9.0, 25.0]]
    """
    kernel = as_pytree(kernel)
    X = _check.finite("X", _check.array("X", X, ndim=2))
    if Z is not None:
        Z = _check.finite("Z", _check.array("Z", Z, ndim=2, dtype=X.dtype))
        if Z.shape[1] != X.shape[1]:
            raise ValueError(f"Z needs the {X.shape[1]} column(s) of X: got shape {Z.shape}")
    return _gram(kernel, X, Z)


def as_pytree(kernel: Kernel) -> Any:
    """Return the kernel as a pytree of numbers, which jit and vmap can take: a function has none.

    Raises:
      TypeError: kernel cannot be called.
    """
    if not callable(kernel):
        raise TypeError(f"kernel must be callable as k(x, z): got {type(kernel).__name__}")
    leaves = jax.tree.leaves(kernel)
    return jax.tree_util.Partial(kernel) if any(map(callable, leaves)) else kernel


@jax.jit
def _gram(kernel: Any, X: Rows, Z: Rows | None) -> Float[Array, "n m"]:
    others = X if Z is None else Z
    if isinstance(kernel, RBF):
        squares = squared_distances(X, others)
        if Z is None:
            squares = jnp.where(jnp.eye(X.shape[0], dtype=bool), 0.0, squares)
        return kernel._of(squares)
    if isinstance(kernel, Linear | Polynomial):
        products = matmul(X, others.T)
        return products if isinstance(kernel, Linear) else kernel._of(products)
    return jax.vmap(lambda x: jax.vmap(lambda z: kernel(x, z))(others))(X)


def _cast(value: Real, like: Array) -> Array:
    return jnp.asarray(value, like.dtype)


@jax.custom_jvp
def _power(u: Float[Array, "..."], p: Float[Array, "..."]) -> Float[Array, "..."]:
    """u^p, whose derivative in p is 0 instead of NaN where u <= 0."""
    return u**p


@_power.defjvp
def _(primals: tuple, tangents: tuple) -> tuple:
    (u, p), (du, dp) = primals, tangents
    value = _power(u, p)
    # p u^(p-1), as 0 u^0 at p = 0, which is finite at u = 0 where 0 u^-1 is not.
    slope = p * _power(u, jnp.where(p == 0, 1.0, p) - 1.0)
    log = jnp.where(u > 0, jnp.log(jnp.where(u > 0, u, 1.0)), 0.0)
    return value, slope * du + value * log * dp
