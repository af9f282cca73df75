"""Scaled dot-product attention, and the layer that runs several heads of it on one sequence.

    z_ij = scale q_i'k_j,   p_i = softmax(z_i) over the keys left in,   o_i = sum_j p_ij v_j

Symbols: t queries, s keys and values, h heads, d features of a head, all arrays (..., t, h, d) as
in jax.nn. A query with no key left in gets o = 0 and passes no gradient (jax.nn returns the mean of
all values there). Causal: query i attends to keys 0..i, counted from the first of each.

With unit-variance, independent entries Var(q'k) = d, so scale = d^(-1/2) keeps z at variance 1 and
the softmax out of saturation.

How it is computed. Softmax in float32 at least. On a CPU in blocks of scores that stay in cache, on
an accelerator in blocks of a gigabyte; derivatives recompute the scores, so memory is linear in t
and s. On CUDA, 16-bit floats without a mask go to cuDNN where it takes them (``_cudnn``): that path
has reverse-mode derivatives only, and draws no line at NaN.

Reference: Vaswani et al. (2017), Attention is all you need, eq. (1) and section 3.2.
"""

import numbers
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._typing import Array, Bool, Float, Key, Real
from jaxml.nn import _attend, _cudnn, initializers
from jaxml.nn._tensor import along_last, statistics_dtype, tensor

__all__ = ["Params", "apply", "heads", "init", "merge", "scaled_dot_product"]

Heads = Float[Array, "... t h d"]
Mask = Bool[Array, "... h t s"] | None


class Params(NamedTuple):
    """Self-attention of h heads over d_model = h d features."""

    kernel: Float[Array, "d_model 3 h d"]  # x to queries, keys, values
    bias: Float[Array, "3 h d"]
    output_kernel: Float[Array, "h d d_model"]  # heads back to features
    output_bias: Float[Array, " d_model"]


def scaled_dot_product(
    q: Heads,
    k: Heads,
    v: Heads,
    *,
    mask: Mask = None,
    scale: Real | None = None,
    causal: bool = False,
) -> Heads:
    """Return o (..., t, h, e), in the dtype of q.

    Args:
      q: Queries (..., t, h, d).
      k: Keys (..., s, h, d); leading axes and heads like those of q.
      v: Values (..., s, h, e).
      mask: True where a query may attend to a key, broadcast to (..., h, t, s); None is everywhere.
        Queries and keys that it leaves out altogether may hold anything, NaN included.
      scale: Traced; None is d^(-1/2).
      causal: Static; whether query i attends to keys 0..i only (and the mask, if there is one).

    Raises:
      ValueError: Shapes do not fit; the message prints both.
      TypeError: The mask is not boolean.

    Example:
      >>> q, k, v = jnp.zeros((1, 1, 2)), jnp.zeros((3, 1, 2)), jnp.arange(3.0).reshape(3, 1, 1)
      >>> scaled_dot_product(q, k, v).tolist()  # equal scores: the mean of 0, 1, 2
      [[[1.0]]]
      >>> scaled_dot_product(q, k, v, mask=jnp.array([True, True, False])).tolist()
      [[[0.5]]]
    """
    q = tensor("q", q, "...", "t", "h", "d")
    *lead, t, h, d = q.shape
    k = tensor("k", k, *lead, "s", h, d, dtype=q.dtype)
    s = k.shape[-3]
    v = tensor("v", v, *lead, s, h, "e", dtype=q.dtype)
    if mask is not None:
        mask = _attend.as_mask(mask, (*lead, h, t, s))
    c: Any = scale
    if c is None:
        c = d**-0.5 if d else 1.0
    if t * s * h * v.shape[-1] * int(np.prod(lead)) == 0:
        return jnp.zeros((*lead, t, h, v.shape[-1]), q.dtype)
    flat = [a.reshape(-1, *a.shape[-3:]) for a in (q, k, v)]
    if isinstance(c, numbers.Real) and mask is None and _cudnn.is_eligible(*flat):
        o = _fused(*flat, scale=float(c), causal=bool(causal))
    else:
        c = jnp.asarray(c, statistics_dtype(q.dtype))
        o = _blocked(*flat, mask, c, causal=bool(causal))
    return o.reshape(*lead, t, h, v.shape[-1])


