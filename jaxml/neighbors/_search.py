"""Exact search for the nearest rows, in blocks of queries, by products with a certificate.

    ||x - z||^2 = ||x||^2 + score(z),    score(z) = ||z||^2 - 2 x'z

One product gives the scores of a block, off by rounding. Computed with ||z||^2 lowered by twice its
rounding, a score plus (1 - 2 e) ||x||^2, e = (d + 8) eps, is below the true value for certain. The
c = k + SPARE lowest are measured by direct differences; if the k-th of these is less than the c-th
bound, no other row can be as near. Queries of which that is not so are compared with every row.
Rows in float64 are scored in float32 first, and in float64 where that leaves many unsure: the
bounds hold either way, since e and the differences tell.

The c lowest of n scores: rows z_j, z_(j+m), z_(j+2m), ... form group j. Fewer than c groups have a
lower minimum than a group that holds one of the c lowest, so c groups hold them all.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml._numerics import matmul
from jaxml._typing import Array, Bool, Float, Int, Rows, Scalar

__all__ = ["nearest", "power_of_two"]

SPARE = 8  # further candidates, so that near-ties and rounding seldom defeat the certificate
BLOCK = 2**21  # scores in a block on a CPU: 8 MB in float32, which stay in cache
LARGE_BLOCK = 2**25  # on an accelerator
AT_ONCE = 8  # queries compared with every row at a time
Squares = Callable[[Rows, Rows, Array], Array]
FAR = 1e30  # the score of a row that is not there; those of scaled rows are below 10 d


def power_of_two(*arrays: Array) -> Scalar:
    """The power of two at or above max |x|: dividing by it changes no digit."""
    dtype = arrays[0].dtype
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(a)) for a in arrays]))
    exponent = jnp.frexp(largest)[1]
    limit = jnp.finfo(dtype).maxexp - 3
    return jnp.ldexp(jnp.ones((), dtype), jnp.clip(exponent, -limit, limit))


def nearest(
    Z: Rows, X: Float[Array, "m d"], k: int, alive: Bool[Array, " n"] | None = None
) -> tuple[Int[Array, "m k"], Float[Array, "m k"]]:
    """The k rows of Z nearest to each row of X, and their squared distances; not differentiable.

    Nearest first, of equals the lower index first.

    Args:
      Z: The rows searched, finite, at most 1 in absolute value.
      X: The queries, the same.
      k: Static, <= n.
      alive: False for rows that are not there; if fewer than k are, the others' index is n.
    """
    there = jnp.ones(Z.shape[0], bool) if alive is None else alive
    on_cpu = partial(_in_blocks, k=k, block=BLOCK, squares=_squares_by_row)
    elsewhere = partial(_in_blocks, k=k, block=LARGE_BLOCK, squares=_squares)
    return jax.lax.platform_dependent(Z, X, there, cpu=on_cpu, default=elsewhere)


def _in_blocks(
    Z: Rows, X: Rows, there: Array, *, k: int, block: int, squares: Squares
) -> tuple[Array, Array]:
    (n, d), m = Z.shape, X.shape[0]
    count = -(-m // min(m, max(AT_ONCE, block // n)))
    size = -(-m // count)
    center = jnp.mean(Z, axis=0)
    A, B = X - center[None, :], Z - center[None, :]
    attempts = [
        partial(_attempt, Z, there, *_scored(B, there, k, dtype), k=k, squares=squares)
        for dtype in dict.fromkeys((jnp.float32, Z.dtype.type))
    ]
    fill = ((0, count * size - m), (0, 0))
    parts = [jnp.pad(a, fill, mode="edge").reshape(count, size, d) for a in (X, A)]

    def of_block(part: list[Array]) -> tuple[Array, Array]:
        found, unsure = attempts[0](*part)
        for again in attempts[1:]:
            found, unsure = jax.lax.cond(
                jnp.sum(unsure) > AT_ONCE, again, lambda *_, f=found, u=unsure: (f, u), *part
            )
        return _among_all(part[0], Z, there, found, unsure)

    found = jax.lax.map(of_block, parts)
    return jax.tree.map(lambda a: a.reshape(count * size, k)[:m], found)


def _error(d: int, dtype: Any) -> float:
    """2 e, what a score is off by at most, relative to ||x||^2 + ||z||^2."""
    return 2 * (d + 8) * float(jnp.finfo(dtype).eps)


def _scored(B: Rows, there: Array, k: int, dtype: Any) -> tuple[Float[Array, "d+1 w"], int, int]:
    """W whose product with (b, 1) is the scores of query b, lowered; its groups, and c."""
    n, d = B.shape
    c = min(k + SPARE, n)
    groups = max(1, math.isqrt(n // c))  # of so many rows: as many minima as candidates to rank
    least = (d + 8) * jnp.finfo(dtype).tiny  # what underflow may take
    lowered = (1 - _error(d, dtype)) * jnp.sum(B**2, axis=1) - least
    W = jnp.concatenate([-2 * B.T, jnp.where(there, lowered, FAR)[None, :]])
    lack = -n % groups
    W = jnp.concatenate([W, jnp.zeros((d + 1, lack), B.dtype).at[d].set(FAR)], axis=1)
    return W.astype(dtype), groups, c


def _attempt(
    Z: Rows, there: Array, W: Array, groups: int, c: int, x: Rows, a: Rows, *,
    k: int, squares: Squares,
) -> tuple[tuple[Array, Array], Array]:  # fmt: skip
    """The k nearest among the c of lowest score, and whether another row could be as near."""
    (size, d), n = x.shape, len(Z)
    ones = jnp.ones((size, 1), W.dtype)
    scores = matmul(jnp.concatenate([a.astype(W.dtype), ones], axis=1), W)
    bounds, index = _lowest(scores.reshape(size, groups, -1), c)
    index, measured = _ranked(x, Z, there, index, squares)
    last = bounds[:, -1].astype(x.dtype)
    bound = last + (1 - _error(d, W.dtype)) * jnp.sum(a**2, axis=1)
    near = bound <= (1 + _error(d, x.dtype)) * measured[:, k - 1]
    # With c = n every row was measured; FAR: every row that is there was.
    unsure = near & (last < FAR / 2) & (c < n)
    return (index[:, :k], measured[:, :k]), unsure


def _lowest(scores: Float[Array, "b g w"], c: int) -> tuple[Array, Array]:
    """The c lowest scores of each query, ascending, and their rows."""
    width = scores.shape[2]
    minima, group = jax.lax.top_k(-jnp.min(scores, axis=1), min(c, width))
    if scores.shape[1] == 1:
        return -minima, group
    members = jnp.take_along_axis(scores, group[:, None, :], axis=2, mode="promise_in_bounds")
    members = members.reshape(len(scores), -1)
    low, at = jax.lax.top_k(-members, c)
    rank, which = jnp.divmod(at, group.shape[1])
    return -low, rank * width + jnp.take_along_axis(group, which, axis=1)


def _squares(x: Rows, Z: Rows, index: Int[Array, "b c"]) -> Float[Array, "b c"]:
    """||x_i - z_j||^2 for the c rows j of Z that go with each x_i, by differences."""
    return jnp.sum((x[:, None, :] - Z[index]) ** 2, axis=2)


def _squares_by_row(x: Rows, Z: Rows, index: Array) -> Array:
    """The same on a CPU: in a loop of jaxlib 0.12, one kernel that keeps no differences."""
    return jax.lax.map(lambda one: jnp.sum((one[0][None, :] - Z[one[1]]) ** 2, axis=1), (x, index))


def _ranked(x: Rows, Z: Rows, there: Array, index: Array, squares: Squares) -> tuple[Array, Array]:
    """Candidates in order of their squared distance, then of their index."""
    n = Z.shape[0]
    within = jnp.minimum(index, n - 1)
    gone = (index >= n) | ~there[within]
    measured = jnp.where(gone, FAR, squares(x, Z, within))
    index = jnp.where(gone, n, index)
    # Two rankings instead of a sort by both: of equals top_k takes the first, the lower index.
    index, order = jax.lax.top_k(-index, index.shape[1])
    measured, rank = jax.lax.top_k(-jnp.take_along_axis(measured, order, axis=1), index.shape[1])
    return jnp.take_along_axis(-index, rank, axis=1), -measured


def _among_all(
    x: Rows, Z: Rows, there: Array, found: tuple[Array, Array], unsure: Array
) -> tuple[Array, Array]:
    """Found, its unsure queries replaced after comparison with every row of Z."""
    k, few = found[0].shape[1], min(AT_ONCE, x.shape[0])

    def more(state: tuple[Any, Array]) -> Array:
        return state[1].any()

    def some(state: tuple[Any, Array]) -> tuple[Any, Array]:
        (index, squares), unsure = state
        rows = jax.lax.top_k(unsure.astype(jnp.int32), few)[1]  # others among them do no harm
        # Feature by feature: a reduction over few features is not vectorized on a CPU.
        y, Zt = x[rows].T, Z.T

        def add(j: Array, total: Array) -> Array:
            return total + (y[j][:, None] - Zt[j][None, :]) ** 2

        every = jax.lax.fori_loop(0, len(Zt), add, jnp.zeros((few, len(Z)), Z.dtype))
        least, best = jax.lax.top_k(-jnp.where(there[None, :], every, FAR), k)
        best = jnp.where(-least < FAR / 2, best, Z.shape[0])
        found = index.at[rows].set(best), squares.at[rows].set(-least)
        return found, unsure.at[rows].set(False)

    return jax.lax.while_loop(more, some, (found, unsure))[0]
