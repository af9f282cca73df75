"""Sums over the rows of each group, a class or a cluster, in the form that suits the device.

    S_c = sum_{i: l_i = c} v_i,    v_i = terms(row i)

A CPU adds rows where they belong: one after another, in a loop that jaxlib 0.12 compiles to one
kernel, which reads the rows once and stores nothing but the sums; earlier versions pay for every
operation of such a loop, and rows that may lie on several devices cannot be taken in turn: these
scatter. The atomics of a GPU would add in any order: there the sums are a product.
"""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib.version

from jaxml._lanes import one_at_a_time
from jaxml._numerics import matmul
from jaxml._sums import sum_over_rows
from jaxml._typing import Array, Float, Labels

__all__ = ["given", "sums"]

LOOPS_ARE_KERNELS = tuple(map(int, re.findall(r"\d+", jaxlib.version.__version__)[:2])) >= (0, 12)
IN_A_ROW = 4096  # rows added one after another: a float32 sum in order loses digits with its length
PARTS, ENTRIES = 64, 2**14  # of each sum, for the same reason; what all of them may hold, in cache
Terms = Callable[..., tuple[Array, ...]]


def given(*rows: Array) -> tuple[Array, ...]:
    """The terms of sums over rows that are at hand."""
    return rows


def sums(
    terms: Terms, labels: Labels, k: int, *rows: Array, about: tuple[Array, ...] = ()
) -> tuple[Array, ...]:
    """S_c of each group, one array (k, m) for each array (n, m) of terms.

    Args:
      terms: Maps a block of rows, cut alike from all arrays, and about to arrays (n, m). It closes
        over no array.
      labels: l_i in 0..k-1.
      k: Number of groups, static.
      rows: Arrays whose first axis is the rows.
      about: What all rows share.
    """
    count = len(rows)

    def scattered(labels: Labels, *args: Array) -> tuple[Array, ...]:
        def scatter(labels: Labels, *rows: Array) -> tuple[Array, ...]:
            return tuple(_scatter(labels, V, k) for V in terms(*rows, *args[count:]))

        if terms is given:  # nothing to work out block by block
            return scatter(labels, *args[:count])
        return sum_over_rows(scatter, labels, *args[:count])

    def product(labels: Labels, *args: Array) -> tuple[Array, ...]:
        one_hot = jnp.arange(k)[:, None] == labels[None, :]
        return tuple(matmul(one_hot.astype(V.dtype), V) for V in terms(*args))

    in_turn = jax.custom_jvp(one_at_a_time(_one_by_one(terms, k, count)))
    in_turn.defjvp(lambda primals, tangents: jax.jvp(scattered, primals, tangents))
    # With one device there is nothing to be split.
    cpu = in_turn if LOOPS_ARE_KERNELS and jax.device_count() == 1 else scattered
    return jax.lax.platform_dependent(labels, *rows, *about, cpu=cpu, default=product)


def _scatter(labels: Labels, V: Float[Array, "n m"], k: int) -> Float[Array, "k m"]:
    n, m = V.shape
    parts = min(PARTS, max(1, ENTRIES // (k * m)))
    at = jnp.arange(n, dtype=jnp.int32) % parts * k + labels
    S = jnp.zeros((parts * k, m), V.dtype).at[at].add(V, mode="promise_in_bounds")
    return S.reshape(parts, k, m).sum(axis=0)


def _one_by_one(terms: Terms, k: int, count: int) -> Callable[..., tuple[Array, ...]]:
    def run(labels: Labels, *args: Any) -> tuple[Array, ...]:
        rows, about = args[:count], args[count:]
        shapes = jax.eval_shape(terms, *rows, *about)
        nothing = tuple(jnp.zeros((k, V.shape[1]), V.dtype) for V in shapes)

        def add(i: Array, found: tuple[Array, ...]) -> tuple[Array, ...]:
            row = (jax.lax.dynamic_slice_in_dim(a, i, 1) for a in rows)
            c = labels[i]
            return tuple(
                jax.lax.dynamic_update_index_in_dim(S, S[c] + v[0], c, 0)
                for S, v in zip(found, terms(*row, *about), strict=True)
            )

        def part(j: Array, found: tuple[Array, ...]) -> tuple[Array, ...]:
            start = j * IN_A_ROW
            end = jnp.minimum(start + IN_A_ROW, n)
            return jax.tree.map(jnp.add, found, jax.lax.fori_loop(start, end, add, nothing))

        n = labels.shape[0]
        return jax.lax.fori_loop(0, -(-n // IN_A_ROW), part, nothing)

    return run
