"""The dual of the C-SVM by hand. Letters as in jaxml.svm.dual; K is the Gram matrix, t_i = C s_i.

minimize W(a) = 1/2 a'Q a - 1'a    subject to  y'a = 0,  0 <= a_i <= t_i,    Q_ij = y_i y_j K_ij
"""

import itertools
from functools import partial

import jax.numpy as jnp
from jax import lax
from jax.lax import Precision

from jaxml._typing import Array, Column, Float, Real, Rows, Scalar

__all__ = [
    "derivative_C", "gradient", "hessian", "lagrangian_gradient", "lagrangian_value",
    "primal_value", "solution", "two_points", "violation", "weights",
]  # fmt: skip

Gram = Float[Array, "n n"]
Pair = tuple[Column, Scalar]  # (a_i y_i, b)
dot = partial(jnp.dot, precision=Precision.HIGHEST)


def hessian(alpha: Column, K: Gram, y: Column) -> Gram:
    """Return Q, the same everywhere."""
    # W = 1/2 sum_ij a_i a_j y_i y_j K_ij - sum_i a_i  =>  W_ij = y_i y_j K_ij
    del alpha
    return y[:, None] * K * y[None, :]


def gradient(alpha: Column, K: Gram, y: Column) -> Column:
    """Return Q a - 1."""
    # dW/da_i = sum_j Q_ij a_j - 1, since Q is symmetric
    return dot(hessian(alpha, K, y), alpha) - 1.0


def lagrangian_value(
    primal: tuple[Array, Scalar, Column],
    X: Rows,
    y: Column,
    multipliers: tuple[Column, Column],
    t: Column,
) -> Scalar:
    """Return L = 1/2 w'w + t'xi - sum_i a_i [y_i (w'x_i + b) - 1 + xi_i] - r'xi."""
    (w, b, xi), (a, r) = primal, multipliers
    return 0.5 * dot(w, w) + dot(t, xi) - dot(a, y * (dot(X, w) + b) - 1.0 + xi) - dot(r, xi)


def lagrangian_gradient(
    primal: tuple[Array, Scalar, Column],
    X: Rows,
    y: Column,
    multipliers: tuple[Column, Column],
    t: Column,
) -> tuple[Array, Scalar, Column]:
    """Return dL/d(w, b, xi); zero gives the dual, and w = sum_i a_i y_i x_i."""
    # dL/dw = w - sum_i a_i y_i x_i,  dL/db = -sum_i a_i y_i,  dL/dxi_i = t_i - a_i - r_i
    # => w = X'(a y),  y'a = 0,  a_i = t_i - r_i <= t_i since r_i >= 0
    (w, _, _), (a, r) = primal, multipliers
    return w - dot(a * y, X), -(a * y).sum(), t - a - r


def weights(dual_coef: Column, X: Rows) -> Float[Array, " d"]:
    """Return w = sum_i a_i y_i x_i, one row after another."""
    return (dual_coef[:, None] * X).sum(axis=0)


def violation(params: Pair, K: Gram, y: Column, t: Column) -> Column:
    """Return how far each row is from its optimality condition, and sum_i a_i y_i at the end."""
    # u_i = y_i f(x_i) - 1:  a_i = 0 needs u_i >= 0,  0 < a_i < t_i needs u_i = 0,
    # a_i = t_i needs u_i <= 0     (complementary slackness; Schoelkopf, Smola, eq. (7.36))
    b, c = params
    a = b * y
    u = y * (dot(K, b) + c) - 1.0
    low, high = a <= 0.0, a >= t
    off = jnp.where(low, jnp.maximum(-u, 0.0), jnp.where(high, jnp.maximum(u, 0.0), jnp.abs(u)))
    outside = jnp.maximum(-a, 0.0) + jnp.maximum(a - t, 0.0)
    return jnp.concatenate([off + outside, b.sum()[None]])


