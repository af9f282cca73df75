"""Mean and scatter of weighted rows, in one pass about a center, and as a monoid for streams.

    M = sum_i s_i,   m = 1/M sum_i s_i x_i,   T = sum_i s_i (x_i - m)(x_i - m)'
    a_i = x_i - c:   T = sum_i s_i a_i a_i' - M (m - c)(m - c)'

c is the mean of a sample of the rows, so the correction is small and nothing cancels.

Reference: Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance, eq. (1.7) for
the shift and (2.1) for the merge, here for matrices.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._numerics import matmul
from jaxml._sums import sample_mean, sum_over_rows, total
from jaxml._typing import Array, Column, Float, Rows, Scalar

__all__ = ["Statistics", "above_rounding", "merge", "statistics"]


class Statistics(NamedTuple):
    """What is kept of the rows; zeros stand for no rows at all."""

    mass: Scalar  # M
    mean: Float[Array, " d"]  # m
    scatter: Float[Array, "d d"]  # T


@jax.custom_jvp
def statistics(X: Rows, s: Column) -> Statistics:
    """M, m and T of rows with weights s >= 0."""
    c = sample_mean(X, s)

    def sums(X: Rows, s: Column) -> tuple[Array, Array, Array]:
        root = jnp.sqrt(s)
        B = root[:, None] * (X - c[None, :])
        return matmul(B.T, B), matmul(root, B), total(s)

    G, first, M = sum_over_rows(sums, X, s)
    step = first / jnp.where(M > 0, M, 1.0)
    return Statistics(M, c + step, G - M * step[:, None] * step[None, :])


@statistics.defjvp
def _(primals: tuple, tangents: tuple) -> tuple:
    # sum_i s_i (x_i - m) = 0, so the mean that moves changes T only in second order.
    (X, s), (dX, ds) = primals, tangents
    found = statistics(X, s)
    A = X - found.mean[None, :]
    M = jnp.where(found.mass > 0, found.mass, 1.0)
    half = matmul(A.T, s[:, None] * dX)
    dT = matmul(A.T, ds[:, None] * A) + half + half.T
    return found, Statistics(total(ds), (matmul(ds, A) + matmul(s, dX)) / M, dT)


def merge(a: Statistics, b: Statistics) -> Statistics:
    """Return the statistics of the rows of both; associative and commutative to rounding.

    Statistics of zeros are neutral, to start a stream with. Means are stored to a unit in their
    last place, u; a merge of columns far from 0 may so be off by u^2 in a variance.
    """
    M = a.mass + b.mass
    share = b.mass / jnp.where(M > 0, M, 1.0)
    step = b.mean - a.mean
    # From the side with more rows, so that equal means stay as they are.
    mean = jnp.where(share > 0.5, b.mean - (1 - share) * step, a.mean + share * step)
    T = a.scatter + b.scatter + a.mass * share * step[:, None] * step[None, :]
    return Statistics(M, mean, T)


def above_rounding(variance: Array, mean: Array) -> Array:
    """Whether a column varies by more than one unit in the last place of its mean."""
    return ~(variance <= (jnp.finfo(variance.dtype).eps * mean) ** 2)
