"""Problems of convolution, its definition by loops, and its gradients."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml.nn import conv

__all__ = ["brute", "draw", "with_gradients"]


def _outer(size: int, span: int, stride: int, pads: tuple[int, int]) -> int:
    """The size of y along one axis."""
    return (size + sum(pads) - span) // stride + 1


def brute(
    kernel: Any,
    bias: Any,
    x: Any,
    stride: Any,
    pads: Any,
    dilation: Any,
    groups: int,
    g: Any = None,
) -> Any:
    """y by seven nested loops; with g = dL/dy, (dL/dkernel, dL/dbias, dL/dx) by the same loops."""
    n, h, w, _ = x.shape
    r, q, c, c_out = kernel.shape
    spans = [d * (k - 1) + 1 for k, d in zip((r, q), dilation, strict=True)]
    sizes = [_outer(*at) for at in zip((h, w), spans, stride, pads, strict=True)]
    y = np.zeros((n, *sizes, c_out)) + bias
    dW, dx = np.zeros(kernel.shape), np.zeros(x.shape)
    for b, i, j, o in np.ndindex(*y.shape):
        first = o // (c_out // groups) * c
        for p, s, k in itertools.product(range(r), range(q), range(c)):
            row = i * stride[0] + p * dilation[0] - pads[0][0]
            column = j * stride[1] + s * dilation[1] - pads[1][0]
            if not (0 <= row < h and 0 <= column < w):
                continue
            at = b, row, column, first + k
            if g is None:
                y[b, i, j, o] += kernel[p, s, k, o] * x[at]
            else:
                dW[p, s, k, o] += x[at] * g[b, i, j, o]
                dx[at] += kernel[p, s, k, o] * g[b, i, j, o]
    return y if g is None else (dW, g.sum(axis=(0, 1, 2)), dx)


def draw(
    rng: np.random.Generator,
    n: int,
    h: int,
    w: int,
    c: int,
    c_out: int,
    window: Any,
    stride: Any,
    pads: Any,
    dilation: Any,
    groups: int,
) -> tuple[conv.Params, np.ndarray, dict[str, Any]]:
    """Return (params, x, options), c the channels of one group."""
    params = conv.Params(rng.standard_normal((*window, c, c_out)), rng.standard_normal(c_out))
    options = {"stride": stride, "padding": pads, "dilation": dilation, "groups": groups}
    return params, rng.standard_normal((n, h, w, c * groups)), options


def with_gradients(params: Any, x: Any, g: Any, options: dict[str, Any]) -> tuple[jax.Array, ...]:
    """Return (y, dL/dkernel, dL/dbias, dL/dx) with g = dL/dy."""
    y, pull = jax.vjp(lambda params, x: conv.apply(params, x, **options), params, x)
    (dW, db), dx = pull(jnp.asarray(g, y.dtype))
    return y, dW, db, dx
