"""The best tree of one split, from a histogram of weights over bins and classes.

    H_jbk = sum_i w_i [x_ij in bin b] [y_i = k],    L_jb = sum_{b' <= b} H_jb',    R_jb = H_j. - L_jb
    purity of a split = sum_k L_k^2 / |L| + sum_k R_k^2 / |R|,    |L| = sum_k L_k

The weighted Gini impurity of the two sides is the mass less the purity, so the purest split wins.
"""

import jax.numpy as jnp

from jaxml._typing import Array, Float, Int, Scalar

__all__ = ["best", "heaviest", "share"]


def share(values: Array, mass: Array) -> Array:
    """Values over mass, 0 where there is no mass."""
    return jnp.where(mass > 0, values / jnp.where(mass > 0, mass, 1.0), 0.0)


def best(
    H: Float[Array, "d b k"],
) -> tuple[Int[Array, ""], Int[Array, ""], Float[Array, "2 k"], Scalar]:
    """Return feature and bin of the purest split, the masses of its sides, and what it gains.

    Of splits that are equal to rounding, the lowest feature and then the lowest bin. Nothing to
    split: everything is on the left, and the gain is 0.
    """
    L = jnp.cumsum(H, axis=1)
    total = L[:, -1:]
    R = jnp.maximum(total - L, 0.0)

    def purity(side: Array) -> Array:
        return share(jnp.sum(side**2, axis=2), jnp.sum(side, axis=2))

    gain = purity(L) + purity(R) - purity(total)
    # A cumsum ends a few roundings away from the sum of its other side.
    rounding = 32 * jnp.finfo(H.dtype).eps * jnp.sum(total[0])
    top = jnp.max(gain)
    flat = jnp.argmax((gain >= top - rounding).ravel())
    j, b = flat // H.shape[1], flat % H.shape[1]
    useful = top > rounding
    j, b = jnp.where(useful, j, 0), jnp.where(useful, b, H.shape[1] - 1)
    sides = jnp.stack([L[j, b], R[j, b]])
    return j, b, sides, jnp.where(useful, gain[j, b], 0.0)


def heaviest(sides: Float[Array, "l k"]) -> Int[Array, " l"]:
    """Return the class of most mass on each side, the lowest of those equal to rounding."""
    rounding = 32 * jnp.finfo(sides.dtype).eps * jnp.sum(sides)
    top = jnp.max(sides, axis=1, keepdims=True)
    return jnp.argmax(sides >= top - rounding, axis=1).astype(jnp.int32)
