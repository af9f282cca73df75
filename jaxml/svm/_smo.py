"""Sequential minimal optimization with second-order working sets, in the form of b = alpha * y.

    minimize J(b) = 1/2 b'K b - y'b    subject to  sum_i b_i = 0,  lo_i <= b_i <= hi_i
    g = K b - y,    m = max {-g_i : b_i < hi_i},    M = min {-g_j : b_j > lo_j}

Optimal where m <= M. A step moves the pair (i, j) by b_i += t, b_j -= t, where i attains m and j
promises the largest decrease (m + g_j)^2 / (2 a_ij), a_ij = K_ii + K_jj - 2 K_ij.

Reference: Fan, Chen, Lin (2005), Working set selection using second order information, eq. (2)-(4)
and WSS 2; Platt (1998) for the pairs.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._loop import iterate
from jaxml._numerics import matmul
from jaxml._typing import Array, Bool, Column, Float, Int, Scalar

__all__ = ["State", "feasible", "gradient", "minimize", "violation"]

FLOOR = 1e-12  # of a curvature, relative to the largest k(x, x)
ROUND = 10_000  # least pairs between two fresh gradients
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
    start: Column,
    tol: Scalar,
    *,
    max_iter: int,
) -> tuple[State, Int[Array, ""]]:
    """Return the last state, its gradient fresh, and the number of pairs moved from start.

    In rounds: after each the gradient is computed afresh, and a round that did not lower J is the
    last. The loop over pairs holds nothing but slices, selects and reductions, which a CPU runs as
    one native kernel.
    """
    n, dtype = K.shape[0], K.dtype
    length = max(ROUND, 20 * n)

    def once(rounds: Rounds) -> Rounds:
        budget = jnp.minimum(length, max_iter - rounds.pairs)
        state, pairs = _pairs(K, lo, hi, rounds.state, tol, budget)
        g = gradient(K, y, state.b)
        m, M = violation(state.b, g, lo, hi)
        J = 0.5 * jnp.sum(state.b * (g - y))
        lower = rounds.J - 4 * jnp.finfo(dtype).eps * jnp.abs(J) > J
        # A NaN ends it, too.
        over = ~lower | ~(m - M > tol) | (rounds.pairs + pairs >= max_iter)
        state = state._replace(g=g, gap=m - M, stuck=~lower)
        return Rounds(state, J, rounds.pairs + pairs, over)

    no, g = jnp.array(False), gradient(K, y, start)
    first = State(start, g, jnp.array(jnp.inf, dtype), no, no)
    rounds = Rounds(first, 0.5 * jnp.sum(start * (g - y)), jnp.int32(0), no)
    end, _ = iterate(once, rounds, stop=lambda r: r.done, max_iter=max_iter)
    return end.state, end.pairs


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
    """Move pairs until m - M <= tol, nothing moves, or the budget is spent."""
    index = jnp.arange(K.shape[0], dtype=jnp.int32)
    d = jnp.diagonal(K)
    top = jnp.max(jnp.where(hi > lo, jnp.abs(d), 0.0))
    floor = FLOOR * jnp.where(top > 0, top, 1.0)
    slack = 100 * jnp.finfo(K.dtype).eps * top

    def move(state: State) -> State:
        b, g, *_ = state
        v = -g
        up = jnp.where(b < hi, v, -jnp.inf)
        m = _largest(up)
        i = _first(up, m)
        K_i, d_i = jax.lax.dynamic_index_in_dim(K, i, 0, keepdims=False), d[i]
        low, r = b > lo, m - v
        a = d_i + d - 2 * K_i
        gain = jnp.where(low & (r > 0), r * r / jnp.maximum(a, floor), -1.0)
        gap = _largest(jnp.where(low, r, -jnp.inf))
        j = _first(gain, _largest(gain))
        K_j, a_j = jax.lax.dynamic_index_in_dim(K, j, 0, keepdims=False), a[j]
        room_i, room_j = hi[i] - b[i], b[j] - lo[j]
        t = jnp.minimum(jnp.minimum(r[j] / jnp.maximum(a_j, floor), room_i), room_j)
        t = jnp.where(gap > tol, t, 0.0)
        # A bound that is reached is reached exactly, so that free and bounded stay told apart.
        b_i = jnp.where(t >= room_i, hi[i], b[i] + t)
        b_j = jnp.where(t >= room_j, lo[j], b[j] - t)
        still = (b_i == b[i]) & (b_j == b[j])
        b = jnp.where(index == i, b_i, jnp.where(index == j, b_j, b))
        bent = state.bent | ((gap > tol) & (a_j < -slack))
        return State(b, g + t * (K_i - K_j), gap, bent, still)

    def stop(state: State) -> Array:
        return ~(state.gap > tol) | state.stuck

    return iterate(move, state, stop=stop, max_iter=budget)
