"""Sums over rows: block by block, in levels of a few rows, and the moments made of them."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from jaxml._numerics import matmul, safe_sqrt
from jaxml._typing import Array, Column, Float, Rows, Scalar

__all__ = [
    "GROUP", "SHARDS", "blocks", "column_sums", "group_sums", "moments", "sample_mean",
    "sum_over_rows", "total", "weighted_mean",
]  # fmt: skip

T = TypeVar("T")

BLOCK = 2**17  # numbers in a block: 1 MB in float64, so that two blocks stay in cache
SAMPLE = 4096  # rows that are enough for a center
GROUP = 16  # rows added in one loop that a CPU's compiler unrolls; 50 take six times longer a row
SHARDS = 48  # the leading axis kept whole: any device count that divides it and n needs no reshard


def weighted_mean(values: Column, sample_weight: Column | None) -> Scalar:
    """sum_i s_i v_i / sum_i s_i; None stands for equal weights."""
    if sample_weight is None:
        return total(values) / values.shape[0]
    # Rows of weight 0 are removed rows: not even an inf there may reach the sum.
    return total(jnp.where(sample_weight > 0, sample_weight * values, 0.0)) / total(sample_weight)


def sum_over_rows(f: Callable[..., T], *arrays: Array, share: Scalar | None = None) -> T:
    """f(*arrays) for an f that is a sum over rows, block by block on a CPU.

    A block stays in cache while f makes several passes over it, and no temporary as large as the
    data is allocated. Blocks are cut inside shards: rows split over devices stay where they are,
    and the sum becomes an all-reduce. On an accelerator the whole is one block.

    Args:
      f: Maps blocks of rows, cut alike from all arrays, to a pytree of sums over these rows.
      arrays: Arrays whose first axis is the rows.
      share: In (0, 1]; the part of the blocks that a CPU takes, spread over the rows. An
        accelerator takes all.
    """
    shards, size, count, rest = blocks(*arrays)
    n = arrays[0].shape[0]
    if count == 1 and rest == 0:
        return f(*arrays)
    # Blocks are taken in an order of which every beginning is spread over all.
    stride = next(k for k in range(round(0.618 * count) or 1, 0, -1) if math.gcd(k, count) == 1)
    taken = count if share is None else jnp.ceil(share * count).astype(jnp.int32)

    def blocked(*arrays: Array) -> T:
        split = [a.reshape(shards, n // shards, *a.shape[1:]) for a in arrays]

        def block(start: Any, size: int) -> T:
            cut = (jax.lax.dynamic_slice_in_dim(a, start, size, axis=1) for a in split)
            return f(*(a.reshape(shards * size, *a.shape[2:]) for a in cut))

        def add(i: Any, sums: T) -> T:
            return jax.tree.map(jnp.add, sums, block(i * stride % count * size, size))

        nothing = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(f, *arrays))
        first = block(count * size, rest) if rest else nothing
        return jax.lax.fori_loop(0, taken, add, first)

    return jax.lax.platform_dependent(*arrays, cpu=blocked, default=f)


def blocks(*arrays: Array) -> tuple[int, int, int, int]:
    """How rows are cut: the number of shards, the rows of a block in each, blocks, rows left."""
    rows = arrays[0].shape[0]
    shards = math.gcd(rows, SHARDS)
    width = sum(math.prod(a.shape[1:]) for a in arrays)
    size = _block(rows // shards, max(1, BLOCK // (width * shards)))
    return shards, size, *divmod(rows // shards, size)


def _block(rows: int, size: int) -> int:
    """The largest divisor of rows between size / 2 and 2 size, so that no rest is left, or size."""
    if rows <= 2 * size:
        return rows
    fitting = [k for k in range(size // 2 + 1, 2 * size + 1) if rows % k == 0]
    return max(fitting, default=size)


def group_sums(
    *terms: Float[Array, "... n d"], size: int = GROUP
) -> tuple[Float[Array, "... m d"], ...]:
    """Sums of each size rows that follow each other, for two terms or more; not differentiable.

    One reduction of all terms, which a CPU unrolls, vectorizes over the columns and spreads over
    its cores; two reductions over so few rows, or one over many, it does not.
    """
    groups = [t.reshape(*t.shape[:-2], -1, size, t.shape[-1]) for t in terms]
    zero = [jnp.zeros((), t.dtype) for t in terms]
    return tuple(
        jax.lax.reduce(groups, zero, lambda a, b: list(map(jnp.add, a, b)), (groups[0].ndim - 2,))
    )


@jax.custom_jvp
def column_sums(*terms: Float[Array, "n d"]) -> tuple[Float[Array, " d"], ...]:
    """sum_i of the rows of each term, for two terms or more in one pass over what they are made of.

    In levels of GROUP rows, so that no digits are lost in a long sum.
    """

    def in_levels(*terms: Array) -> tuple[Array, ...]:
        n, d = terms[0].shape
        shards = math.gcd(n, SHARDS)  # rows split over devices stay where they are
        sums = tuple(t.reshape(shards, n // shards, d) for t in terms)
        while (rows := sums[0].shape[1]) > GROUP:
            size = next((k for k in range(GROUP, GROUP // 2, -1) if rows % k == 0), GROUP)
            whole = rows // size * size
            rest = [jnp.sum(t[:, whole:], axis=1, keepdims=True) for t in sums]
            sums = group_sums(*(t[:, :whole] for t in sums), size=size)
            if whole < rows:
                sums = tuple(jnp.concatenate(pair, axis=1) for pair in zip(sums, rest, strict=True))
        return tuple(jnp.sum(t, axis=(0, 1)) for t in sums)

    def plain(*terms: Array) -> tuple[Array, ...]:
        return tuple(jnp.sum(t, axis=0) for t in terms)

    return jax.lax.platform_dependent(*terms, cpu=in_levels, default=plain)


@column_sums.defjvp
def _(primals: tuple, tangents: tuple) -> tuple:
    return column_sums(*primals), tuple(jnp.sum(t, axis=0) for t in tangents)


def total(values: Column) -> Scalar:
    """sum_i v_i in levels: a CPU adds in order, and a long float32 sum in order loses digits."""
    shards = math.gcd(values.shape[0], SHARDS)
    rows = values.shape[0] // shards
    width = math.isqrt(rows - 1) + 1 if rows else 0
    padded = jnp.pad(values.reshape(shards, rows), ((0, 0), (0, width**2 - rows)))
    return jnp.sum(jnp.sum(jnp.sum(padded.reshape(shards, width, width), axis=1), axis=1))


def sample_mean(X: Rows, s: Column) -> Float[Array, " d"]:
    """The plain mean of a sample of the rows of positive weight: a center to sum about.

    A mean of k of n rows is within (n/k)^(1/2) sd of the mean of all, whatever rows they are. Of
    all rows where they are few, or no row of the sample has weight.
    """
    n, d = X.shape
    counted = (s > 0).astype(X.dtype)

    def mean(X: Rows, counted: Column) -> Array:
        return matmul(counted, X) / jnp.maximum(jnp.sum(counted), 1)

    shards = math.gcd(n, SHARDS)
    stride = n // max(min(SAMPLE, n // 8), shards)
    if stride < 2:
        return mean(X, counted)
    rows = X.reshape(shards, n // shards, d)[:, ::stride].reshape(-1, d)
    sample = counted.reshape(shards, n // shards)[:, ::stride].reshape(-1)
    return jax.lax.cond(sample.any(), lambda *_: mean(rows, sample), mean, X, counted)


def moments(X: Rows, p: Column) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """Weighted mean and standard deviation of each column, for weights p that sum to one.

        m = c + E[x - c],   v = E[(x - c)^2] - E[x - c]^2

    about the mean c of a sample, in one pass; about m in a second one if some column's c lay more
    than 4 deviations off, so that at most 4 bits cancel. The derivative of a deviation of 0 is 0.

    Reference: Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance, eq. (1.7).
    """

    def about(c: Array) -> tuple[Array, Array, Array]:
        A = X - jax.lax.stop_gradient(c)[None, :]
        P = p[:, None] * A
        first, second = column_sums(P, P * A)
        return c + first, second - first**2, first**2

    c = jax.lax.stop_gradient(sample_mean(X, p))
    m, v, off = about(c)
    far = off > 16 * v + (64 * jnp.finfo(X.dtype).eps * c) ** 2  # else all but rounding is right
    m, v = jax.lax.cond(far.any(), lambda m, _: about(m)[:2], lambda m, v: (m, v), m, v)
    return m, safe_sqrt(jnp.maximum(v, 0.0))
