"""Convolution by hand, from its definition. Letters as in jaxml.nn.conv; X is x with its zeros.

y[n, i, j, o] = b[o] + sum_pqc W[p, q, c, o] X[n, s i + d p, t j + e q, c_o + c]
"""

from functools import partial

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Float

__all__ = ["apply", "backward", "pointwise"]

einsum = partial(jnp.einsum, precision=Precision.HIGHEST)
Pair = tuple[int, int]
Pads = tuple[Pair, Pair]
Params = tuple[Array, Array]  # (W, b)


def _zeros_around(x: Array, W: Array, stride: Pair, padding: str | Pads, dilation: Pair) -> Pads:
    if not isinstance(padding, str):
        return padding
    if padding == "VALID":
        return (0, 0), (0, 0)
    # The last of ceil(h / s) windows begins at s (ceil(h / s) - 1) and spans d (r - 1) + 1 pixels:
    # what of it lies outside is filled, half before the image, the larger half after it.
    ends = []
    for h, r, s, d in zip(x.shape[1:3], W.shape[:2], stride, dilation, strict=True):
        count = (h + s - 1) // s
        outside = max(s * (count - 1) + d * (r - 1) + 1 - h, 0)
        ends.append((outside // 2, (outside + 1) // 2))
    return ends[0], ends[1]


def _seen(p: int, count: int, stride: int, dilation: int) -> slice:
    """The rows s i + d p for i = 0 .. count - 1."""
    return slice(dilation * p, dilation * p + stride * (count - 1) + 1, stride)


def _windows(X: Array, W: Array, stride: Pair, dilation: Pair) -> list[tuple[int, int, tuple]]:
    """Every offset (p, q) of the window, and the pixels of X that it meets as i and j run."""
    span = [d * (r - 1) + 1 for r, d in zip(W.shape[:2], dilation, strict=True)]
    (s, t), (d, e) = stride, dilation
    # i = 0 .. I - 1 as long as s i + span <= rows of X
    I, J = (
        (size - reach) // s + 1 for size, reach, s in zip(X.shape[1:3], span, stride, strict=True)
    )
    return [
        (p, q, (slice(None), _seen(p, I, s, d), _seen(q, J, t, e)))
        for p in range(W.shape[0])
        for q in range(W.shape[1])
    ]  # fmt: skip


def _split(x: Array, groups: int) -> Array:
    """(..., c) -> (..., g, c / g): channels by group."""
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def apply(
    params: Params,
    x: Float[Array, "n h w c"],
    *,
    stride: Pair = (1, 1),
    padding: str | Pads = "SAME",
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Float[Array, "n i j o"]:
    """Return y, one offset of the window after the other."""
    W, b = params
    X = jnp.pad(x, ((0, 0), *_zeros_around(x, W, stride, padding, dilation), (0, 0)))
    parts = [
        einsum("nijgc,cgo->nijgo", _split(X[at], groups), _split(W[p, q], groups))
        for p, q, at in _windows(X, W, stride, dilation)
    ]
    y = sum(parts[1:], parts[0])
    return y.reshape(*y.shape[:3], -1) + b[None, None, None, :]


def backward(
    params: Params,
    x: Float[Array, "n h w c"],
    g: Float[Array, "n i j o"],
    *,
    stride: Pair = (1, 1),
    padding: str | Pads = "SAME",
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> tuple[Params, Array]:
    """Return (dL/d(W, b), dL/dx) from g = dL/dy.

    Reference: Dumoulin, Visin (2016), A guide to convolution arithmetic, section 4, for the shapes;
    the sums are the chain rule.
    """
    W, _ = params
    ends = _zeros_around(x, W, stride, padding, dilation)
    X = jnp.pad(x, ((0, 0), *ends, (0, 0)))
    G = _split(g, groups)
    # dL/db[o] = sum_nij g[n, i, j, o] dy/db = sum_nij g[n, i, j, o]
    db = g.sum(axis=(0, 1, 2))
    dW, dX = jnp.zeros_like(W), jnp.zeros_like(X)
    for p, q, at in _windows(X, W, stride, dilation):
        # dy[n, i, j, o]/dW[p, q, c, o] = X[n, s i + d p, t j + e q, c_o + c] for each n, i, j
        # => dL/dW[p, q, c, o] = sum_nij X[n, s i + d p, t j + e q, c_o + c] g[n, i, j, o]
        product = einsum("nijgc,nijgo->cgo", _split(X[at], groups), G)
        dW = dW.at[p, q].set(product.reshape(W.shape[2:]))
        # X[n, a, b, c_o + c] is met by y[n, i, j, o] at the offset p, q with a = s i + d p and
        # b = t j + e q, with weight W[p, q, c, o]
        # => dL/dX[n, s i + d p, t j + e q, c_o + c] += sum_o W[p, q, c, o] g[n, i, j, o]
        product = einsum("nijgo,cgo->nijgc", G, _split(W[p, q], groups))
        dX = dX.at[at].add(product.reshape(*g.shape[:3], -1))
    # x sits inside X; zeros around it have no one to give a gradient to
    (above, _), (left, _) = ends
    return (dW, db), dX[:, above : above + x.shape[1], left : left + x.shape[2]]


def pointwise(params: Params, x: Float[Array, "n h w c"]) -> Float[Array, "n h w o"]:
    """Return y for a window of one pixel: y[n, i, j] = W'x[n, i, j] + b, channels by a matrix."""
    # the sum over p, q has one term: y[n, i, j, o] = b[o] + sum_c W[c, o] x[n, i, j, c]
    W, b = params
    pixels = x.reshape(-1, x.shape[3])
    y = jnp.matmul(pixels, W[0, 0], precision=Precision.HIGHEST) + b[None, :]
    return y.reshape(*x.shape[:3], -1)
