"""What is computed in another way where vmap runs many lanes of it.

    S_l = sum_i s_li t(x_i)

Lanes l that give rows x_i weights of 0 or of b_i, and leave out no row twice, are the training
sides of a cross-validation: F_l = sum of b_i t(x_i) over the rows that l leaves out, and
S_l = sum_{k != l} F_k. All of them cost one pass over the data.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from jaxml._sums import blocks, sum_over_rows
from jaxml._typing import Array, Column, Float

__all__ = ["any_lane", "one_at_a_time", "weighted_sums"]

T = TypeVar("T")


def one_at_a_time(f: Callable[..., T]) -> Callable[..., T]:
    """f whose lanes under vmap run in turn on a CPU, each as long as it needs; else together.

    For loops of many small steps, where lanes in lockstep would wait for the slowest of them.
    """

    @jax.custom_batching.custom_vmap
    def once(*args: Any) -> T:
        return f(*args)

    @once.def_vmap
    def _(size: int, batched: Any, *args: Any) -> tuple[T, Any]:
        del size
        leaves, tree = jax.tree.flatten(args)
        lanes = [i for i, lane in enumerate(jax.tree.leaves(batched)) if lane]

        def lane_of(fun: Callable[..., T], leaves: Any) -> Callable[[list[Array]], T]:
            def lane(taken: list[Array]) -> T:
                own = dict(zip(lanes, taken, strict=True))
                return fun(*tree.unflatten([own.get(i, leaf) for i, leaf in enumerate(leaves)]))

            return lane

        def in_turn(*leaves: Array) -> T:
            return jax.lax.map(lane_of(once, leaves), [leaves[i] for i in lanes])

        def together(*leaves: Array) -> T:
            return jax.vmap(lane_of(f, leaves))([leaves[i] for i in lanes])

        out = jax.lax.platform_dependent(*leaves, cpu=in_turn, default=together)
        return out, jax.tree.map(lambda _: True, out)

    return once


@jax.custom_batching.custom_vmap
def any_lane(x: Array) -> Array:
    """x; under vmap the elementwise maximum over the lanes, the same for all of them.

    The largest weight of a row in any, or whether any needs a branch; not differentiable.
    """
    return x


@any_lane.def_vmap
def _(size: int, batched: Any, x: Array) -> tuple[Array, bool]:
    del size, batched
    return any_lane(jnp.max(x, axis=0)), False


def weighted_sums(f: Callable[..., T], s: Column, rows: tuple, about: tuple = ()) -> T:
    """sum_over_rows of f(s, *rows, *about), for an f that is linear in s; not differentiable.

    Under a vmap over s alone, on a CPU, folds of a cross-validation share one pass over the data.
    """

    def plain(s: Column, rows: tuple, about: tuple) -> T:
        return sum_over_rows(lambda *rows: f(*rows, *about), s, *rows)

    once = jax.custom_batching.custom_vmap(plain)

    @once.def_vmap
    def _(size: int, batched: Any, *args: Any) -> tuple[T, Any]:
        axes = jax.tree.map(lambda lane: 0 if lane else None, tuple(batched))
        each = jax.vmap(plain, axes, axis_size=size)
        of_s, *others = batched
        if of_s and size > 2 and not any(jax.tree.leaves(others)):
            folds = partial(_over_folds, f)
            out = jax.lax.platform_dependent(*args, cpu=folds, default=each)
        else:
            out = each(*args)
        return out, jax.tree.map(lambda _: True, out)

    return once(s, rows, about)


def _over_folds(f: Callable[..., T], s: Float[Array, "l n"], rows: tuple, about: tuple) -> T:
    """The sums of all lanes: in one pass where they are folds, else in turn."""
    lanes, n = s.shape
    b = jnp.max(s, axis=0)
    out = s != b[None, :]
    folds = (jnp.where(out, s, 0.0) == 0).all() & (jnp.sum(out, axis=0) <= 1).all()
    # Folds: rows in the order of the lane that leaves them out, last those that all keep.
    owner = jnp.where(out.any(axis=0), jnp.argmax(out, axis=0), lanes)
    order = jnp.where(folds, jnp.argsort(owner), jnp.arange(n))
    first = jnp.searchsorted(owner[order], jnp.arange(lanes + 2))

    def part(k: Array) -> T:
        start = jnp.where(folds, first[k], 0)
        end = jnp.where(folds, first[k + 1], jnp.where(k < lanes, n, 0))
        weight = jnp.where(folds, b, s[jnp.minimum(k, lanes - 1)])
        return _sum_of(lambda p, *rows: f(p, *rows, *about), order, start, end, weight, *rows)

    parts = jax.lax.map(part, jnp.arange(lanes + 1))
    return jax.tree.map(lambda p: jnp.where(folds, _all_but_one(p), p[:-1]), parts)


def _sum_of(f: Callable[..., T], order: Array, start: Array, end: Array, *arrays: Array) -> T:
    """f over rows order[start:end], the first of arrays being their weights."""
    n = order.shape[0]
    shards, size, *_ = blocks(*arrays)
    m = min(n, shards * size)

    def add(i: Array, sums: T) -> T:
        at = start + i * m + jnp.arange(m)
        taken = order[jnp.minimum(at, n - 1)]
        s, *others = (a[taken] for a in arrays)
        return jax.tree.map(jnp.add, sums, f(jnp.where(at < end, s, 0.0), *others))

    nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(f, *arrays))
    return jax.lax.fori_loop(0, (end - start + m - 1) // m, add, nothing)


def _all_but_one(parts: Float[Array, "l+1 ..."]) -> Float[Array, "l ..."]:
    """S_l, the sum of all parts but the l-th, without a difference that would cancel."""

    def before(total: Array, part: Array) -> tuple[Array, Array]:
        return total + part, total

    kept = parts[-1]
    _, ahead = jax.lax.scan(before, kept, parts[:-1])
    _, behind = jax.lax.scan(before, jnp.zeros_like(kept), parts[:-1], reverse=True)
    return ahead + behind
