"""Windows along one axis: their maxima and sums, and the gradients that go back into them.

    y_o = max or sum over t of x[o stride - low + t],  t = 0 .. window - 1

The derivative is linear in the tangent and written as the transpose of what reverse mode does:
``_spread`` sends the cotangent of window o to its winner, or to all its entries, without a scatter.
"""

import itertools
from collections.abc import Callable
from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array

__all__ = ["Axis", "along", "maximum", "total"]


class Axis(NamedTuple):
    """The windows along one axis, all static."""

    axis: int  # of x
    size: int  # entries of x
    window: int
    stride: int
    low: int  # padding in front
    out: int  # windows

    def start(self, o: int) -> int:
        """The position of the first entry of window o, below 0 in the padding."""
        return o * self.stride - self.low

    def pieces(self) -> list[tuple[int, int]]:
        """Windows cut in three: those that begin in the padding, those on x alone, the others."""
        first = -(-self.low // self.stride)
        behind = max((self.size - self.window + self.low) // self.stride + 1, 0)
        cuts = (0, min(first, self.out), min(max(first, behind), self.out), self.out)
        return [(a, b) for a, b in itertools.pairwise(cuts) if a < b]


def _entries(axis: Axis, x: Array, fill: float, start: int, stop: int) -> list[Array]:
    """Entry t of the windows start..stop-1, for t = 0..window-1; only what needs it is padded."""
    a, b = axis.start(start), axis.start(stop - 1) + axis.window
    x = jax.lax.slice_in_dim(x, max(a, 0), min(b, axis.size), axis=axis.axis)
    low, high = max(-a, 0), max(b - axis.size, 0)
    if low or high:
        around = [(low, high, 0) if i == axis.axis else (0, 0, 0) for i in range(x.ndim)]
        x = jax.lax.pad(x, jnp.asarray(fill, x.dtype), around)
    last = (stop - 1 - start) * axis.stride + 1
    return [
        jax.lax.slice_in_dim(x, t, t + last, axis.stride, axis=axis.axis)
        for t in range(axis.window)
    ]


def _in_pieces(axis: Axis, f: Callable[[int, int], Array]) -> Array:
    """Join f(start, stop) of the pieces."""
    parts = [f(*piece) for piece in axis.pieces()]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=axis.axis)


def _spread(axis: Axis, g: Array, winner: Array | None) -> Array:
    """Send g_o to the winner of window o, or to all its entries.

    Position q stride + r of the padded axis is entry r + m stride of window q - m: for each r one
    sum over m, of whole arrays, and no two windows write to the same place.
    """
    i, s, M = axis.axis, axis.stride, (axis.window - 1) // axis.stride
    Q = -(-(axis.low + axis.size) // s)
    around = [(M, Q - axis.out, 0) if j == i else (0, 0, 0) for j in range(g.ndim)]
    # The barrier keeps XLA from computing g and winner anew for every m and r.
    g = jax.lax.optimization_barrier(jax.lax.pad(g, jnp.zeros((), g.dtype), around))
    if winner is not None:
        none = jnp.asarray(-1, winner.dtype)
        winner = jax.lax.optimization_barrier(jax.lax.pad(winner, none, around))

    def sent(t: int) -> Array:
        """What entry t of every window gets."""
        m = t // s
        part = jax.lax.slice_in_dim(g, M - m, M - m + Q, axis=i)
        if winner is None:
            return part
        return jnp.where(jax.lax.slice_in_dim(winner, M - m, M - m + Q, axis=i) == t, part, 0)

    if winner is not None and M == 0:  # one comparison over all r writes dx without a copy
        shape = (*g.shape[:i], Q, s, *g.shape[i + 1 :])
        t = np.minimum(np.arange(s), np.iinfo(winner.dtype).max)
        won = jax.lax.broadcast_in_dim(winner, shape, [j + (j > i) for j in range(g.ndim)])
        sends = jax.lax.broadcast_in_dim(g, shape, [j + (j > i) for j in range(g.ndim)])
        dx = jnp.where(won == along(jnp.asarray(t, winner.dtype), shape, i + 1), sends, 0)
    else:
        nothing = jnp.zeros((*g.shape[:i], Q, *g.shape[i + 1 :]), g.dtype)
        entries = [range(r, axis.window, s) for r in range(s)]
        columns = [reduce(jnp.add, [sent(t) for t in every] or [nothing]) for every in entries]
        dx = jnp.stack(columns, axis=i + 1)
    dx = dx.reshape(*g.shape[:i], Q * s, *g.shape[i + 1 :])
    return jax.lax.slice_in_dim(dx, axis.low, axis.low + axis.size, axis=i)


def along(v: Array, shape: tuple[int, ...], axis: int) -> Array:
    """Return v, spread over shape along an axis."""
    return jax.lax.broadcast_in_dim(v, shape, (axis,))


def _gathered(axis: Axis, dx: Array, winner: Array | None) -> Array:
    """Return the transpose of _spread at dx: JAX transposes it back, so reverse mode is _spread."""
    shape = tuple(axis.out if j == axis.axis else n for j, n in enumerate(dx.shape))
    g = jax.ShapeDtypeStruct(shape, dx.dtype)
    return jax.linear_transpose(lambda g: _spread(axis, g, winner), g)(dx)[0]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def maximum(axis: Axis, x: Array) -> Array:
    return _in_pieces(axis, lambda *piece: reduce(jnp.maximum, _entries(axis, x, -jnp.inf, *piece)))


@maximum.defjvp
def _(axis: Axis, primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    y = jax.lax.optimization_barrier(maximum(axis, x))
    dtype = jnp.int8 if axis.window <= np.iinfo(np.int8).max else jnp.int32

    def first(start: int, stop: int) -> Array:
        top = jax.lax.slice_in_dim(y, start, stop, axis=axis.axis)
        winner = jnp.zeros(top.shape, dtype)
        for t, entry in reversed(list(enumerate(_entries(axis, x, -jnp.inf, start, stop)))):
            winner = jnp.where((entry == top) | jnp.isnan(entry), jnp.asarray(t, dtype), winner)
        # Where all is -inf, padding in front would be the first.
        least = np.maximum([-axis.start(o) for o in range(start, stop)], 0)
        if least.any():
            winner = jnp.maximum(winner, along(jnp.asarray(least, dtype), top.shape, axis.axis))
        return winner

    return y, _gathered(axis, dx, _in_pieces(axis, first))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def total(axis: Axis, x: Array) -> Array:
    return _in_pieces(axis, lambda *piece: reduce(jnp.add, _entries(axis, x, 0.0, *piece)))


@total.defjvp
def _(axis: Axis, primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    return total(axis, x), _gathered(axis, dx, None)
