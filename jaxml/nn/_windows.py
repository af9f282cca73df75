"""Windows over the spatial axes: their maxima and sums, and the gradients that go back into them.

    y_o = max or sum over t of x[o stride - low + t],  0 <= t < window

with o and t one number per axis. The derivative is linear in the tangent and written as the
transpose of what reverse mode does: ``_spread`` sends the cotangent of window o to its winner, or
to all its entries, without a scatter.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array

__all__ = ["Axes", "Axis", "along", "maximum", "passes", "total"]

TOGETHER = 16  # entries of a window that are compared in one expression


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

    def reach(self) -> range:
        """The j for which an entry of x at q stride + r, 0 <= r < stride, can be in window q + j.

        There it is entry r + low - j stride.
        """
        last = (self.stride - 1 + self.low) // self.stride
        return range(-((self.window - 1 - self.low) // self.stride), last + 1)


Axes = tuple[Axis, ...]
Piece = tuple[tuple[int, int], ...]  # windows start..stop-1 along each axis


def passes(axes: Axes) -> list[Axes]:
    """Return axes all at once, or one after the other, the last first, where that compares less.

    Both orders keep the first winner of a tie first.
    """
    whole = math.prod(axis.window for axis in axes)
    before = [math.prod(axis.stride for axis in axes[:i]) for i in range(len(axes))]
    in_turn = sum(axis.window * rows for axis, rows in zip(axes, before, strict=True))
    return [axes] if whole <= min(in_turn, TOGETHER) else [(axis,) for axis in reversed(axes)]


def along(v: Array, shape: tuple[int, ...], *axes: int) -> Array:
    """Return v, spread over shape along axes."""
    return jax.lax.broadcast_in_dim(v, shape, axes)


def _slice(
    axes: Axes, x: Array, start: list[int], stop: list[int], stride: list[int] | None = None
) -> Array:
    first, last, step = [0] * x.ndim, list(x.shape), [1] * x.ndim
    for k, axis in enumerate(axes):
        first[axis.axis], last[axis.axis] = start[k], stop[k]
        step[axis.axis] = stride[k] if stride else 1
    return jax.lax.slice(x, first, last, step)


def _pad(axes: Axes, x: Array, fill: float, around: list[tuple[int, int]]) -> Array:
    config = [(0, 0, 0)] * x.ndim
    for axis, (low, high) in zip(axes, around, strict=True):
        config[axis.axis] = (low, high, 0)
    return jax.lax.pad(x, jnp.asarray(fill, x.dtype), config)


def _in_pieces(axes: Axes, f: Callable[[Piece], Array], piece: Piece = ()) -> Array:
    """Join f of the pieces."""
    if len(piece) == len(axes):
        return f(piece)
    axis = axes[len(piece)]
    parts = [_in_pieces(axes, f, (*piece, part)) for part in axis.pieces()]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=axis.axis)


def _entries(axes: Axes, x: Array, fill: float, piece: Piece) -> Iterator[Array]:
    """Entry t of a piece's windows, for each t in row-major order; only what needs it is padded."""
    starts = [axis.start(a) for axis, (a, _) in zip(axes, piece, strict=True)]
    stops = [axis.start(b - 1) + axis.window for axis, (_, b) in zip(axes, piece, strict=True)]
    inside = [min(b, axis.size) for axis, b in zip(axes, stops, strict=True)]
    x = _slice(axes, x, [max(a, 0) for a in starts], inside)
    around = [
        (max(-a, 0), max(b - axis.size, 0)) for axis, a, b in zip(axes, starts, stops, strict=True)
    ]
    if np.any(around):
        x = _pad(axes, x, fill, around)
    for t in itertools.product(*(range(axis.window) for axis in axes)):
        last = [
            u + axis.start(b - 1) - axis.start(a) + 1
            for u, axis, (a, b) in zip(t, axes, piece, strict=True)
        ]
        yield _slice(axes, x, list(t), last, [axis.stride for axis in axes])


def _number(axes: Axes, t: list[np.ndarray]) -> np.ndarray:
    """The row-major number of entry t of a window, over the grid of the values of each t."""
    strides = [math.prod(axis.window for axis in axes[i + 1 :]) for i in range(len(axes))]
    return reduce(np.add.outer, [v * s for v, s in zip(t, strides, strict=True)])


