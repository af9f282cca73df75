"""Lloyd's algorithm on centered rows a_i = x_i - m, weights s_i.

    l_i = argmin_j ||a_i - c_j||,    c_j <- sum_{l_i = j} s_i a_i / N_j,   N_j = sum s_i

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
from jaxml._typing import Array, Column, Float, Int, Labels, Rows, Scalar
from jaxml.latent._nearest import by_differences, crowded, lowest, nearest

__all__ = ["Step", "minimize", "residual", "step"]

TILE = 2**20  # numbers in a tile, and scores of it


class Step(NamedTuple):
    """What one step finds at centroids C."""

    centroids: Float[Array, "k d"]  # C
    mass: Float[Array, " k"]  # N_j, by the labels at C
    moved: Float[Array, "k d"]  # the next C
    shift: Scalar  # sum_j ||moved_j - c_j||^2


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
        labels = jax.lax.map(lambda tile: lowest(squares - 2 * matmul(C, tile)), columns)

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
