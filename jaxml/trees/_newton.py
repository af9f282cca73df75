"""The Newton step of any loss: derivatives of the rows, the step of a leaf, what a split gains.

    g_i = dl/dz (z_i, y_i),    h_i = d2l/dz2 (z_i, y_i),    G, H = sums of s_i g_i and s_i h_i
    min over w of  G w + (H + l2) w^2 / 2  =>  w = -G/(H + l2),  where it is -1/2 G^2/(H + l2)
    gain(L, R) = 1/2 [G_L^2/A + G_R^2/B - G^2/(H + l2)],    A = H_L + l2,  B = H_R + l2
               = 1/2 [(G_L B - G_R A)^2 / (A B (A + B)) - l2 G^2 / ((A + B)(H + l2))]

The second form of the gain does not cancel where both sides want the same.

Reference: Chen, Guestrin (2016), XGBoost, eq. (5) and (7).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxml._sums import total
from jaxml._typing import Array, ArrayLike, Column, Float, Scalar

__all__ = [
    "Loss", "constant", "derivatives", "leaf_weight", "least_gain", "mean_loss", "split_gain",
]  # fmt: skip

Loss = Callable[[Any, Any], Scalar]  # (z, y) -> loss of one row; z () or (k,)
NEWTON = 40  # steps towards the best constant; halving ones for several outputs


def leaf_weight(G: ArrayLike, H: ArrayLike, l2: ArrayLike) -> Array:
    """Return -G / (H + l2), the argmin of G w + (H + l2) w^2 / 2; 0 where H + l2 = 0.

    Example:
      >>> float(leaf_weight(-3.0, 2.0, 1.0))
      1.0
    """
    G, H, l2 = _same(G, H, l2)
    return _guarded(-G, H + l2)


def split_gain(GL: ArrayLike, HL: ArrayLike, GR: ArrayLike, HR: ArrayLike, l2: ArrayLike) -> Array:
    """Return how far a split lowers the least of the quadratic.

        1/2 [GL^2/(HL + l2) + GR^2/(HR + l2) - (GL + GR)^2/(HL + HR + l2)]

    Half of what XGBoost reports. A side without curvature and penalty brings nothing.

    Example:
      >>> float(split_gain(-2.0, 1.0, 2.0, 1.0, 1.0))  # 1/2 (4/2 + 4/2 - 0)
      2.0
    """
    GL, HL, GR, HR, l2 = _same(GL, HL, GR, HR, l2)
    A, B, G, H = HL + l2, HR + l2, GL + GR, HL + HR
    apart = _guarded((GL * B - GR * A) ** 2, A * B * (A + B))
    return 0.5 * (apart - _guarded(l2 * G**2, (A + B) * (H + l2)))


def least_gain(g: Column, h: Column, l2: Scalar) -> Scalar:
    """A gain that rounding alone may show: (32 eps)^2 times that of |g| against -|g|."""
    rounding = (32 * jnp.finfo(g.dtype).eps) ** 2
    return rounding * _guarded(jnp.sum(jnp.abs(g)) ** 2, jnp.sum(h) + l2)


def _same(*values: ArrayLike) -> tuple[Array, ...]:
    arrays = jnp.broadcast_arrays(*[jnp.asarray(v) for v in values])
    dtype = jnp.result_type(*arrays, 0.0)
    return tuple(a.astype(dtype) for a in arrays)


def _guarded(a: Array, b: Array) -> Array:
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1.0), 0.0)


def derivatives(
    loss: Loss, z: Float[Array, "n k"], y: Array
) -> tuple[Float[Array, "n k"], Float[Array, "n k"]]:
    """First derivatives of the loss of each row, and second ones of each output by itself.

    Where a row has a slope but no positive curvature, it gets the largest one of all rows, or 1.
    """
    k = z.shape[1]

    def slope(z: Array, y: Array) -> Array:
        return jax.grad(lambda z: loss(z if k > 1 else z[0], y))(z)

    def curvature(z: Array, y: Array) -> Array:
        def along(c: Array) -> Array:
            e = (jnp.arange(k) == c).astype(z.dtype)
            return jax.jvp(lambda z: slope(z, y), (z,), (e,))[1] @ e

        return jax.vmap(along)(jnp.arange(k))

    g, h = jax.vmap(slope)(z, y), jax.vmap(curvature)(z, y)
    most = jnp.max(h)
    bound = jnp.where(most > 0, most, 1.0)
    return g, jnp.where(h > 0, h, jnp.where(g != 0, bound, 0.0))


def mean_loss(loss: Loss, z: Float[Array, "n k"], y: Array, s: Column) -> Scalar:
    """1/S sum_i s_i l(z_i, y_i)."""
    each = jax.vmap(loss)(z if z.shape[1] > 1 else z[:, 0], y)
    return total(jnp.where(s > 0, s * each, 0.0)) / total(s)


def constant(loss: Loss, y: Array, s: Column, k: int) -> Float[Array, " k"]:
    """The scores b, the same for all rows, of least loss: Newton's steps, halved where they fail.

    Where the least is at infinity (one class only) b stops after 40 steps.
    """

    def at(b: Array) -> Array:
        return jnp.broadcast_to(b[None, :], (len(y), k))

    def step(_: Array, state: tuple) -> tuple:
        b, J, size = state
        g, h = derivatives(loss, at(b), y)
        G, H = (jax.vmap(total, 1)(jnp.where(s[:, None] > 0, s[:, None] * a, 0.0)) for a in (g, h))
        new = b + size * leaf_weight(G, H, jnp.zeros((), s.dtype))
        J_new = mean_loss(loss, at(new), y, s)
        # Outputs that compensate each other overshoot twofold: the halved step is Newton's for two.
        better = J_new <= J + 4 * jnp.finfo(s.dtype).eps * jnp.abs(J)
        return (
            jnp.where(better, new, b),
            jnp.where(better, J_new, J),
            jnp.where(better, size, size / 2),
        )

    zero = jnp.zeros(k, s.dtype)
    size = jnp.asarray(1.0 if k == 1 else 0.5, s.dtype)
    return jax.lax.fori_loop(0, NEWTON, step, (zero, mean_loss(loss, at(zero), y, s), size))[0]
