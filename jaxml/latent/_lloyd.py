"""Lloyd's algorithm on centered rows a_i = x_i - m, weights s_i.

    l_i = argmin_j ||c_j||^2 - 2 a_i'c_j,    c_j <- sum_{l_i = j} s_i a_i / N_j,   N_j = sum s_i

||a_i||^2 is left out, since it is the same for every j, unless two centroids are so close that the
rounding of products could decide: then distances are sums of differences. Ties go to the lowest j.
A cluster without weight moves to the row of positive weight that lies farthest from all centroids,
the first of equal ones; where rows of as many places do not exist, it stays empty.

Reference: Lloyd (1982), Least squares quantization in PCM, section IV.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _groups
from jaxml._lanes import any_lane
from jaxml._loop import iterate
from jaxml._numerics import matmul
from jaxml._sums import SHARDS
from jaxml._typing import Array, Bool, Column, Float, Int, Labels, Rows, Scalar

__all__ = [
    "Step",
    "assign",
    "by_differences",
    "crowded",
    "distances",
    "minimize",
    "nearest",
    "residual",
    "step",
]

TILE = 2**20  # numbers in a tile, and scores of it
UNROLLED = 64  # clusters up to which a running minimum is written out


class Step(NamedTuple):
    """What one step finds at centroids C."""

    centroids: Float[Array, "k d"]  # C
    mass: Float[Array, " k"]  # N_j, by the labels at C
    moved: Float[Array, "k d"]  # the next C
    shift: Scalar  # sum_j ||moved_j - c_j||^2


def nearest(A: Rows, C: Float[Array, "k d"]) -> Labels:
    """l_i for every row; 0 for a row with NaN."""
    return _lowest(jnp.sum(C * C, axis=1)[:, None] - 2 * matmul(C, A.T))


def _lowest(scores: Float[Array, "k n"]) -> Labels:
    k = scores.shape[0]
    if k > UNROLLED:
        # argmin keeps pairs and is slow on a CPU: two plain reductions instead.
        least = jnp.min(scores, axis=0)
        index = jnp.arange(k, dtype=jnp.int32)[:, None]
        found = jnp.min(jnp.where(scores == least[None, :], index, k), axis=0)
        return jnp.where(found < k, found, 0)
    best, labels = scores[0], jnp.zeros(scores.shape[1], jnp.int32)
    for j in range(1, k):
        lower = scores[j] < best
        best, labels = jnp.where(lower, scores[j], best), jnp.where(lower, j, labels)
    return labels


def crowded(C: Float[Array, "k d"]) -> Bool[Array, ""]:
    """Whether two centroids are closer than products of this dtype tell apart well."""
    others = jnp.arange(C.shape[0])

    def look(j: Array, least: Scalar) -> Scalar:
        D = jnp.sum((C - C[j][None, :]) ** 2, axis=1)
        return jnp.minimum(least, jnp.min(jnp.where(others == j, jnp.inf, D)))

    least = jax.lax.fori_loop(0, C.shape[0], look, jnp.asarray(jnp.inf, C.dtype))
    return least < 2**10 * jnp.finfo(C.dtype).eps * jnp.max(jnp.sum(C * C, axis=1))


def by_differences(A: Rows, C: Float[Array, "k d"], alive: Array | None = None) -> tuple:
    """l_i, the nearest of the centroids that are alive, and ||a_i - c_{l_i}||^2."""

    def look(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        labels, D = carry
        to = jnp.sum((A - C[j][None, :]) ** 2, axis=1)
        to = to if alive is None else jnp.where(alive[j], to, jnp.inf)
        return jnp.where(to < D, j, labels).astype(jnp.int32), jnp.minimum(to, D)

    n = A.shape[0]
    start = jnp.zeros(n, jnp.int32), jnp.full(n, jnp.inf, A.dtype)
    return jax.lax.fori_loop(0, C.shape[0], look, start)


def assign(A: Rows, C: Float[Array, "k d"]) -> Labels:
    """l_i, by products where those are safe."""
    return jax.lax.cond(crowded(C), lambda A, C: by_differences(A, C)[0], nearest, A, C)


def distances(A: Rows, C: Float[Array, "k d"], labels: Labels) -> Column:
    """||a_i - c_{l_i}||^2 by differences, which do not cancel as the expanded square does."""
    return jnp.sum((A - C[labels]) ** 2, axis=1)


def _sums(A: Rows, s: Column, labels: Labels, k: int) -> tuple[Array, Array]:
    """N_j and sum_{l_i = j} s_i a_i."""

    def terms(A: Rows, s: Column) -> tuple[Array, Array]:
        return s[:, None], s[:, None] * A

    mass, first = _groups.sums(terms, labels, k, A, s)
    return mass[:, 0], first


def _means(mass: Array, first: Array, otherwise: Array) -> Float[Array, "k d"]:
    filled = (mass > 0)[:, None]
    return jnp.where(filled, first / jnp.where(filled, mass[:, None], 1.0), otherwise)


def _in_one(A: Rows, s: Column, k: int) -> Callable[[Array], tuple[Array, Array]]:
    """C -> (N_j, sum_{l_i = j} s_i a_i), all rows at once."""
    return lambda C: _sums(A, s, nearest(A, C), k)


def _in_tiles(A: Rows, s: Column, k: int) -> Callable[[Array], tuple[Array, Array]]:
    """The same, from rows laid out once so that a step only reads what is in order.

    Products want the columns of a tile; sums add rows, weighted and with their weight beside them.
    Tiles are cut inside shards, so that rows split over devices stay where they are. Rows that fill
    the last tile have weight 0.
    """
    n, d = A.shape
    shards = math.gcd(n, SHARDS)

    def cut(a: Array, size: int) -> Array:
        count = -(-n // (shards * size))
        a = a.reshape(shards, n // shards, -1)
        a = jnp.pad(a, ((0, 0), (0, count * size - n // shards), (0, 0)))
        a = a.reshape(shards, count, size, -1).swapaxes(0, 1)
        return a.reshape(count, shards * size, -1)

    def sums(C: Array) -> tuple[Array, Array]:
        squares = jnp.sum(C * C, axis=1)[:, None]
        labels = jax.lax.map(lambda tile: _lowest(squares - 2 * matmul(C, tile)), columns)

        (total,) = _groups.sums(_groups.given, labels.reshape(-1), k, rows)
        return total[:, d], total[:, :d]

    size = max(1, min(n, TILE // max(d, k)) // shards)
    columns = cut(A, size).swapaxes(1, 2)
    rows = cut(jnp.concatenate([s[:, None] * A, s[:, None]], axis=1), size).reshape(-1, d + 1)
    columns, rows = jax.lax.optimization_barrier((columns, rows))
    return sums


def step(A: Rows, s: Column, C: Float[Array, "k d"], sums: Callable | None = None) -> Step:
    """One step of Lloyd's algorithm, in one pass over the rows; sums: by a prepared layout."""
    mass, first = (sums or _in_one(A, s, C.shape[0]))(C)
    rare = (mass == 0).any() | crowded(C)
    mass, moved = jax.lax.cond(
        any_lane(rare), _carefully, lambda *_: (mass, _means(mass, first, C)), A, s, C
    )
    return Step(C, mass, moved, jnp.sum((moved - C) ** 2))


