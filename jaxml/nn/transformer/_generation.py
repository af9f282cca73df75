"""Tokens drawn one after another, from a stack of causal blocks that keep keys and values.

Row i of a causal block sees rows 0..i, which later tokens leave as they are: with their keys and
values kept, a token costs one row of work instead of t.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Float, Int, Key, Scalar
from jaxml.nn import attention
from jaxml.nn.transformer import block

__all__ = ["extend"]

Cache = list[tuple[Array, Array]]  # keys and values (..., total, h, d) of every block


def extend(
    blocks: Sequence[block.Params],
    embed: Callable[[Array, Any], Float[Array, "... t d_model"]],
    logits: Callable[[Array], Float[Array, "... t vocabulary"]],
    prompt: Int[Array, "... t"],
    *,
    key: Key,
    length: int,
    temperature: Scalar,
) -> Int[Array, "... total"]:
    """Return the prompt and length >= 1 tokens after it; total = t + length.

    Args:
      blocks: Parameters, pre-norm.
      embed: (tokens, position of the first) -> rows.
      logits: Rows -> scores of the next token.
      prompt: At least one token.
      key: Token i is drawn with this key and i.
      length: Static.
      temperature: >= 0.
    """
    t = prompt.shape[-1]
    total = t + length

    def draw(x: Array, i: Any) -> Array:
        """The token at position i, (..., 1), from row i - 1."""
        # The largest of z / T + Gumbel noise is drawn from softmax(z / T); times T, T may be 0.
        z = logits(x)
        noise = jax.random.gumbel(jax.random.fold_in(key, i), z.shape, temperature.dtype)
        return jnp.argmax(z + temperature * noise, axis=-1).astype(prompt.dtype)

    def step(i: Any, state: tuple[Array, Cache]) -> tuple[Array, Cache]:
        tokens, cache = state
        token = jax.lax.dynamic_slice_in_dim(tokens, i, 1, axis=-1)
        x, cache = _row(blocks, embed(token, i), cache, i)
        return jax.lax.dynamic_update_slice_in_dim(tokens, draw(x, i + 1), i + 1, axis=-1), cache

    x, cache = _rows(blocks, embed(prompt, 0), total)
    rest = jnp.zeros((*prompt.shape[:-1], length - 1), prompt.dtype)
    tokens = jnp.concatenate([prompt, draw(x[..., -1:, :], t), rest], axis=-1)
    return jax.lax.fori_loop(t, total - 1, step, (tokens, cache))[0]


def _rows(blocks: Sequence[block.Params], x: Array, total: int) -> tuple[Array, Cache]:
    """All rows of the prompt through the blocks, and a cache with room for the others."""
    cache: Cache = []

    def attend(q: Array, k: Array, v: Array) -> Array:
        room = [(0, 0)] * (k.ndim - 3) + [(0, total - k.shape[-3]), (0, 0), (0, 0)]
        cache.append((jnp.pad(k, room), jnp.pad(v, room)))
        return attention.scaled_dot_product(q, k, v, causal=True)

    for params in blocks:
        x = block.residual(params, x, attend)
    return x, cache


def _row(blocks: Sequence[block.Params], x: Array, cache: Cache, i: Any) -> tuple[Array, Cache]:
    """Row i through the blocks, which see rows 0..i, and the cache with row i added."""
    added: Cache = []

    def attend(q: Array, k: Array, v: Array) -> Array:
        keys, values = (
            jax.lax.dynamic_update_slice_in_dim(kept, new, i, axis=-3)
            for kept, new in zip(cache[len(added)], (k, v), strict=True)
        )
        added.append((keys, values))
        past = jnp.arange(keys.shape[-3]) <= i
        return attention.scaled_dot_product(q, keys, values, mask=past)

    for params in blocks:
        x = block.residual(params, x, attend)
    return x, added
