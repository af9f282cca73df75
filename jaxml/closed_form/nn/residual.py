"""A residual block by hand, in training. Letters as in jaxml.nn.residual._block; r = relu.

    post   h_1 = x,  c_k = C_k h_k,  z_k = N_k c_k,  h_(k+1) = r(z_k);   H = z_m + skip,  y = r(H)
    pre    h_1 = x,  z_k = N_k h_k,  a_k = r(z_k),   h_(k+1) = C_k a_k;  y = h_(m+1) + skip

Both kinds of block, basic (m = 2) and bottleneck (m = 3), are this with other windows.
"""

from functools import partial
from typing import Any

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Float

__all__ = ["apply", "backward", "least_margin"]

einsum = partial(jnp.einsum, precision=Precision.HIGHEST)
Images = Float[Array, "n h w c"]
Params = tuple[Any, Any, Any]  # ((W, None), ...), ((scale, bias), ...), None or ((W, None), norm)


def _offsets(X: Array, W: Array, s: int) -> list[tuple[int, int, tuple[slice, slice, slice]]]:
    """Each offset (p, q) of the window, and the pixels s i + p, s j + q of X that it meets."""
    I, J = ((size - span) // s + 1 for size, span in zip(X.shape[1:3], W.shape[:2], strict=True))
    return [
        (p, q, (slice(None), slice(p, p + s * (I - 1) + 1, s), slice(q, q + s * (J - 1) + 1, s)))
        for p in range(W.shape[0])
        for q in range(W.shape[1])
    ]


def _framed(h: Images, W: Array) -> Images:
    """With a frame of zeros as wide as half the window."""
    around = (W.shape[0] // 2, W.shape[0] // 2)
    return jnp.pad(h, ((0, 0), around, around, (0, 0)))


def _conv(h: Images, W: Array, s: int) -> Images:
    # c[n, i, j, o] = sum_pqc W[p, q, c, o] X[n, s i + p, s j + q, c]
    X = _framed(h, W)
    parts = [einsum("nijc,co->nijo", X[at], W[p, q]) for p, q, at in _offsets(X, W, s)]
    return sum(parts[1:], parts[0])


def _conv_backward(h: Images, W: Array, s: int, g: Images) -> tuple[Array, Images]:
    # dL/dW[p, q, c, o] = sum_nij X[n, s i + p, s j + q, c] g[n, i, j, o]
    # dL/dX[n, s i + p, s j + q, c] += sum_o W[p, q, c, o] g[n, i, j, o]; the frame is cut off
    X = _framed(h, W)
    dW, dX = jnp.zeros_like(W), jnp.zeros_like(X)
    for p, q, at in _offsets(X, W, s):
        dW = dW.at[p, q].set(einsum("nijc,nijo->co", X[at], g))
        dX = dX.at[at].add(einsum("nijo,co->nijc", g, W[p, q]))
    cut = W.shape[0] // 2
    return dW, dX[:, cut : cut + h.shape[1], cut : cut + h.shape[2]]


def _standard(h: Images, eps: float) -> tuple[Images, Array]:
    """(xhat, sigma): xhat = (h - mu) / sigma by channel, sigma^2 = mean (h - mu)^2 + eps."""
    centered = h - h.mean(axis=(0, 1, 2))[None, None, None, :]
    sigma = jnp.sqrt((centered**2).mean(axis=(0, 1, 2)) + eps)
    return centered / sigma[None, None, None, :], sigma


def _norm(h: Images, norm: tuple[Array, Array], eps: float) -> Images:
    # z = scale xhat + bias
    scale, bias = norm
    return scale[None, None, None, :] * _standard(h, eps)[0] + bias[None, None, None, :]


def _norm_backward(
    h: Images, norm: tuple[Array, Array], eps: float, g: Images
) -> tuple[tuple[Array, Array], Images]:
    # dL/dscale = sum g xhat,  dL/dbias = sum g
    # u := dL/dxhat = scale g. A move dh changes mu by mean dh and sigma by mean(xhat dh), so
    # dxhat = (dh - mean dh - xhat mean(xhat dh)) / sigma, and the map is symmetric:
    # => dL/dh = (u - mean u - xhat mean(xhat u)) / sigma      (Ioffe, Szegedy 2015, section 3)
    xhat, sigma = _standard(h, eps)
    u = norm[0][None, None, None, :] * g
    mean, slope = u.mean(axis=(0, 1, 2)), (xhat * u).mean(axis=(0, 1, 2))
    rest = u - mean[None, None, None, :] - xhat * slope[None, None, None, :]
    grads = ((g * xhat).sum(axis=(0, 1, 2)), g.sum(axis=(0, 1, 2)))
    return grads, rest / sigma[None, None, None, :]


def _relu(z: Array) -> Array:
    return jnp.where(z > 0, z, 0.0)


def _forward(
    params: Params, x: Images, strides: tuple[int, ...], preactivation: bool, eps: float
) -> tuple[Images, list[tuple[Array, ...]], Array]:
    """(H, for each k what the backward pass needs, the skip's convolution or the identity)."""
    convs, norms, projection = params
    h, tape = x, []
    for k, ((W, _), norm, s) in enumerate(zip(convs, norms, strides, strict=True)):
        if preactivation:
            z = _norm(h, norm, eps)
            tape.append((h, z))
            h = _conv(_relu(z), W, s)
        else:
            c = _conv(h, W, s)
            z = _norm(c, norm, eps)
            tape.append((h, c, z))
            h = _relu(z) if k < len(convs) - 1 else z
    if projection is None:
        return h + x, tape, x
    (W, _), norm = projection
    skip = _conv(_relu(tape[0][1]) if preactivation else x, W, max(strides))
    return h + (skip if preactivation else _norm(skip, norm, eps)), tape, skip


def apply(
    params: Params, x: Images, *, strides: tuple[int, ...] = (1, 1), preactivation: bool = False,
    eps: float = 1e-5,
) -> Images:  # fmt: skip
    """Return y."""
    H, _, _ = _forward(params, x, strides, preactivation, eps)
    return H if preactivation else _relu(H)


def backward(
    params: Params, x: Images, g: Images, *, strides: tuple[int, ...] = (1, 1),
    preactivation: bool = False, eps: float = 1e-5, skip: bool = True,
) -> tuple[Params, Images]:  # fmt: skip
    """Return (dL/dparams, dL/dx) from g = dL/dy; without the path through the skip if told so.

    Reference: He, Zhang, Ren, Sun (2016), Identity mappings in deep residual networks, eq. (5).
    """
    convs, norms, projection = params
    H, tape, skipped = _forward(params, x, strides, preactivation, eps)
    # y = r(H): dL/dH = g [H > 0];  before activation y = H
    dH = g if preactivation else g * (H > 0)
    # H = F(x) + skip(x): both get dL/dH. For the identity that is all: dL/dx = dL/dH (dF/dx + I)
    to_skip, of_projection = dH if skip else 0.0 * dH, None
    if projection is not None:
        (W, _), norm = projection
        of_norm = None
        if norm is not None:
            of_norm, to_skip = _norm_backward(skipped, norm, eps, to_skip)
        seen = _relu(tape[0][1]) if preactivation else x
        dW, to_skip = _conv_backward(seen, W, max(strides), to_skip)
        of_projection = ((dW, None), of_norm)
    d_convs, d_norms, d = [], [], dH
    for k in reversed(range(len(convs))):
        W, norm, s = convs[k][0], norms[k], strides[k]
        if preactivation:
            # h_(k+1) = C_k a_k, a_k = r(z_k), z_k = N_k h_k; a_1 also feeds a projection
            h, z = tape[k]
            dW, d = _conv_backward(_relu(z), W, s, d)
            d = d + to_skip if k == 0 and projection is not None else d
            of_norm, d = _norm_backward(h, norm, eps, d * (z > 0))
        else:
            # z_k = N_k c_k, c_k = C_k h_k, h_k = r(z_(k-1)); the last z goes into H as it is
            h, c, z = tape[k]
            d = d if k == len(convs) - 1 else d * (z > 0)
            of_norm, d = _norm_backward(c, norm, eps, d)
            dW, d = _conv_backward(h, W, s, d)
        d_convs.insert(0, (dW, None))
        d_norms.insert(0, of_norm)
    dx = d if preactivation and projection is not None else d + to_skip
    return (tuple(d_convs), tuple(d_norms), of_projection), dx


def least_margin(
    params: Params, x: Images, *, strides: tuple[int, ...] = (1, 1), preactivation: bool = False,
    eps: float = 1e-5,
) -> Array:  # fmt: skip
    """Return the least |z| at which a ReLU is evaluated: how far the block is from a kink."""
    H, tape, _ = _forward(params, x, strides, preactivation, eps)
    met = [at[-1] for at in tape] if preactivation else [*(at[-1] for at in tape[:-1]), H]
    return jnp.min(jnp.array([jnp.min(jnp.abs(z)) for z in met]))