@partial(jax.jit, static_argnames="causal")
def _blocked(
    q: Array, k: Array, v: Array, mask: Array | None, scale: Array, *, causal: bool
) -> Array:
    if mask is not None:
        # 0 * NaN is NaN, so what takes no part is set to 0.
        q = jnp.where(_takes_part(mask, 3), q, 0)
        k, v = (jnp.where(_takes_part(mask, 2), a, 0) for a in (k, v))
    h, kind, wide = q.shape[2], q.dtype, scale.dtype

    def by_head(a: Array) -> Array:
        return jnp.swapaxes(a.astype(wide), 1, 2).reshape(-1, a.shape[1], a.shape[3])

    o = _attend.attend(by_head(q) * scale, by_head(k), by_head(v), mask, causal=causal, heads=h)
    return jnp.swapaxes(o.reshape(-1, h, *o.shape[1:]), 1, 2).astype(kind)


def _takes_part(mask: Array, axis: int) -> Array:
    """Whether any query (axis 2) or key (axis 3) goes with it, shaped (b, t or s, h, 1)."""
    return jnp.swapaxes(jnp.any(mask, axis=axis), 1, 2)[..., None]


@partial(jax.jit, static_argnames=("scale", "causal"))
def _fused(q: Array, k: Array, v: Array, *, scale: float, causal: bool) -> Array:
    return jax.lax.platform_dependent(
        q, k, v,
        cuda=partial(_cudnn.attend, scale=scale, causal=causal),
        default=lambda q, k, v: _blocked(q, k, v, None, jnp.float32(scale), causal=causal),
    )  # fmt: skip


def init(*, key: Key, d_model: int, n_heads: int, dtype: Any = jnp.float32) -> Params:
    """Draw the four kernels by Xavier's rule (uniform) and set the biases to 0.

    Args:
      key: A JAX random key.
      d_model: Features, static.
      n_heads: Heads, static; divides d_model.
      dtype: Of the parameters.

    Raises:
      ValueError: n_heads does not divide d_model.

    Example:
      >>> init(key=jax.random.key(0), d_model=6, n_heads=2).kernel.shape
      (6, 3, 2, 3)
    """
    d_model = _check.integer("d_model", d_model, 1)
    h = _check.integer("n_heads", n_heads, 1)
    if d_model % h:
        raise ValueError(f"n_heads must divide d_model: got {d_model} features and {h} heads")
    d = d_model // h
    drawn = [
        initializers.xavier_uniform((d_model, d_model), key=one, dtype=dtype)
        for one in jax.random.split(key, 4)
    ]
    kernel = jnp.stack([w.reshape(d_model, h, d) for w in drawn[:3]], axis=1)
    return Params(
        kernel,
        jnp.zeros((3, h, d), kernel.dtype),
        drawn[3].reshape(h, d, d_model),
        jnp.zeros(d_model, kernel.dtype),
    )


def apply(
    params: Params, x: Float[Array, "... t d_model"], *, mask: Mask = None, causal: bool = False
) -> Float[Array, "... t d_model"]:
    """Return the self-attention of x: its heads, scaled_dot_product of them, merged.

    Args:
      params: Kernels and biases.
      x: Sequences of t rows; t may be 0.
      mask: True where a row may attend to a row, broadcast to (..., h, t, t).
      causal: Static; whether row i attends to rows 0..i only.

    Raises:
      ValueError: The last axis of x is not d_model, or the mask does not fit.

    Example:
      >>> params = init(key=jax.random.key(0), d_model=4, n_heads=2)
      >>> apply(params, jnp.ones((3, 4)), causal=True).shape
      (3, 4)
    """
    q, k, v = heads(params, x)
    return merge(params, scaled_dot_product(q, k, v, mask=mask, causal=causal))


def heads(params: Params, x: Float[Array, "... t d_model"]) -> tuple[Heads, Heads, Heads]:
    """Return queries, keys and values (..., t, h, d) of x, in one product, in the dtype of x."""
    return _heads(params, tensor("x", x, "...", "t", jnp.shape(params.kernel)[0]))


@jax.jit
def _heads(params: Params, x: Array) -> tuple[Array, Array, Array]:
    d_model, *shape = params.kernel.shape
    y = jnp.matmul(x, params.kernel.reshape(d_model, -1).astype(x.dtype))
    y = (y + along_last(params.bias.reshape(-1), y)).reshape(*x.shape[:-1], *shape)
    return y[..., 0, :, :], y[..., 1, :, :], y[..., 2, :, :]


def merge(params: Params, o: Heads) -> Float[Array, "... t d_model"]:
    """Return the heads of attention (..., t, h, d), side by side, times the output kernel."""
    return _merge(params, tensor("o", o, "...", "t", *jnp.shape(params.output_kernel)[:2]))


@jax.jit
def _merge(params: Params, o: Array) -> Array:
    h, d, d_model = params.output_kernel.shape
    kernel = params.output_kernel.reshape(h * d, d_model).astype(o.dtype)
    y = jnp.matmul(o.reshape(*o.shape[:-2], h * d), kernel)
    return y + along_last(params.output_bias, y)