def primal_value(params: Pair, K: Gram, y: Column, t: Column) -> Scalar:
    """Return 1/2 w'w + sum_i t_i max(0, 1 - y_i f(x_i))."""
    # w = sum_i b_i phi(x_i)  =>  w'w = b'K b,  f = K b + c
    b, c = params
    f = dot(K, b)
    return 0.5 * dot(b, f) + dot(t, jnp.maximum(1.0 - y * (f + c), 0.0))


def _system(K: Gram, free: Column) -> Float[Array, "n+1 n+1"]:
    # rows of F: sum_(j in F) K_ij b_j + c = r_i;  the last: sum_(j in F) b_j = r_n;  else b_i = r_i
    n = K.shape[0]
    inner = free[:, None] * K * free[None, :] + jnp.diag(1.0 - free)
    corner = jnp.where(free.sum() > 0, 0.0, 1.0).astype(K.dtype).reshape(1, 1)
    return jnp.block([[inner, free.reshape(n, 1)], [free.reshape(1, n), corner]])


def solution(K: Gram, y: Column, t: Column) -> Pair:
    """Return (a y, b) by trying every assignment of rows to 0, free and t: 3^n linear systems.

    Without a free row b is the middle of the interval that the conditions leave.
    """
    # With the bounded ones fixed at u_U = y_U t_U, the conditions on F are linear:
    #   K_FF b_F + c 1 = y_F - K_FU u_U,   1'b_F = -1'u_U
    # and the assignment whose conditions hold everywhere is the solution (W is convex).
    n = K.shape[0]
    states = jnp.array(list(itertools.product((0.0, 0.5, 1.0), repeat=n)), K.dtype)

    def attempt(state: Array) -> tuple[Array, Array, Array]:
        free = (state == 0.5).astype(K.dtype)
        u = jnp.where(state == 1.0, y * t, 0.0)
        r = jnp.concatenate([free * (y - dot(K, u)), -u.sum()[None]])
        z = jnp.linalg.solve(_system(K, free), r)
        b, v = u + free * z[:n], y - dot(K, u + free * z[:n])
        up, low = jnp.where(y > 0, b < t, b < 0), jnp.where(y > 0, b > 0, b > -t)
        least, most = jnp.where(up, v, -jnp.inf).max(), jnp.where(low, v, jnp.inf).min()
        c = jnp.where(free.sum() > 0, z[n], 0.5 * (least + most))
        worst = jnp.abs(violation((b, c), K, y, t)).max()
        return b, c, jnp.where(jnp.isfinite(worst), worst, jnp.inf)

    b, c, worst = lax.map(attempt, states)
    best = jnp.argmin(worst)
    return b[best], c[best]


def derivative_C(params: Pair, K: Gram, y: Column, *, C: Real, s: Column) -> Pair:
    """Return d(a y, b)/dC at a solution with a free row."""
    # On F: K_FF db_F + dc 1 = -K_FU du_U,  1'db_F = -1'du_U,  du_U = y_U s_U
    b, _ = params
    a, n = b * y, K.shape[0]
    free = ((a > 0.0) & (a < C * s)).astype(K.dtype)
    du = jnp.where(a >= C * s, y * s, 0.0)
    r = jnp.concatenate([-free * dot(K, du), -du.sum()[None]])
    z = jnp.linalg.solve(_system(K, free), r)
    return du + free * z[:n], z[n]


def two_points(x: Array, z: Array) -> tuple[Scalar, Array, Scalar]:
    """Return a, w, b of the hard margin between x, of label 1, and z, of label -1."""
    # a_1 = a_2 = a by y'a = 0;  W = 1/2 a^2 ||x - z||^2 - 2 a  =>  a = 2 / ||x - z||^2
    # w = a (x - z),  and w'x + b = 1 = -(w'z + b)  =>  b = -w'(x + z) / 2
    a = 2.0 / dot(x - z, x - z)
    w = a * (x - z)
    return a, w, -0.5 * dot(w, x + z)