def _spread(axes: Axes, g: Array, winner: Array | None) -> Array:
    """Send g_o to the winner of window o, or to all its entries.

    One sum over the windows that reach an entry of x, of whole arrays: no two windows write to the
    same place. Position q stride + r of an axis stands at (q, r) until the end.
    """
    steps = [-(-axis.size // axis.stride) for axis in axes]
    around = [
        (-axis.reach()[0], max(q + axis.reach()[-1] - axis.out, 0))
        for axis, q in zip(axes, steps, strict=True)
    ]
    # The barrier keeps XLA from computing g and winner anew for every window.
    g = jax.lax.optimization_barrier(_pad(axes, g, 0, around))
    if winner is not None:
        winner = jax.lax.optimization_barrier(_pad(axes, winner, -1, around))
    cut = {axis.axis: (q, axis.stride) for axis, q in zip(axes, steps, strict=True)}
    sizes = [cut.get(i, (n,)) for i, n in enumerate(g.shape)]
    place = [sum(map(len, sizes[:i])) for i in range(g.ndim)]  # of q, and of the axes left whole
    shape = tuple(itertools.chain(*sizes))

    def sent(j: tuple[int, ...]) -> Array:
        """What window q + j sends to (q, r), for all q and r."""
        at = [i + low for i, (low, _) in zip(j, around, strict=True)]

        def window(v: Array) -> Array:
            ends = [a + q for a, q in zip(at, steps, strict=True)]
            return along(_slice(axes, v, at, ends), shape, *place)

        t = [
            np.arange(axis.stride) + axis.low - i * axis.stride
            for axis, i in zip(axes, j, strict=True)
        ]
        seen = [(v >= 0) & (v < axis.window) for v, axis in zip(t, axes, strict=True)]
        seen = reduce(np.logical_and.outer, seen)
        inner = [place[axis.axis] + 1 for axis in axes]
        if winner is None:
            return jnp.where(along(jnp.asarray(seen), shape, *inner), window(g), 0)
        number = jnp.asarray(np.where(seen, _number(axes, t), -2), winner.dtype)
        return jnp.where(window(winner) == along(number, shape, *inner), window(g), 0)

    dx = reduce(jnp.add, map(sent, itertools.product(*(axis.reach() for axis in axes))))
    dx = dx.reshape([math.prod(size) for size in sizes])
    return _slice(axes, dx, [0] * len(axes), [axis.size for axis in axes])


def _gathered(axes: Axes, dx: Array, winner: Array | None) -> Array:
    """Return the transpose of _spread at dx: JAX transposes it back, so reverse mode is _spread."""
    out = {axis.axis: axis.out for axis in axes}
    shape = tuple(out.get(i, n) for i, n in enumerate(dx.shape))
    g = jax.ShapeDtypeStruct(shape, dx.dtype)
    return jax.linear_transpose(lambda g: _spread(axes, g, winner), g)(dx)[0]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def maximum(axes: Axes, x: Array) -> Array:
    return _in_pieces(axes, lambda piece: reduce(jnp.maximum, _entries(axes, x, -jnp.inf, piece)))


@maximum.defjvp
def _(axes: Axes, primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    y = jax.lax.optimization_barrier(maximum(axes, x))
    entries = math.prod(axis.window for axis in axes)
    dtype = jnp.int8 if entries <= np.iinfo(np.int8).max else jnp.int32

    def first(piece: Piece) -> Array:
        top = _slice(axes, y, *map(list, zip(*piece, strict=True)))
        winner = jnp.zeros(top.shape, dtype)
        for t, entry in reversed(list(enumerate(_entries(axes, x, -jnp.inf, piece)))):
            winner = jnp.where((entry == top) | jnp.isnan(entry), jnp.asarray(t, dtype), winner)
        # Where all is -inf, padding in front would be the first.
        starts = [
            [axis.start(o) for o in range(a, b)] for axis, (a, b) in zip(axes, piece, strict=True)
        ]
        least = _number(axes, [np.maximum(-np.array(s), 0) for s in starts])
        if least.any():
            at = [axis.axis for axis in axes]
            winner = jnp.maximum(winner, along(jnp.asarray(least, dtype), top.shape, *at))
        return winner

    return y, _gathered(axes, dx, _in_pieces(axes, first))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def total(axes: Axes, x: Array) -> Array:
    return _in_pieces(axes, lambda piece: reduce(jnp.add, _entries(axes, x, 0.0, piece)))


@total.defjvp
def _(axes: Axes, primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    return total(axes, x), _gathered(axes, dx, None)
