"""Forces of t-SNE: what pulls y_i and what pushes it, over all pairs or over a graph and in tiles.

    dKL/dy_i = 4 (A_i - R_i / Z),    w_ij = 1 / (1 + ||y_i - y_j||^2),    Z = sum_{i != j} w_ij
    A_i = sum_j p_ij w_ij (y_i - y_j),    R_i = sum_j w_ij^2 (y_i - y_j)

R is a sum over all pairs in O(n) memory: on a CPU all i at once against TILE points j, the sums
staying in cache, or up to AT_ONCE points in groups of j, on all cores; on an accelerator blocks of
rows, reduced as they are computed.

Reference: van der Maaten, Hinton (2008), eq. (5); van der Maaten (2014), eq. (8).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml._sums import GROUP, group_sums, total
from jaxml._typing import Array, Float, Scalar
from jaxml.latent._affinities import Graph

__all__ = ["Forces", "between_all", "kl_of_graph", "pull_of_graph", "push", "slots"]

TILE = 8
AT_ONCE = 4096  # points of which a CPU keeps n / GROUP partial sums each: n^2 / 16 numbers
ROWS = 1024  # of a block on an accelerator
FAR = 1e15  # where points that fill up a tile stand

Embedding = Float[Array, "n c"]


class Forces(NamedTuple):
    """The parts of the gradient."""

    pull: Embedding  # A
    push: Embedding  # R
    Z: Scalar  # sum of w over ordered pairs


def between_all(Y: Embedding, P: Float[Array, "n n"]) -> Forces:
    """Both parts from all pairs at once: n^2 memory."""
    apart, w = _pairs(Y.T, Y.T)
    w = jnp.where(jnp.eye(len(Y), dtype=bool), 0.0, w)
    pull, push = ([jnp.sum(v * a, axis=0) for a in apart] for v in (P * w, w * w))
    return Forces(jnp.stack(pull, axis=1), jnp.stack(push, axis=1), total(jnp.sum(w, axis=0)))


def _pairs(y: Array, z: Array) -> tuple[list[Array], Array]:
    """y_i - z_j per component, and w, for components (c, n) and (c, m): arrays (m, n)."""
    apart = [a[None, :] - b[:, None] for a, b in zip(y, z, strict=True)]
    return apart, 1.0 / (1.0 + sum((a * a for a in apart), jnp.zeros((), y.dtype)))


def push(Y: Embedding) -> tuple[Embedding, Scalar]:
    """R and Z."""
    on_cpu = push_in_groups if len(Y) <= AT_ONCE else push_in_tiles
    R, sums = jax.lax.platform_dependent(Y, cpu=on_cpu, default=push_by_rows)
    return R, total(sums - 1.0)  # w_ii = 1


def push_in_groups(Y: Embedding) -> tuple[Embedding, Float[Array, " n"]]:
    """R, and the sum of w over each row, w_ii with it."""
    others = jnp.pad(Y, ((0, -len(Y) % GROUP), (0, 0)), constant_values=FAR)
    apart, w = _pairs(Y.T, others.T)
    *R, sums = (jnp.sum(s, axis=0) for s in group_sums(*(w * w * a for a in apart), w))
    return jnp.stack(R, axis=1), sums


def push_in_tiles(Y: Embedding) -> tuple[Embedding, Float[Array, " n"]]:
    """The same, a few points j after the other."""
    n, c = Y.shape
    y = tuple(Y.T)
    others = jnp.pad(Y, ((0, -n % TILE), (0, 0)), constant_values=FAR)

    def add(t: Array, sums: tuple[Array, ...]) -> tuple[Array, ...]:
        tile = jax.lax.dynamic_slice_in_dim(others, t * TILE, TILE)
        # Written out: each w is computed once, and the sums are read and written once per tile.
        for z in tile:
            apart = [a - b for a, b in zip(y, z, strict=True)]
            w = 1.0 / (1.0 + sum(a * a for a in apart))
            v = w * w
            terms = (*(v * a for a in apart), w)
            sums = tuple(s + term for s, term in zip(sums, terms, strict=True))
        return sums

    zeros = (jnp.zeros(n, Y.dtype),) * (c + 1)
    *R, sums = jax.lax.fori_loop(0, len(others) // TILE, add, zeros)
    return jnp.stack(R, axis=1), sums


def push_by_rows(Y: Embedding) -> tuple[Embedding, Float[Array, " n"]]:
    """The same, a block of rows at a time."""
    n = len(Y)
    size = min(n, ROWS)
    blocks = jnp.pad(Y, ((0, -n % size), (0, 0))).reshape(-1, size, Y.shape[1])

    def block(rows: Array) -> tuple[Array, Array]:
        apart, w = _pairs(Y.T, rows.T)
        return jnp.stack([-jnp.sum(w * w * a, axis=1) for a in apart], axis=1), jnp.sum(w, axis=1)

    R, sums = jax.lax.map(block, blocks)
    return R.reshape(-1, Y.shape[1])[:n], sums.reshape(-1)[:n]


def slots(graph: Graph) -> Any:
    """What an accelerator needs to add up the pulls of a graph, found once: see pull_of_graph."""

    def nothing(j: Array) -> tuple[Array, Array, Array]:
        return jnp.zeros(j.size, jnp.int32), jnp.zeros(j.size, jnp.int32), jnp.zeros(n, jnp.int32)

    def sort(j: Array) -> tuple[Array, Array, Array]:
        j = j.reshape(-1)
        order = jnp.argsort(j).astype(jnp.int32)
        end = jnp.searchsorted(j[order], jnp.arange(n), side="right")
        return order, j[order], end.astype(jnp.int32)

    n = graph.neighbor.shape[1]
    return jax.lax.platform_dependent(graph.neighbor, cpu=nothing, default=sort)


def pull_of_graph(
    Y: Embedding, graph: Graph, sorted_slots: Any, *, back: Callable[..., Embedding] | None = None
) -> Embedding:
    """A. Slot (s, i) pulls i by c_ij w_ij (y_i - y_j) / 2 n, and j by the opposite.

    The second half is a sum over the slots that name j: by scatter on a CPU, which takes them in
    order; elsewhere, where a scatter adds in any order, as runs of slots sorted by j. Or by back.
    """
    n = len(Y)
    j = graph.neighbor
    apart = [y[None, :] - y[j] for y in Y.T]
    w = graph.c / (2 * n * (1.0 + sum(a * a for a in apart)))
    forces = [w * a for a in apart]
    there = jnp.stack([f.reshape(-1) for f in forces], axis=1)
    args = (there, j, *sorted_slots)
    if back is None:
        opposite = jax.lax.platform_dependent(*args, cpu=by_scatter, default=by_runs)
    else:
        opposite = back(*args)
    return jnp.stack([jnp.sum(f, axis=0) for f in forces], axis=1) - opposite


def by_scatter(forces: Float[Array, "kn c"], j: Array, *_: Array) -> Embedding:
    """Sums of the rows of forces by their target j."""
    zeros = jnp.zeros((j.shape[1], forces.shape[1]), forces.dtype)
    return zeros.at[j.reshape(-1)].add(forces, mode="promise_in_bounds")


def by_runs(
    forces: Float[Array, "kn c"], j: Array, order: Array, target: Array, end: Array
) -> Embedding:
    """The same, from the slots in the order of their target, each run of which ends before end."""
    del j

    def join(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
        return b[0], b[1] + jnp.where((a[0] == b[0])[:, None], a[1], 0.0)

    _, sums = jax.lax.associative_scan(join, (target, forces[order]))
    start = jnp.concatenate([jnp.zeros(1, end.dtype), end[:-1]])
    return jnp.where((end > start)[:, None], sums[jnp.maximum(end - 1, 0)], 0.0)


def kl_of_graph(Y: Embedding, graph: Graph, Z: Scalar) -> Scalar:
    """KL(P||Q) = sum p log p - sum p log w + log Z, for p of sum 1."""
    squares: Any = sum((y[None, :] - y[graph.neighbor]) ** 2 for y in Y.T)
    p = graph.p
    each = p * (jnp.log(jnp.where(p > 0, p, 1.0)) + jnp.log1p(squares))
    return total(jnp.sum(graph.times * each, axis=0)) + jnp.log(Z)
