"""Lloyd's algorithm on centered rows a_i = x_i - m, weights s_i.

    l_i = argmin_j ||a_i - c_j||,    c_j <- sum_{l_i = j} s_i a_i / N_j,   N_j = sum s_i

A cluster without weight moves to the row of positive weight that lies farthest from all centroids,
the first of equal ones; where rows of as many places do not exist, it stays empty.

Reference: Lloyd (1982), Least squares quantization in PCM, section IV.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _groups
from jaxml._lanes import any_lane
from jaxml._loop import iterate
from jaxml._typing import Array, Bool, Column, Float, Int, Labels, Rows, Scalar
from jaxml.latent import _bounds
from jaxml.latent._nearest import by_differences, crowded, nearest

__all__ = ["Step", "minimize", "residual", "step"]

LARGE = 2**24  # products in a step from which on rows that it may leave out are looked for


class Step(NamedTuple):
    """What one step finds at centroids C."""

    centroids: Float[Array, "k d"]  # C
    mass: Float[Array, " k"]  # N_j, by the labels at C
    moved: Float[Array, "k d"]  # the next C
    shift: Scalar  # sum_j ||moved_j - c_j||^2


State = tuple[Step, Scalar]  # a step not yet taken, and the shift of the one before


def _sums(A: Rows, s: Column, labels: Labels, k: int) -> tuple[Array, Array]:
    """N_j and sum_{l_i = j} s_i a_i."""

    def terms(A: Rows, s: Column) -> tuple[Array, Array]:
        return s[:, None], s[:, None] * A

    mass, first = _groups.sums(terms, labels, k, A, s)
    return mass[:, 0], first


def _means(mass: Array, first: Array, otherwise: Array) -> Float[Array, "k d"]:
    filled = (mass > 0)[:, None]
    return jnp.where(filled, first / jnp.where(filled, mass[:, None], 1.0), otherwise)


def step(A: Rows, s: Column, C: Float[Array, "k d"], found: tuple | None = None) -> Step:
    """One step of Lloyd's algorithm; found: N_j and sum_{l_i = j} s_i a_i at C, if known."""
    mass, first = found or _sums(A, s, nearest(A, C), C.shape[0])
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
    # A GPU takes all rows in every step, as do several devices, on which rows stay where they are.
    large = A.size * C.shape[0] >= LARGE and jax.device_count() == 1
    cpu, default = (
        partial(descend, steps=max_iter + 1)
        for descend in (_over_near_rows if large else _over_all_rows, _over_all_rows)
    )
    at, count = jax.lax.platform_dependent(A, s, C, v, tol, cpu=cpu, default=default)
    return at, jnp.minimum(count, max_iter)


def _start(C: Float[Array, "k d"]) -> State:
    unknown = jnp.asarray(jnp.inf, C.dtype)
    return Step(C, jnp.zeros(C.shape[0], C.dtype), C, unknown), unknown


def _next(A: Rows, s: Column, state: State, found: tuple | None = None) -> State:
    at, _ = state
    return step(A, s, at.moved, found), at.shift


def _stop(v: Scalar, tol: Scalar) -> Callable[[State], Bool[Array, ""]]:
    def stop(state: State) -> Bool[Array, ""]:
        at, before = state
        return (residual(at, v) <= tol) & (before < jnp.inf)

    return stop


def _over_all_rows(A: Rows, s: Column, C: Array, v: Scalar, tol: Scalar, *, steps: int) -> tuple:
    (at, _), count = iterate(partial(_next, A, s), _start(C), stop=_stop(v, tol), max_iter=steps)
    return at, count


def _over_near_rows(A: Rows, s: Column, C: Array, v: Scalar, tol: Scalar, *, steps: int) -> tuple:
    """The same steps, most of them over the rows alone that may change their cluster."""
    k = C.shape[0]
    squares = jnp.sum(A * A, axis=1)
    stop = _stop(v, tol)

    def some(carry: tuple[State, Array]) -> tuple[State, Array]:
        """A step over all rows, and those that the near ones allow."""
        state, count = carry
        B, count = state[0].moved, count + 1
        labels, margins = _bounds.labels_and_margins(A, squares, B)
        state = _next(A, s, state, _sums(A, s, labels, k))
        near = _bounds.near(labels, margins, B, state[0].moved)

        def go_on(state: State) -> tuple[State, Array]:
            index, used = near.indices()
            R, p = A[index], jnp.where(used, s[index], 0.0)
            others = _sums(A, jnp.where(near.rows, 0.0, s), labels, k)

            def once(state: State) -> State:
                found = _sums(R, p, nearest(R, state[0].moved), k)
                return _next(A, s, state, jax.tree.map(jnp.add, others, found))

            def ended(state: State) -> Bool[Array, ""]:
                return stop(state) | ~near.hold(state[0].moved)

            return iterate(once, state, stop=ended, max_iter=steps - count)

        state, more = jax.lax.cond(near.few, go_on, lambda state: (state, jnp.int32(0)), state)
        return state, count + more

    def ended(carry: tuple[State, Array]) -> Bool[Array, ""]:
        state, count = carry
        return stop(state) | (count >= steps)

    ((at, _), count), _ = iterate(some, (_start(C), jnp.int32(0)), stop=ended, max_iter=steps)
    return at, count
