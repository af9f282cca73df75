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

    size: int  # entries of x
    window: int
    stride: int
    low: int  # padding in front
    out: int  # windows

    @property
    def reach(self) -> int:
        """Entries from the first of the first window to the last of the last."""
        return (self.out - 1) * self.stride + self.window


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
        axes.append(_Axis(size, w, s, low, (low + size + high - w) // s + 1))
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
    for i in reversed(range(len(axes))):
        before, behind = x.shape[: i + 1], x.shape[i + 2 :]
        flat = x.reshape(math.prod(before), axes[i].size, math.prod(behind))
        x = along(axes[i], flat).reshape(*before, axes[i].out, *behind)
    return x


def _entries(
    axis: _Axis, x: Float[Array, "a size c"], fill: float
) -> list[Float[Array, "a out c"]]:
    """Entry t of every window, for t = 0..window-1."""
    high = axis.reach - axis.low - axis.size  # negative where entries fill no window
    if axis.low or high:
        x = jax.lax.pad(x, jnp.asarray(fill, x.dtype), ((0, 0, 0), (axis.low, high, 0), (0, 0, 0)))
    last = (axis.out - 1) * axis.stride + 1
    return [jax.lax.slice_in_dim(x, t, t + last, axis.stride, axis=1) for t in range(axis.window)]


def _spread(
    axis: _Axis, g: Float[Array, "a out c"], winner: Array | None
) -> Float[Array, "a size c"]:
    """Send g_o to the winner of window o, or to all its entries.

    Position q stride + r of the padded axis is entry r + m stride of window q - m. For all r at
    once, that is one comparison for each m, and no two windows write to the same place.
    """
    a, _, c = g.shape
    s, M = axis.stride, (axis.window - 1) // axis.stride
    Q = -(-(axis.low + axis.size) // s)
    around = ((0, 0, 0), (M, Q - axis.out, 0), (0, 0, 0))
    g = jax.lax.pad(g, jnp.zeros((), g.dtype), around)
    if winner is not None:
        winner = jax.lax.pad(winner, jnp.asarray(-1, winner.dtype), around)
    spread = []
    for m in range(M + 1):
        part = jax.lax.slice_in_dim(g, M - m, M - m + Q, axis=1)
        part = jnp.broadcast_to(part[:, :, None], (a, Q, s, c))
        entry = np.arange(m * s, (m + 1) * s)
        if winner is not None:
            won = jax.lax.slice_in_dim(winner, M - m, M - m + Q, axis=1)[:, :, None]
            t = jnp.asarray(np.minimum(entry, np.iinfo(won.dtype).max), won.dtype)
            mask = jnp.broadcast_to(won, part.shape) == jnp.broadcast_to(t[:, None], part.shape)
        elif (m + 1) * s > axis.window:
            mask = jnp.broadcast_to(jnp.asarray(entry < axis.window)[:, None], part.shape)
        else:
            spread.append(part)
            continue
        spread.append(jnp.where(mask, part, 0))
    dx = reduce(jnp.add, spread).reshape(a, Q * s, c)
    return jax.lax.slice_in_dim(dx, axis.low, axis.low + axis.size, axis=1)


def _gathered(
    axis: _Axis, dx: Float[Array, "a size c"], winner: Array | None
) -> Float[Array, "a out c"]:
    """Return the transpose of _spread at dx: JAX transposes it back, so reverse mode is _spread."""
    g = jax.ShapeDtypeStruct((dx.shape[0], axis.out, dx.shape[2]), dx.dtype)
    return jax.linear_transpose(lambda g: _spread(axis, g, winner), g)(dx)[0]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _maximum(axis: _Axis, x: Float[Array, "a size c"]) -> Float[Array, "a out c"]:
    return reduce(jnp.maximum, _entries(axis, x, -jnp.inf))


@_maximum.defjvp
def _(axis: _Axis, primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    y = _maximum(axis, x)
    dtype = jnp.int8 if axis.window <= np.iinfo(np.int8).max else jnp.int32
    winner = jnp.zeros(y.shape, dtype)
    for t, entry in reversed(list(enumerate(_entries(axis, x, -jnp.inf)))):
        winner = jnp.where((entry == y) | jnp.isnan(entry), jnp.asarray(t, dtype), winner)
    # Where all is -inf, padding in front would be the first winner.
    first = np.maximum(axis.low - np.arange(axis.out) * axis.stride, 0)
    if axis.low:
        least = jnp.asarray(first, dtype)[None, :, None]
        winner = jnp.maximum(winner, jnp.broadcast_to(least, winner.shape))
    return y, _gathered(axis, dx, winner)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _total(axis: _Axis, x: Float[Array, "a size c"]) -> Float[Array, "a out c"]:
    return reduce(jnp.add, _entries(axis, x, 0.0))


@_total.defjvp
def _(axis: _Axis, primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    return _total(axis, x), _gathered(axis, dx, None)


def _mean_with_padding(axis: _Axis, x: Array) -> Array:
    return _total(axis, x) / axis.window


def _mean_without_padding(axis: _Axis, x: Array) -> Array:
    start = np.arange(axis.out) * axis.stride - axis.low
    count = np.minimum(start + axis.window, axis.size) - np.maximum(start, 0)
    y = _total(axis, x)
    return y / jnp.broadcast_to(jnp.asarray(count, x.dtype)[None, :, None], y.shape)
