"""Tokens to rows: a lookup among embeddings, with a gradient that adds in a fixed order."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._typing import Array, Float, Int

__all__ = ["embed", "tokens"]


def tokens(name: str, value: Any, vocabulary: int) -> Int[Array, "... t"]:
    """Return tokens as int32; a concrete one must lie in the vocabulary, a traced one becomes -1.

    Raises:
      TypeError: Not integers.
      ValueError: No axis, or a concrete token out of range.
    """
    if not isinstance(value, jax.Array):
        value = np.asarray(value)
    if not jnp.issubdtype(value.dtype, jnp.integer):
        raise TypeError(f"{name} must be integers: got dtype {value.dtype}")
    if value.ndim < 1:
        raise ValueError(f"{name} must have shape (..., t): got {value.shape}")
    if not _check.is_concrete(value):
        return jnp.where((value < 0) | (value >= vocabulary), -1, value).astype(jnp.int32)
    host = np.asarray(value)
    outside = (host < 0) | (host >= vocabulary)
    if outside.any():
        raise ValueError(f"{name} must lie in 0..{vocabulary - 1}: got {host[outside][0]}")
    return jnp.asarray(value, jnp.int32)


def embed(E: Float[Array, "vocabulary d"], tokens: Int[Array, "..."]) -> Float[Array, "... d"]:
    """Return E[token], NaN for token -1."""
    rows = jax.lax.platform_dependent(E, tokens, cpu=_lookup, default=_product)
    return jnp.where((tokens < 0)[..., None], jnp.nan, rows)


def _lookup(E: Array, tokens: Array) -> Array:
    return E[tokens]


def _product(E: Array, tokens: Array) -> Array:
    # The gradient of a lookup adds by atomics on an accelerator, in an order that varies.
    one = jax.nn.one_hot(tokens, E.shape[0], dtype=E.dtype)
    return jnp.matmul(one, E, precision=jax.lax.Precision.HIGHEST)
