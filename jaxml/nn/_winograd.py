"""Convolution by a 3x3 window, stride 1, with 16 products for every 4 results instead of 36.

    Y = A'[(G W G') . (B'D B)] A      for each tile: D 4x4 pixels, Y 2x2 results, W 3x3

where . multiplies entries and, over channels, is a product of matrices: the 16 entries of all
tiles are 16 matrix products. B, G and A hold 0, 1, -1 and 1/2, so that little is rounded: the
relative error of Y in float32 is about 3e-7 at 64 channels, no more than that of a sum in order.
What is lost is locality: a NaN or inf among the 16 pixels of a tile spoils all 4 of its results,
and a result small beside the others of its tile has their error.

Reference: Lavin, Gray (2016), Fast algorithms for convolutional neural networks, eq. (5) to (8).
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Float

__all__ = ["convolved"]

Images = Float[Array, "n h w c"]
Pads = tuple[tuple[int, int], tuple[int, int]]
ENTRY = (
    3 * 2**16
)  # bytes of one of the 16 entries of all tiles of a block: what a CPU's cache keeps


def convolved(x: Images, W: Float[Array, "3 3 c o"], pads: Pads) -> Images:
    """Return the convolution of x, with pads of zeros around it, by W."""
    n = x.shape[0]
    rows, columns = (size + sum(ends) - 2 for size, ends in zip(x.shape[1:3], pads, strict=True))
    tiles = -(-rows // 2) * -(-columns // 2)
    images = max(1, round(ENTRY / (tiles * x.shape[-1] * x.dtype.itemsize)))  # at a time
    steps = -(-n // images)
    images = -(-n // steps)
    # Zeros fill up the last row and column of tiles, and the last block of images.
    (above, below), (left, right) = pads
    below, right = below + rows % 2, right + columns % 2
    X = jnp.pad(x, ((0, steps * images - n), (above, below), (left, right), (0, 0)))
    U = _transformed_kernel(W)
    if steps == 1:
        return _tiles(U, X)[:n, :rows, :columns]
    # Derivatives go through the entries of a block anew: kept, they would be four times x.
    step = jax.checkpoint(partial(_tiles, U))
    Y = jax.lax.map(step, X.reshape(steps, images, *X.shape[1:]))
    return Y.reshape(steps * images, *Y.shape[2:])[:n, :rows, :columns]


def _transformed_kernel(W: Array) -> list[list[Array]]:
    """G W G', each of its entries a matrix (c, o)."""
    G = jnp.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]], W.dtype) / 2
    U = jnp.einsum("ip,kq,pqco->ikco", G, G, W, precision=jax.lax.Precision.HIGHEST)
    # split, whose transpose is one concatenation; that of indexing is a sum of 16 arrays
    U = jax.lax.split(U.reshape(16, *W.shape[2:]), (1,) * 16)
    return [[u[0] for u in U[4 * i : 4 * i + 4]] for i in range(4)]


def _tiles(U: list[list[Array]], X: Images) -> Images:
    """All tiles of images whose sizes are even, two pixels of each side seen by the window."""
    n, rows, columns, c = X.shape
    # Rows 2 t + j of tile t, for j = 0 .. 3, are rows j % 2 of the pairs t + j // 2.
    pairs = X.reshape(n, rows // 2, 2, columns, c)
    above = _by_B([pairs[:, a : rows // 2 - 1 + a, b] for a, b in AT])
    V: list[list[Array]] = []
    for row in above:
        pairs = row.reshape(n, rows // 2 - 1, columns // 2, 2, c)
        V.append(_by_B([pairs[:, :, a : columns // 2 - 1 + a, b] for a, b in AT]))
    M = [[_product(v, u) for v, u in zip(*pair, strict=True)] for pair in zip(V, U, strict=True)]
    # A' = [1 1 1 0; 0 1 -1 -1] from both sides, and the results of a tile put in their places
    Z = zip(*(_by_A([row[k] for row in M]) for k in range(4)), strict=True)
    Y = jnp.stack([jnp.stack(_by_A(list(row)), axis=3) for row in Z], axis=2)
    return Y.reshape(n, rows - 2, columns - 2, -1)


AT = ((0, 0), (0, 1), (1, 0), (1, 1))  # j // 2 and j % 2


def _by_B(d: list[Array]) -> list[Array]:
    """B'd, with B' = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1]."""
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _by_A(m: list[Array]) -> list[Array]:
    """A'm."""
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _product(v: Array, u: Array) -> Array:
    """One entry of all tiles by one of the kernel: a matrix of pixels by one of channels."""
    return jnp.matmul(v.reshape(-1, v.shape[-1]), u).reshape(*v.shape[:-1], -1)
