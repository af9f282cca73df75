"""Numerical pieces shared by the families: tolerances, products, functions safe everywhere."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Float, PyTree, Rows, Scalar

__all__ = [
    "default_gap_tol", "default_tol", "matmul", "safe_norm", "safe_sqrt", "squared_distances",
    "tree_norm", "xlogx",
]  # fmt: skip

# Products that decide the answer of a fit: never TF32 (RELIABILITY of CUDA's default is 2^-11).
matmul = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def default_tol(dtype: Any) -> float:
    """eps^(2/3): 4e-11 in float64, 2e-5 in float32, within reach of well-scaled problems."""
    return float(jnp.finfo(dtype).eps) ** (2 / 3)


def default_gap_tol(dtype: Any) -> float:
    """eps^(5/6) for a duality gap, quadratic in the error of the parameters: 9e-14, 2e-6."""
    return float(jnp.finfo(dtype).eps) ** (5 / 6)


def squared_distances(X: Rows, Z: Float[Array, "m d"]) -> Float[Array, "n m"]:
    """||x_i - z_j||^2 as ||x_i||^2 - 2 x_i'z_j + ||z_j||^2, about the mean of Z.

    One product instead of n m differences; an entry is off by about eps (||x_i||^2 + ||z_j||^2), so
    equal points may lie a rounding apart. Never below 0.
    """
    c = jnp.mean(Z, axis=0)
    X, Z = X - c[None, :], Z - c[None, :]
    squares = jnp.sum(X**2, axis=1)[:, None] + jnp.sum(Z**2, axis=1)[None, :]
    return jnp.maximum(squares - 2 * matmul(X, Z.T), 0.0)


@jax.custom_jvp
def safe_sqrt(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """sqrt(x) for x >= 0, whose derivative at 0 is 0 instead of inf."""
    return jnp.sqrt(x)


@safe_sqrt.defjvp
def _(primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    root = safe_sqrt(x)
    return root, jnp.where(x > 0, 0.5 / jnp.where(x > 0, root, 1.0), 0.0) * dx


def safe_norm(x: Float[Array, "..."], axis: int | None = None) -> Float[Array, "..."]:
    """||x||_2, whose gradient at x = 0 is 0 instead of NaN."""
    return safe_sqrt(jnp.sum(x**2, axis=axis))


def tree_norm(tree: PyTree) -> Scalar:
    """The 2-norm of all entries of a pytree."""
    return safe_sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))


def xlogx(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x log x for x >= 0, with value and derivative 0 at 0."""
    positive = x > 0
    return jnp.where(positive, x * jnp.log(jnp.where(positive, x, 1.0)), 0.0)
