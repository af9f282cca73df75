"""Pooling by hand: every window visited in a loop. Letters as in jaxml.nn.pool."""

import itertools
import math
from collections.abc import Iterator

import jax.numpy as jnp

from jaxml._typing import Array, Float

__all__ = ["avg_backward", "avg_pool", "global_avg_backward", "max_backward", "max_pool", "same"]

Pairs = tuple[tuple[int, int], ...]  # padding before and behind, one pair per spatial axis
Sizes = tuple[int, ...]


def same(sizes: Sizes, window: Sizes, stride: Sizes) -> Pairs:
    """Return the padding that makes ceil(size / stride) windows, the odd entry behind."""
    # (out - 1) stride + window = size + low + high
    total = (
        max((math.ceil(n / s) - 1) * s + w - n, 0)
        for n, w, s in zip(sizes, window, stride, strict=True)
    )
    return tuple((p // 2, p - p // 2) for p in total)


def _outs(sizes: Sizes, window: Sizes, stride: Sizes, padding: Pairs) -> Sizes:
    return tuple(
        (low + n + high - w) // s + 1
        for n, w, s, (low, high) in zip(sizes, window, stride, padding, strict=True)
    )


def _windows(
    sizes: Sizes, window: Sizes, stride: Sizes, padding: Pairs
) -> Iterator[tuple[slice, ...]]:
    """Yield of every window, in order, the part that lies on the image."""
    outs = _outs(sizes, window, stride, padding)
    for corner in itertools.product(*map(range, outs)):
        start = [o * s - p for o, s, (p, _) in zip(corner, stride, padding, strict=True)]
        yield tuple(
            slice(max(a, 0), min(a + w, n)) for a, w, n in zip(start, window, sizes, strict=True)
        )


def _pooled(x: Array, values: list[Array], window: Sizes, stride: Sizes, padding: Pairs) -> Array:
    n, *sizes, c = x.shape
    outs = _outs(tuple(sizes), window, stride, padding)
    return jnp.stack(values, axis=1).reshape(n, *outs, c)


def max_pool(
    x: Float[Array, "n *spatial c"], *, window: Sizes, stride: Sizes, padding: Pairs
) -> Float[Array, "n *out c"]:
    """Return y_o = max over the entries of window o."""
    n, *sizes, c = x.shape
    values = [
        x[:, *part].reshape(n, -1, c).max(axis=1)
        for part in _windows(tuple(sizes), window, stride, padding)
    ]
    return _pooled(x, values, window, stride, padding)


def max_backward(
    x: Float[Array, "n *spatial c"],
    g: Float[Array, "n *out c"],
    *,
    window: Sizes,
    stride: Sizes,
    padding: Pairs,
) -> Float[Array, "n *spatial c"]:
    """Return the cotangent of x."""
    # y_o = x_p at the winner p of window o   =>  dy_o/dx_p = 1 there and 0 elsewhere
    # => dJ/dx_p = sum of g_o over the windows o that p wins;  of equal entries the first wins
    n, *sizes, c = x.shape
    dx, g = jnp.zeros_like(x), g.reshape(n, -1, c)
    for o, part in enumerate(_windows(tuple(sizes), window, stride, padding)):
        entries = x[:, *part]
        flat = entries.reshape(n, -1, c)
        wins = jnp.arange(flat.shape[1])[None, :, None] == flat.argmax(axis=1)[:, None, :]
        dx = dx.at[:, *part].add((wins * g[:, o : o + 1]).reshape(entries.shape).astype(x.dtype))
    return dx


def avg_pool(
    x: Float[Array, "n *spatial c"],
    *,
    window: Sizes,
    stride: Sizes,
    padding: Pairs,
    count_include_pad: bool,
) -> Float[Array, "n *out c"]:
    """Return y_o = (sum over the entries of window o) / count."""
    n, *sizes, c = x.shape
    values = []
    for part in _windows(tuple(sizes), window, stride, padding):
        flat = x[:, *part].reshape(n, -1, c)
        count = math.prod(window) if count_include_pad else flat.shape[1]
        values.append(flat.sum(axis=1) / count)
    return _pooled(x, values, window, stride, padding)


def avg_backward(
    x: Float[Array, "n *spatial c"],
    g: Float[Array, "n *out c"],
    *,
    window: Sizes,
    stride: Sizes,
    padding: Pairs,
    count_include_pad: bool,
) -> Float[Array, "n *spatial c"]:
    """Return the cotangent of x."""
    # dy_o/dx_p = 1 / count_o for p in window o   =>  dJ/dx_p = sum over windows of g_o / count_o
    n, *sizes, c = x.shape
    dx, g = jnp.zeros_like(x), g.reshape(n, -1, c)
    for o, part in enumerate(_windows(tuple(sizes), window, stride, padding)):
        inside = math.prod(s.stop - s.start for s in part)
        count = math.prod(window) if count_include_pad else inside
        share = jnp.expand_dims(g[:, o] / count, tuple(range(1, 1 + len(sizes))))
        dx = dx.at[:, *part].add(jnp.broadcast_to(share, x[:, *part].shape))
    return dx


def global_avg_backward(
    x: Float[Array, "n *spatial c"], g: Float[Array, "n c"]
) -> Float[Array, "n *spatial c"]:
    """Return the cotangent of x."""
    # y = 1/P sum_p x_p   =>  dJ/dx_p = g / P, the same at every position
    positions = math.prod(x.shape[1:-1])
    g = jnp.expand_dims(g / positions, tuple(range(1, x.ndim - 1)))
    return jnp.broadcast_to(g, x.shape)