def _carefully(A: Rows, s: Column, C: Float[Array, "k d"]) -> tuple[Array, Array]:
    """The step where centroids are close or a cluster is empty: by differences, then by moving."""
    k, n = C.shape[0], A.shape[0]

    labels, _ = by_differences(A, C)
    mass, first = _sums(A, s, labels, k)
    moved = _means(mass, first, C)
    # Once more about the mean: equal rows then have their mean in the same place to an eps.
    _, rest = _sums(A - moved[labels], s, labels, k)
    moved = moved + _means(mass, rest, jnp.zeros_like(C))
    _, D = by_differences(A, moved, mass > 0)
    rounding = (8 * jnp.finfo(A.dtype).eps) ** 2 * jnp.sum(A * A, axis=1)
    index = jnp.arange(n, dtype=jnp.int32)

    def move(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        moved, D = carry
        apart = (s > 0) & (rounding < D)
        far = jnp.max(jnp.where(apart, D, 0.0))
        at = jnp.min(jnp.where(apart & (far == D), index, n))
        row = jnp.sum(jnp.where((index == at)[:, None], A, 0.0), axis=0)
        take = (mass[j] == 0) & (at < n)
        nearer = jnp.minimum(D, jnp.sum((A - row[None, :]) ** 2, axis=1))
        row = jnp.where(take, row, moved[j])
        moved = jax.lax.dynamic_update_index_in_dim(moved, row, j, 0)
        return moved, jnp.where(take, nearer, D)

    return mass, jax.lax.fori_loop(0, k, move, (moved, D))[0]


def residual(at: Step, v: Scalar) -> Scalar:
    """The shift over v, the variance of the rows; 0 where nothing moves, whatever v is."""
    return jnp.where(at.shift > 0, at.shift / jnp.where(v > 0, v, 1.0), at.shift)


def minimize(
    A: Rows, s: Column, C: Float[Array, "k d"], v: Scalar, *, tol: Scalar, max_iter: int
) -> tuple[Step, Int[Array, ""]]:
    """Step, at least once, until the residual is at most tol.

    Returns the last step, not yet taken, and how many were worked out, that one included.

    With tol = 0 it ends when no label changes: the same labels have the same means, bit for bit.
    """

    def run(prepare: Callable, A: Rows, s: Column, C: Array, v: Scalar, tol: Scalar) -> tuple:
        sums = prepare(A, s, C.shape[0])
        unknown = jnp.asarray(jnp.inf, A.dtype)
        start = Step(C, jnp.zeros(C.shape[0], A.dtype), C, unknown), unknown

        def once(state: tuple[Step, Scalar]) -> tuple[Step, Scalar]:
            at, _ = state
            return step(A, s, at.moved, sums), at.shift

        def stop(state: tuple[Step, Scalar]) -> Array:
            at, before = state
            return (residual(at, v) <= tol) & (before < jnp.inf)

        (ended, _), count = iterate(once, start, stop=stop, max_iter=max_iter + 1)
        return ended, jnp.minimum(count, max_iter)

    # A GPU takes all rows at once; its products need no other layout.
    tiled, whole = partial(run, _in_tiles), partial(run, _in_one)
    return jax.lax.platform_dependent(A, s, C, v, tol, cpu=tiled, default=whole)
