"""The fused attention of cuDNN: where JAX offers it, and for which arguments.

JAX passes to cuDNN what ``jax.nn.dot_product_attention(implementation="cudnn")`` is given. It takes
16-bit floats on a GPU of compute capability 8.0 or later, with head dimensions that are multiples
of 8, up to 128, or 256 from 9.0 on. A mask goes there as an additive bias, whose gradient is then
computed too and refused for some shapes: masked attention other than causal is left to XLA.
Short sequences are too: below MINIMUM there is nothing to gain.
"""

from functools import cache

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Float

__all__ = ["attend", "is_eligible"]

MINIMUM = 64  # queries and keys


@cache
def capability() -> float:
    """Return the compute capability of the first CUDA device, 0 where there is none."""
    try:
        device = jax.devices("cuda")[0]
    except RuntimeError:  # no such platform
        return 0.0
    return float(getattr(device, "compute_capability", 0.0))


def is_eligible(q: Array, k: Array, v: Array) -> bool:
    """Whether q (n, t, h, d), k (n, s, h, d) and v (n, s, h, e) may go to cuDNN unmasked."""
    d = q.shape[-1]
    return (
        q.dtype in (jnp.float16, jnp.bfloat16)
        and k.dtype == v.dtype == q.dtype
        and min(q.shape[1], k.shape[1]) >= MINIMUM
        and v.shape[-1] == d
        and d % 8 == 0
        and capability() >= 8.0
        and d <= (256 if capability() >= 9.0 else 128)
    )


def attend(
    q: Float[Array, "n t h d"],
    k: Float[Array, "n s h d"],
    v: Float[Array, "n s h d"],
    *,
    scale: float,
    causal: bool,
) -> Float[Array, "n t h d"]:
    """Return the attention of eligible arguments; CUDA only, and reverse-mode derivatives only."""
    return jax.nn.dot_product_attention(
        q, k, v, scale=scale, is_causal=causal, implementation="cudnn"
    )
