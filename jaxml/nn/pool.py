"""Pooling over windows of a signal, an image or a volume, channels last.

    max_pool   y_o = max of the window's entries      global_avg_pool   one mean per channel
    avg_pool   y_o = mean of the window's entries

Symbols: x (n, *spatial, c); along an axis of ``size`` entries, window o holds the positions
o stride - low + t, t = 0..window-1, of which those below 0 or from size on are padding.

Ties: the gradient of a maximum goes to one entry, the first winner in the order of memory (rows
before columns), as in PyTorch; ``jnp.max`` would split it. Padding never wins, not even over -inf.
NaN wins over all numbers, and the first NaN takes the gradient.

Small windows that overlap little are taken whole; others one axis after the other, the last first,
which keeps the order of ties: a window of k x k at stride 1 costs 2k comparisons instead of k^2.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._typing import Array, Float
from jaxml.nn import _windows
from jaxml.nn._tensor import statistics_dtype, tensor
from jaxml.nn._windows import Axes, Axis

__all__ = ["avg_pool", "global_avg_pool", "max_pool"]

Sizes = int | Sequence[int]  # one for all spatial axes, or one for each
Padding = str | Sequence[tuple[int, int]]


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
    return _pool(x, axes, _windows.maximum)


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


def _boundary(x: Any, window: Any, stride: Any, padding: Any) -> tuple[Array, Axes]:
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
        axes.append(Axis(len(axes) + 1, size, w, s, low, (low + size + high - w) // s + 1))
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
def _pool(x: Array, axes: Axes, over: Callable[[Axes, Array], Array]) -> Array:
    for some in _windows.passes(axes):
        x = over(some, x)
    return x


def _mean_with_padding(axes: Axes, x: Array) -> Array:
    return _windows.total(axes, x) / math.prod(axis.window for axis in axes)


def _mean_without_padding(axes: Axes, x: Array) -> Array:
    y = _windows.total(axes, x)
    for axis in axes:
        start = np.array([axis.start(o) for o in range(axis.out)])
        count = np.minimum(start + axis.window, axis.size) - np.maximum(start, 0)
        y = y / _windows.along(jnp.asarray(count, x.dtype), y.shape, axis.axis)
    return y
