"""Pooling over windows of a signal, an image or a volume, channels last.

    max_pool   y_o = max of the window's entries      global_avg_pool   one mean per channel
    avg_pool   y_o = mean of the window's entries

Symbols: x (n, *spatial, c); along an axis of ``size`` entries, window o holds the positions
o stride - low + t, t = 0..window-1, of which those below 0 or from size on are padding.

Ties: the gradient of a maximum goes to one entry, the first winner in the order of memory (rows
before columns), as in PyTorch; ``jnp.max`` would split it. Padding never wins, not even over -inf.
NaN wins over all numbers, and the first NaN takes the gradient.

Both are taken one axis after the other, the last first, which keeps the order of ties: a window of
k x k costs 2k comparisons instead of k^2.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._typing import Array, Float
from jaxml.nn._tensor import statistics_dtype, tensor

__all__ = ["avg_pool", "global_avg_pool", "max_pool"]

Sizes = int | Sequence[int]  # one for all spatial axes, or one for each
Padding = str | Sequence[tuple[int, int]]


class _Axis(NamedTuple):
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


def max_pool(
    x: Float[Array, "n *spatial c"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
) -> Float[Array, "n *out c"]:
    """Return the greatest entry of every window; its cotangent goes to the first winner.

    Args:
      x: At least one spatial axis between samples and channels.
      window: Entries along each spatial axis, >= 1; an integer stands for all axes. Static.
      stride: Steps between windows, >= 1; None: the window, so that windows do not overlap. Static.
      padding: "VALID" (none: entries that fill no window are left out), "SAME" (ceil(size / stride)
        windows, the odd entry of padding behind) or one pair (before, behind) per spatial axis,
        each less than the window. Static.

    Raises:
      ValueError: A window is larger than the padded axis, or the arguments do not fit the axes.

    Example:
      >>> x = jnp.array([2.0, 2.0, 1.0, 3.0]).reshape(1, 4, 1)
      >>> max_pool(x, window=2).ravel().tolist()
      [2.0, 3.0]
      >>> jax.grad(lambda x: max_pool(x, window=2).sum())(x).ravel().tolist()
      [1.0, 0.0, 0.0, 1.0]
    """
    x, axes = _boundary(x, window, stride, padding)
    return _pool(x, axes, _maximum)


def avg_pool(
    x: Float[Array, "n *spatial c"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    count_include_pad: bool = True,
) -> Float[Array, "n *out c"]:
    """Return the mean of every window.

    Args:
      x: At least one spatial axis between samples and channels.
      window: As for max_pool.
      stride: As for max_pool.
      padding: As for max_pool.
      count_include_pad: Whether padding counts as zeros (the default here, in PyTorch and in Flax)
        or the mean is over entries of x alone. Static.

    Raises:
      ValueError: As for max_pool.

    Example:
      >>> x = jnp.array([2.0, 4.0, 6.0]).reshape(1, 3, 1)
      >>> avg_pool(x, window=2, padding="SAME").ravel().tolist()  # (2 + 4)/2, (6 + 0)/2
      [3.0, 3.0]
      >>> avg_pool(x, window=2, padding="SAME", count_include_pad=False).ravel().tolist()
      [3.0, 6.0]
    """
    x, axes = _boundary(x, window, stride, padding)
    mean = _mean_with_padding if count_include_pad else _mean_without_padding
    return _pool(x.astype(statistics_dtype(x.dtype)), axes, mean).astype(x.dtype)


def global_avg_pool(x: Float[Array, "n *spatial c"]) -> Float[Array, "n c"]:
    """Return the mean of every channel over all positions.

    Raises:
      ValueError: There is no spatial axis, or an empty one.

    Example:
      >>> global_avg_pool(jnp.arange(8.0).reshape(1, 2, 2, 2)).tolist()
      [[3.0, 4.0]]
    """
    x = _signal(x)
    n, *_, c = x.shape
    # Means over the middle axis keep channels contiguous.
    mean = jnp.mean(
        x.reshape(n, math.prod(x.shape[1:-1]), c), axis=1, dtype=statistics_dtype(x.dtype)
    )
    return mean.astype(x.dtype)


def _signal(x: Any) -> Array:
    x = tensor("x", x, "...")
    if x.ndim < 3 or 0 in x.shape[1:-1]:
        raise ValueError(
            f"x must have shape (n, *spatial, c), no spatial axis empty: got {x.shape}"
        )
    return x


def _boundary(x: Any, window: Any, stride: Any, padding: Any) -> tuple[Array, tuple[_Axis, ...]]:
    x = _signal(x)
    sizes = x.shape[1:-1]
    windows = _each("window", window, len(sizes))
    strides = windows if stride is None else _each("stride", stride, len(sizes))
    if isinstance(padding, str):
        _check.choice("padding", padding, ("VALID", "SAME"))
        same = padding == "SAME"
        pads = [
            _same(*axis) if same else (0, 0) for axis in zip(sizes, windows, strides, strict=True)
        ]
    else:
        pads = [tuple(pair) for pair in padding]
        fits = len(pads) == len(sizes) and all(len(pair) == 2 for pair in pads)
        if not fits:
            raise ValueError(
                f"padding must hold a pair for each of the {len(sizes)} spatial axes: got {padding}"
            )
        for pair, w in zip(pads, windows, strict=True):
            if max(_check.integer("padding", p, 0) for p in pair) >= w:
                raise ValueError(f"padding must be less than the window, {w}: got {pair}")
    axes = []
    for size, w, s, (low, high) in zip(sizes, windows, strides, pads, strict=True):
        if low + size + high < w:
            raise ValueError(
                f"window must fit into the padded image: got a window of {w} for an axis of {size} "
                f"with padding ({low}, {high})"
            )
        axes.append(_Axis(len(axes) + 1, size, w, s, low, (low + size + high - w) // s + 1))
    return x, tuple(axes)


def _each(name: str, value: Any, count: int) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, Sequence) else (value,) * count
    if len(values) != count:
        raise ValueError(f"{name} must be an integer or hold {count} of them: got {value}")
    return tuple(_check.integer(name, v, 1) for v in values)


def _same(size: int, window: int, stride: int) -> tuple[int, int]:
    missing = max((-(-size // stride) - 1) * stride + window - size, 0)
    return missing // 2, missing - missing // 2


@partial(jax.jit, static_argnums=(1, 2))
def _pool(x: Array, axes: tuple[_Axis, ...], along: Callable[[_Axis, Array], Array]) -> Array:
    for axis in reversed(axes):
        x = along(axis, x)
    return x


def _entries(axis: _Axis, x: Array, fill: float, start: int, stop: int) -> list[Array]:
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


def _in_pieces(axis: _Axis, f: Callable[[int, int], Array]) -> Array:
    """Join f(start, stop) of the pieces."""
    parts = [f(*piece) for piece in axis.pieces()]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=axis.axis)


def _spread(axis: _Axis, g: Array, winner: Array | None) -> Array:
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
        dx = jnp.where(won == _along(jnp.asarray(t, winner.dtype), shape, i + 1), sends, 0)
    else:
        nothing = jnp.zeros((*g.shape[:i], Q, *g.shape[i + 1 :]), g.dtype)
        entries = [range(r, axis.window, s) for r in range(s)]
        columns = [reduce(jnp.add, [sent(t) for t in every] or [nothing]) for every in entries]
        dx = jnp.stack(columns, axis=i + 1)
    dx = dx.reshape(*g.shape[:i], Q * s, *g.shape[i + 1 :])
    return jax.lax.slice_in_dim(dx, axis.low, axis.low + axis.size, axis=i)


def _along(v: Array, shape: tuple[int, ...], axis: int) -> Array:
    """Return v, spread over shape along an axis."""
    return jax.lax.broadcast_in_dim(v, shape, (axis,))


def _gathered(axis: _Axis, dx: Array, winner: Array | None) -> Array:
    """Return the transpose of _spread at dx: JAX transposes it back, so reverse mode is _spread."""
    shape = tuple(axis.out if j == axis.axis else n for j, n in enumerate(dx.shape))
    g = jax.ShapeDtypeStruct(shape, dx.dtype)
    return jax.linear_transpose(lambda g: _spread(axis, g, winner), g)(dx)[0]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _maximum(axis: _Axis, x: Array) -> Array:
    return _in_pieces(axis, lambda *piece: reduce(jnp.maximum, _entries(axis, x, -jnp.inf, *piece)))


@_maximum.defjvp
def _(axis: _Axis, primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    y = jax.lax.optimization_barrier(_maximum(axis, x))
    dtype = jnp.int8 if axis.window <= np.iinfo(np.int8).max else jnp.int32

    def first(start: int, stop: int) -> Array:
        top = jax.lax.slice_in_dim(y, start, stop, axis=axis.axis)
        winner = jnp.zeros(top.shape, dtype)
        for t, entry in reversed(list(enumerate(_entries(axis, x, -jnp.inf, start, stop)))):
            winner = jnp.where((entry == top) | jnp.isnan(entry), jnp.asarray(t, dtype), winner)
        # Where all is -inf, padding in front would be the first.
        least = np.maximum([-axis.start(o) for o in range(start, stop)], 0)
        if least.any():
            winner = jnp.maximum(winner, _along(jnp.asarray(least, dtype), top.shape, axis.axis))
        return winner

    return y, _gathered(axis, dx, _in_pieces(axis, first))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _total(axis: _Axis, x: Array) -> Array:
    return _in_pieces(axis, lambda *piece: reduce(jnp.add, _entries(axis, x, 0.0, *piece)))


@_total.defjvp
def _(axis: _Axis, primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    return _total(axis, x), _gathered(axis, dx, None)


def _mean_with_padding(axis: _Axis, x: Array) -> Array:
    return _total(axis, x) / axis.window


def _mean_without_padding(axis: _Axis, x: Array) -> Array:
    start = np.array([axis.start(o) for o in range(axis.out)])
    count = np.minimum(start + axis.window, axis.size) - np.maximum(start, 0)
    y = _total(axis, x)
    return y / _along(jnp.asarray(count, x.dtype), y.shape, axis.axis)
