"""Sums of first and second order of a loss of a linear score, by passes over the data.

    dJ/dw = sum_i p_i l'(z_i) a_i + l2 w,    G = sum_i p_i l''(z_i) a_i a_i'
    z = a'w + v,  a = x - c

l' and l'' come from the loss by forward mode; m and M are the sums of p_i l'' a_i and p_i l''.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._numerics import matmul
from jaxml._sums import total
from jaxml._typing import Array, Column, Float, Rows, Scalar
from jaxml.linear import _affine
from jaxml.linear._affine import Normal, divide
from jaxml.linear._problem import Problem

__all__ = [
    "all_orders", "first_order", "gradient_residual", "pieces", "second_order", "table_of",
]  # fmt: skip

TABLE = 2**20  # numbers in a table of products that stays in cache


def pieces(loss: Callable, z: Column, y: Column) -> tuple[Column, Column, Column]:
    """l, dl/dz and d2l/dz2 of each row, by forward mode, twice."""
    one = jnp.ones_like(z)

    def slope(z: Column) -> tuple[Column, Column]:
        return jax.jvp(lambda z: loss(z, y), (z,), (one,))

    (l, dl), (_, d2l) = jax.jvp(slope, (z,), (one,))
    return l, dl, d2l


def table_of(problem: Problem) -> Float[Array, "n q"] | None:
    """The products a_j a_k, j <= k, of each row, where they are few: then D'table has G in it.

    Many fits to the same rows, as in a grid of penalties, take their G in one product.
    """
    n, d = problem.X.shape
    if n * d * d > TABLE:
        return None
    A = problem.X - problem.c[None, :]
    j, k = np.triu_indices(d)
    return A[:, j] * A[:, k]


def all_orders(
    loss: Callable, problem: Problem, table: Array, w: Array, v: Scalar, *, fit_intercept: bool
) -> tuple[Scalar, tuple[Array, Scalar], Normal]:
    """J, the gradient of its smooth part, and G, m, M at (w, v), from the table."""
    X, y, p, c, _, l1, l2, _ = problem
    A = X - c[None, :]
    # Lanes are rows of w and of z: no product needs a transpose.
    l, dl, d2l = pieces(loss, matmul(w, A.T) + v, y)
    D, d = p * d2l, c.shape[0]
    with_one = jnp.concatenate([A, jnp.ones_like(A[:, :1])], axis=1)
    place = np.zeros((d, d), int)
    place[np.triu_indices(d)] = np.arange(table.shape[1])
    G = matmul(D, table).at[np.maximum(place, place.T)].get(mode="promise_in_bounds")
    g, m = matmul(p * dl, with_one), matmul(D, with_one)
    g_v = g[d] if fit_intercept else jnp.zeros_like(v)
    J = total(jnp.where(p > 0, p * l, 0.0)) + _affine.penalty(w, l1, l2)
    return J, (g[:d] + l2 * w, g_v), Normal(G, m[:d], m[d])


def second_order(loss: Callable, problem: Problem, w: Array, v: Scalar) -> Normal:
    """The sums G, m, M at (w, v)."""
    c = problem.c

    def sums(X: Rows, y: Column, p: Column) -> Normal:
        z = matmul(X - c[None, :], w) + v
        return Normal.of(*_affine.weigh(X, p * pieces(loss, z, y)[2], c))

    return problem.mean(sums)


def first_order(
    loss: Callable, problem: Problem, w: Array, v: Scalar, *, fit_intercept: bool
) -> tuple[Scalar, tuple[Array, Scalar]]:
    """J and the gradient of its smooth part at (w, v)."""
    c, l1, l2 = problem.c, problem.l1, problem.l2

    def sums(X: Rows, y: Column, p: Column) -> tuple[Scalar, Array, Scalar]:
        A = X - c[None, :]
        l, dl, _ = pieces(loss, matmul(A, w) + v, y)
        l = jnp.where(p > 0, p * l, 0.0)
        return total(l), matmul(p * dl, A), total(p * dl)

    J, g_w, g_v = problem.mean(sums)
    g_v = g_v if fit_intercept else jnp.zeros_like(g_v)
    return J + _affine.penalty(w, l1, l2), (g_w + l2 * w, g_v)


def gradient_residual(sd: Float[Array, " d"], J: Scalar, gradient: tuple[Array, Array]) -> Scalar:
    """max_j |dJ/dw_j| / sd(x_j) and |dJ/dv|, over max(1, J): scale-free, since l is a number."""
    g_w, g_v = gradient
    worst = jnp.maximum(jnp.max(divide(jnp.abs(g_w), sd)), jnp.abs(g_v))
    return worst / jnp.maximum(1.0, jnp.abs(J))
