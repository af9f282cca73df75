"""The best tree of one split, from a histogram of weights over bins and classes.

    H_jbk = sum_i w_i [x_ij in bin b] [y_i = k],    L_jb = sum_{b' <= b} H_jb',    R_jb = H_j. - L_jb
    purity of a split = sum_k L_k^2 / |L| + sum_k R_k^2 / |R|,    |L| = sum_k L_k

The weighted Gini impurity of the two sides is the mass less the purity, so the purest split wins.
Bin and class are one number of 16 bits for each row and feature, packed once: a round reads that
and the weights, and writes one scalar per number.
"""

import jax
import jax.numpy as jnp

from jaxml._numerics import matmul
from jaxml._typing import Array, Column, Float, Int, Labels, Scalar

__all__ = ["best", "heaviest", "histogram", "pack", "share"]

LOW = 32  # low digits of a packed number, on an accelerator


def pack(codes: Int[Array, "d n"], y: Labels, *, bins: int, k: int) -> Int[Array, "d n"]:
    """Return b k + y for each row and feature."""
    kind = jnp.uint16 if bins * k <= 2**16 else jnp.int32
    return (codes.astype(jnp.int32) * k + y[None, :]).astype(kind)


def histogram(packed: Int[Array, "d n"], w: Column, *, bins: int, k: int) -> Float[Array, "d b k"]:
    """H: one scatter of scalars per feature on a CPU; elsewhere a product, which is repeatable.

    A number is LOW h + l, so that H as a table over (h, l) is A' diag(w) C with one-hot A and C.
    """
    size = bins * k

    def scattered(packed: Array, w: Column) -> Array:
        def one(p: Array) -> Array:
            empty = jnp.zeros(size, w.dtype)
            return empty.at[p.astype(jnp.int32)].add(w, mode="promise_in_bounds")

        return jax.lax.map(one, packed)

    def product(packed: Array, w: Column) -> Array:
        high = jnp.arange(-(-size // LOW), dtype=jnp.int32)[:, None]
        low = jnp.arange(LOW, dtype=jnp.int32)[None, :]

        def one(p: Array) -> Array:
            p = p.astype(jnp.int32)
            A = jnp.where(p[None, :] // LOW == high, w[None, :], 0.0)
            C = (p[:, None] % LOW == low).astype(w.dtype)
            return matmul(A, C).reshape(-1)[:size]

        return jax.lax.map(one, packed)

    H = jax.lax.platform_dependent(packed, w, cpu=scattered, default=product)
    return H.reshape(-1, bins, k)


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


def _own(X: Array, s: Array, bins: int):
    Z = jnp.sort(X, axis=0)
    n = X.shape[0]
    if n <= bins:
        e = Z[:-1] / 2 + Z[1:] / 2
        e = jnp.concatenate([e, jnp.full((bins - n + 1, X.shape[1]), jnp.inf)]).T
    else:
        e = jnp.quantile(X, jnp.arange(1, bins) / bins, axis=0).T
        e = jnp.concatenate([e, jnp.full((X.shape[1], 1), jnp.inf)], 1)
    codes = jax.vmap(lambda e, x: jnp.searchsorted(e, x))(e.astype(X.dtype), X.T)
    return e.astype(X.dtype), codes.astype(jnp.uint8)
