"""Sequential minimal optimization with second-order working sets, in the form of b = alpha * y.

    minimize J(b) = 1/2 b'K b - y'b    subject to  sum_i b_i = 0,  lo_i <= b_i <= hi_i
    g = K b - y,    m = max {-g_i : b_i < hi_i},    M = min {-g_j : b_j > lo_j}

Optimal where m <= M. A step moves the pair (i, j) by b_i += t, b_j -= t, where i attains m and j
promises the largest decrease (m + g_j)^2 / (2 a_ij), a_ij = K_ii + K_jj - 2 K_ij.

In float64 a first round of pairs is moved in float32, on rows of K that are cast as they are read:
twice the numbers per instruction, and no copy of K. Any b between the bounds with sum 0 is a start,
so that its rounding decides nothing: what is returned is measured in float64, and finished there.

Reference: Fan, Chen, Lin (2005), Working set selection using second order information, eq. (2)-(4)
and WSS 2; Platt (1998) for the pairs.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._loop import iterate
from jaxml._numerics import matmul
from jaxml._typing import Array, Bool, Column, Float, Int, Scalar

__all__ = ["State", "feasible", "gradient", "minimize", "violation"]

FLOOR = 1e-12  # of a curvature, relative to the largest k(x, x)
ROUND = 10_000  # least pairs between two fresh gradients
RESOLVED = 100  # eps of float32, the least m - M that is asked of it
HALVED = 8  # numbers of which a maximum is not taken by halves


class State(NamedTuple):
    """An iterate; g is K b - y, carried along and now and then computed afresh."""

    b: Column
    g: Column
    gap: Scalar  # m - M, inf before the first pair
    bent: Bool[Array, ""]  # whether a curvature was clearly negative: J is not convex
    stuck: Bool[Array, ""]  # whether rounding left the pair where it was


class Rounds(NamedTuple):
    """What one round of pairs hands to the next."""

    state: State
    J: Scalar
    pairs: Int[Array, ""]
    done: Bool[Array, ""]


def gradient(K: Float[Array, "n n"], y: Column, b: Column) -> Column:
    """g = K b - y."""
    return matmul(K, b) - y


def violation(b: Column, g: Column, lo: Column, hi: Column) -> tuple[Scalar, Scalar]:
    """Return (m, M); m - M > 0 is how far the conditions are violated."""
    m = jnp.max(jnp.where(b < hi, -g, -jnp.inf))
    return m, jnp.min(jnp.where(b > lo, -g, jnp.inf))


def feasible(b: Column, lo: Column, hi: Column) -> Column:
    """Bring b between its bounds, then to sum 0 by shrinking the side that outweighs the other."""
    b = jnp.clip(jnp.where(jnp.isfinite(b), b, 0.0), lo, hi)
    plus, minus = jnp.sum(jnp.maximum(b, 0.0)), jnp.sum(jnp.maximum(-b, 0.0))
    least = jnp.minimum(plus, minus)
    share = least / jnp.where(least > 0, jnp.where(b > 0, plus, minus), 1.0)
    # What the rounding of the sums tells apart is equal: shrinking by it would leave the bounds.
    rounding = 4 * jnp.finfo(b.dtype).eps * b.shape[0] ** 0.5
    return jnp.where(share < 1 - rounding, share * b, b)


def minimize(
    K: Float[Array, "n n"],
    y: Column,
    lo: Column,
    hi: Column,
    start: Column | None,
    tol: Scalar,
    *,
    max_iter: int,
) -> tuple[State, Int[Array, ""]]:
    """Return the last state, its gradient fresh, and the number of pairs moved; start None is 0.

    In rounds: after each the gradient is computed afresh, and a round that did not lower J is the
    last. The loop over pairs holds nothing but slices, selects and reductions, which a CPU runs as
    one native kernel.
    """
    n, eps = K.shape[0], jnp.finfo(K.dtype).eps
    no, inf = jnp.array(False), jnp.array(jnp.inf, K.dtype)

    def measured(state: State, pairs: Array) -> Rounds:
        g = gradient(K, y, state.b)
        m, M = violation(state.b, g, lo, hi)
        J = 0.5 * jnp.sum(state.b * (g - y))
        over = ~(m - M > tol) | (pairs >= max_iter)  # a NaN ends it, too
        return Rounds(state._replace(g=g, gap=m - M, stuck=no), J, pairs, over)

    def once(rounds: Rounds) -> Rounds:
        budget = jnp.minimum(max(ROUND, 20 * n), max_iter - rounds.pairs)
        state, pairs = _pairs(K, lo, hi, rounds.state, tol, budget)
        end = measured(state, rounds.pairs + pairs)
        stuck = ~(rounds.J - 4 * eps * jnp.abs(end.J) > end.J)
        return end._replace(state=end.state._replace(stuck=stuck), done=end.done | stuck)

    def ahead(rounds: Rounds) -> Rounds:
        budget = jnp.where(rounds.done, 0, min(20 * n, max_iter))
        state, pairs = _pairs_in_float32(K, lo, hi, rounds.state, tol, budget)
        end = measured(state, pairs)
        kept = rounds.state._replace(bent=state.bent)
        kept = Rounds(kept, rounds.J, pairs, rounds.done | (pairs >= max_iter))
        # No J of before: the next round is judged from where it starts.
        return jax.tree.map(partial(jnp.where, end.J < rounds.J), end, kept)._replace(J=inf)

    nothing = State(jnp.zeros_like(y), -y, inf, no, no)
    rounds = Rounds(nothing, jnp.zeros_like(inf), jnp.int32(0), no)
    if start is not None:
        rounds = measured(nothing._replace(b=start), rounds.pairs)
    if K.dtype == jnp.float64:
        rounds = ahead(rounds)
    rounds, _ = iterate(once, rounds, stop=lambda r: r.done, max_iter=max_iter)
    return rounds.state, rounds.pairs


def _largest(values: Column) -> Scalar:
    """max_i values_i; half against half where a loop is one kernel, which takes jnp.max in turn."""

    def halved(values: Column) -> Scalar:
        while (n := values.shape[0]) > HALVED:
            half = (n + 1) // 2
            values = jnp.maximum(values[:half], values[n - half :])
        return jnp.max(values)

    return jax.lax.platform_dependent(values, cpu=halved, default=jnp.max)


def _first(values: Column, at: Scalar) -> Int[Array, ""]:
    """The first index at which values == at, n if there is none; counted in the same dtype."""
    n = values.shape[0]
    before = -jnp.arange(n, dtype=values.dtype)  # exact to 2^24 rows, of which K has 2^48 numbers
    return -_largest(jnp.where(values == at, before, -n)).astype(jnp.int32)


def _pairs(
    K: Float[Array, "n n"], lo: Column, hi: Column, state: State, tol: Scalar, budget: Array | int
) -> tuple[State, Int[Array, ""]]:
    """Move pairs until m - M <= tol, nothing moves, or the budget is spent; in the dtype of b."""
    dtype, index = state.b.dtype, jnp.arange(K.shape[0], dtype=jnp.int32)
    diagonal = jnp.diagonal(K)
    top = jnp.max(jnp.where(hi > lo, jnp.abs(diagonal), 0.0))
    floor = (FLOOR * jnp.where(top > 0, top, 1.0)).astype(dtype)
    slack = 100 * jnp.finfo(K.dtype).eps * top
    d = diagonal.astype(dtype)

    def row(i: Array) -> Column:
        return jax.lax.dynamic_index_in_dim(K, i, 0, keepdims=False).astype(dtype)

    def move(state: State) -> State:
        b, g, *_ = state
        v = -g
        up = jnp.where(b < hi, v, -jnp.inf)
        m = _largest(up)
        i = _first(up, m)
        K_i, d_i = row(i), d[i]
        low, r = b > lo, m - v
        a = d_i + d - 2 * K_i
        gain = jnp.where(low & (r > 0), r * r / jnp.maximum(a, floor), -1.0)
        gap = _largest(jnp.where(low, r, -jnp.inf))
        j = _first(gain, _largest(gain))
        K_j, a_j = row(j), a[j]
        room_i, room_j = hi[i] - b[i], b[j] - lo[j]
        t = jnp.minimum(jnp.minimum(r[j] / jnp.maximum(a_j, floor), room_i), room_j)
        t = jnp.where(gap > tol, t, 0.0)
        # A bound that is reached is reached exactly, so that free and bounded stay told apart.
        b_i = jnp.where(t >= room_i, hi[i], b[i] + t)
        b_j = jnp.where(t >= room_j, lo[j], b[j] - t)
        still = (b_i == b[i]) & (b_j == b[j])
        b = jnp.where(index == i, b_i, jnp.where(index == j, b_j, b))
        curvature = diagonal[i] + diagonal[j] - 2 * K[i, j]
        bent = state.bent | ((gap > tol) & (curvature < -slack))
        return State(b, g + t * (K_i - K_j), gap, bent, still)

    def stop(state: State) -> Array:
        return ~(state.gap > tol) | state.stuck

    return iterate(move, state, stop=stop, max_iter=budget)


def _pairs_in_float32(
    K: Float[Array, "n n"], lo: Column, hi: Column, state: State, tol: Scalar, budget: Array
) -> tuple[State, Int[Array, ""]]:
    """Move pairs as _pairs does, as far as float32 resolves; bring b back to the dtype of K.

    A row that did not move keeps its b, and one at a bound goes to that bound exactly. What the sum
    then lacks to 0 is shared among the free, in the ratio of their room.
    """

    def cast(a: Array) -> Array:
        return a.astype(jnp.float32) if a.dtype == K.dtype else a

    low, high, begin = jax.tree.map(cast, (lo, hi, state))
    least = jnp.maximum(cast(tol), RESOLVED * jnp.finfo(jnp.float32).eps)
    end, pairs = _pairs(K, low, high, begin, least, budget)
    b = jnp.where(end.b >= high, hi, jnp.where(end.b <= low, lo, end.b.astype(K.dtype)))
    b = jnp.where(end.b == begin.b, state.b, b)
    room, lacking = jnp.minimum(hi - b, b - lo), -jnp.sum(b)
    total = jnp.sum(room)
    shared = b + lacking / jnp.where(total > 0, total, 1.0) * room
    b = jnp.where(jnp.abs(lacking) < total, shared, feasible(b, lo, hi))
    return state._replace(b=b, bent=end.bent), pairs
