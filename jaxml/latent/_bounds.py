"""The rows that may change their cluster while centroids move from b_j to c_j.

    r_i = ||a_i - b_{l_i}||,    r'_i = min_{j != l_i} ||a_i - b_j||,    p_j = ||c_j - b_j||
    r'_i - r_i > p_{l_i} + max_{j != l_i} p_j   =>   c_{l_i} is the nearest to a_i

The left side is the margin of a row, the right side the reach of its cluster. Once centroids move
little, few rows are near, within reach: the sums over all others stay what they are for many steps.

Reference: Hamerly (2010), Making k-means even faster, whose bounds these are; here they are not
carried from step to step but found anew, in one pass over all rows, where they no longer hold.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Bool, Column, Float, Int, Labels, Rows, Scalar
from jaxml.latent._nearest import two_nearest

__all__ = ["Near", "labels_and_margins", "near"]

SHARE = 4  # at most n / SHARE rows are few
FURTHEST = 20.0  # log2 of how many times the reach at hand near rows may do for; at least twice
HALVINGS = 10


class Near(NamedTuple):
    """Rows that may change their cluster as long as no reach from B exceeds its limit."""

    rows: Bool[Array, " n"]
    number: Int[Array, ""]
    B: Float[Array, "k d"]
    limit: Float[Array, " k"]

    @property
    def few(self) -> Bool[Array, ""]:
        """Whether steps over these rows alone are worth their preparation."""
        return self.number <= _most(self.rows)

    def hold(self, C: Float[Array, "k d"]) -> Bool[Array, ""]:
        """Whether no other row has another cluster at C than at B."""
        return (_reach(C, self.B) <= self.limit).all()

    def indices(self) -> tuple[Int[Array, " m"], Bool[Array, " m"]]:
        """Indices of the rows, if they are few, and which of these m are in use."""
        n, m = self.rows.shape[0], _most(self.rows)

        def put(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            index, at = carry
            index = jax.lax.dynamic_update_index_in_dim(index, i.astype(jnp.int32), at, 0)
            return index, at + self.rows[i].astype(jnp.int32)

        start = jnp.zeros(m + 1, jnp.int32), jnp.int32(0)
        index, _ = jax.lax.fori_loop(0, n, put, start)
        return index[:m], jnp.arange(m) < self.number


def _most(rows: Array) -> int:
    return max(1, rows.shape[0] // SHARE)


def _reach(C: Float[Array, "k d"], B: Float[Array, "k d"]) -> Float[Array, " k"]:
    """p_l + max_{j != l} p_j, and more than its rounding on top."""
    p = jnp.sqrt(jnp.sum((C - B) ** 2, axis=1))
    furthest = jnp.arange(p.shape[0]) == jnp.argmax(p)
    second = jnp.max(jnp.where(furthest, 0.0, p))
    return 1.001 * (p + jnp.where(furthest, second, jnp.max(p)))


def labels_and_margins(A: Rows, squares: Column, B: Float[Array, "k d"]) -> tuple[Labels, Column]:
    """l_i and r'_i - r_i, less what products of this dtype may be off; squares_i = ||a_i||^2."""
    labels, least, second = two_nearest(A, B)
    # Two scores at B and two at C, each of three terms, each off by at most d + 2 roundings.
    eps = jnp.finfo(A.dtype).eps
    noise = 4 * (A.shape[1] + 2) * eps * (squares + jnp.max(jnp.sum(B * B, axis=1)))
    r, other = (jnp.sqrt(jnp.maximum(squares + S + noise, 0.0)) for S in (least, second))
    return labels, (second - least - noise) / (r + other)


def near(labels: Labels, margins: Column, B: Float[Array, "k d"], C: Float[Array, "k d"]) -> Near:
    """Rows whose margin is at most f times the reach of C, or NaN.

    f is as large as keeps them few, and not below 2, even if they are not few then.
    """
    step = _reach(C, B)
    ratio = margins / step[labels]

    def within(e: Scalar) -> Bool[Array, " n"]:
        return ~(ratio > jnp.exp2(e))

    def halve(_: int, ends: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = ends
        middle = (low + high) / 2
        few = jnp.sum(within(middle)) <= _most(ratio)
        return jnp.where(few, middle, low), jnp.where(few, high, middle)

    ends = jnp.asarray(1.0, B.dtype), jnp.asarray(FURTHEST, B.dtype)
    e, _ = jax.lax.fori_loop(0, HALVINGS, halve, ends)
    rows = within(e)
    return Near(rows, jnp.sum(rows), B, jnp.exp2(e) * step)
