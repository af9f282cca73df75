"""A decoder language model: it reads tokens and scores the next one, at every position.

    x_i = d_model^(1/2) E[token_i] + PE(i)
    x   = block_L( ... block_1(x)), pre-norm and causal
    logits = LN(x) W + b                                (..., t, vocabulary)

Not tied: W and b are parameters of their own, so that the first logits have variance of about 1
whatever E is; E is drawn with variance 1/d_model, which d_model^(1/2) brings to 1, beside the 1/2
of PE.

    loss = - mean over i of log softmax(logits_i)[token_(i+1)], in nats

Reference: Vaswani et al. (2017), Attention is all you need, section 3.4.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._typing import Array, Float, Int, Key, Real, Scalar
from jaxml.nn import dense, initializers
from jaxml.nn.activations import logsumexp
from jaxml.nn.norm import layer_norm
from jaxml.nn.positional import sinusoidal
from jaxml.nn.transformer import _embedding, _generation, block

__all__ = ["Params", "apply", "generate", "init", "loss"]

Tokens = Int[Array, "... t"]


class Params(NamedTuple):
    """A decoder of L blocks."""

    embedding: Float[Array, "vocabulary d_model"]  # E
    blocks: tuple[block.Params, ...]  # L of them
    norm: layer_norm.Params  # LN, after the last block
    output: dense.Params  # W (d_model, vocabulary), b


def init(
    *,
    key: Key,
    vocabulary: int,
    d_model: int,
    n_heads: int,
    n_layers: int,
    d_hidden: int,
    dtype: Any = jnp.float32,
) -> Params:
    """Draw E from N(0, 1/d_model), and the blocks as ``block.init`` does.

    Args:
      key: A JAX random key.
      vocabulary: Number of tokens, static.
      d_model: Features, static, even, a multiple of n_heads.
      n_heads: Heads of each block, static.
      n_layers: L, static, >= 0.
      d_hidden: Features inside the perceptrons, static.
      dtype: Of the parameters, and so of all that is computed from tokens.

    Raises:
      ValueError: n_heads does not divide d_model, or d_model is odd.
    """
    vocabulary = _check.integer("vocabulary", vocabulary, 1)
    d_model = _check.integer("d_model", d_model, 1)
    if d_model % 2:
        raise ValueError(f"d_model must be even, for the encoding of positions: got {d_model}")
    first, last, *rest = jax.random.split(key, 2 + _check.integer("n_layers", n_layers, 0))
    # He's rule on (d_model, vocabulary) has variance 2 / d_model.
    drawn = initializers.he_normal((d_model, vocabulary), key=first, dtype=dtype)
    blocks = tuple(
        block.init(key=one, d_model=d_model, n_heads=n_heads, d_hidden=d_hidden, dtype=dtype)
        for one in rest
    )
    return Params(
        drawn.T * 0.5**0.5,
        blocks,
        layer_norm.init(d_model, dtype=dtype),
        dense.init(key=last, d_in=d_model, d_out=vocabulary, dtype=dtype),
    )


def apply(
    params: Params, tokens: Tokens, *, rate: float = 0.0, key: Key | None = None
) -> Float[Array, "... t vocabulary"]:
    """Return the logits of the next token, at every position.

    Args:
      params: Of the decoder; its dtype is that of the result.
      tokens: Integers 0 .. vocabulary - 1.
      rate: Static, of dropout in the blocks; 0 outside of training.
      key: A JAX random key, needed where rate > 0.

    Raises:
      ValueError: A concrete token is out of range (a traced one makes its sequence NaN), or key is
        missing where rate > 0.
    """
    return _apply(params, _tokens("tokens", params, tokens), key, rate=rate)


@partial(jax.jit, static_argnames="rate")
def _apply(params: Params, tokens: Array, key: Key | None, *, rate: float) -> Array:
    x = _embed(params, tokens)
    keys = [None] * len(params.blocks) if key is None else jax.random.split(key, len(params.blocks))
    for one, own in zip(params.blocks, keys, strict=True):
        x = block.apply(one, x, causal=True, rate=rate, key=own)
    return _logits(params, x)


def loss(
    params: Params,
    tokens: Tokens,
    *,
    mask: Any = None,
    rate: float = 0.0,
    key: Key | None = None,
) -> Scalar:
    """Return the mean cross-entropy, in nats, of tokens 1..t-1, each given those before it.

    Args:
      params: Of the decoder.
      tokens: Sequences of at least two tokens.
      mask: True for the tokens that count, like tokens, of which the first never counts; None is
        all of them. With none left the loss is 0.
      rate: Static, of dropout.
      key: A JAX random key, needed where rate > 0.

    Raises:
      ValueError: Fewer than two tokens, a mask of another shape, or as apply.

    Example:
      >>> params = init(key=jax.random.key(0), vocabulary=3, d_model=2, n_heads=1, n_layers=0,
      ...               d_hidden=1)
      >>> params = params._replace(output=dense.Params(jnp.zeros((2, 3)), jnp.zeros(3)))
      >>> round(float(loss(params, jnp.array([0, 1, 2]))), 4)  # equal scores: log 3
      1.0986
    """
    tokens = _tokens("tokens", params, tokens)
    if tokens.shape[-1] < 2:
        raise ValueError(f"tokens must hold at least 2 of a sequence: got shape {tokens.shape}")
    if mask is not None:
        mask = jnp.asarray(mask, bool)
        if mask.shape != tokens.shape:
            raise ValueError(
                f"mask must have the shape of tokens, {tokens.shape}: got {mask.shape}"
            )
    return _loss(params, tokens, mask, key, rate=rate)


@partial(jax.jit, static_argnames="rate")
def _loss(
    params: Params, tokens: Array, mask: Array | None, key: Key | None, *, rate: float
) -> Scalar:
    z = _apply(params, tokens[..., :-1], key, rate=rate)
    target = jnp.take_along_axis(z, tokens[..., 1:, None], axis=-1)[..., 0]
    wide = jnp.promote_types(z.dtype, jnp.float32)
    surprise = logsumexp(z.astype(wide)) - target.astype(wide)
    if mask is None:
        return jnp.mean(surprise)
    counted = mask[..., 1:]
    return jnp.sum(jnp.where(counted, surprise, 0.0)) / jnp.maximum(jnp.sum(counted), 1)


def generate(
    params: Params, prompt: Tokens, *, key: Key, length: int, temperature: Real = 1.0
) -> Tokens:
    """Return the prompt and length tokens drawn after it, each from softmax(logits / temperature).

    Args:
      params: Of the decoder.
      prompt: At least one token per sequence.
      key: A JAX random key.
      length: How many tokens to add, static.
      temperature: >= 0, traced; 0 takes the likeliest token, the first of equals.

    Returns:
      Tokens (..., t + length), int32.

    Raises:
      ValueError: The prompt is empty or out of range, or temperature is negative.
    """
    prompt = _tokens("prompt", params, prompt)
    if prompt.shape[-1] < 1:
        raise ValueError(f"prompt must hold at least 1 token: got shape {prompt.shape}")
    length = _check.integer("length", length, 0)
    wide = jnp.promote_types(params.embedding.dtype, jnp.float32)
    temperature = _check.at_least("temperature", temperature, 0.0, dtype=wide)
    return _generate(params, prompt, key, temperature, length=length) if length else prompt


@partial(jax.jit, static_argnames="length")
def _generate(params: Params, prompt: Array, key: Key, temperature: Array, *, length: int) -> Array:
    return _generation.extend(
        params.blocks,
        partial(_embed, params, total=prompt.shape[-1] + length),
        partial(_logits, params),
        prompt,
        key=key,
        length=length,
        temperature=temperature,
    )


def _tokens(name: str, params: Params, value: Any) -> Array:
    return _embedding.tokens(name, value, params.embedding.shape[0])


def _embed(params: Params, tokens: Array, start: Any = 0, *, total: int | None = None) -> Array:
    """d_model^(1/2) E[token] + PE, of positions from start on, out of total."""
    E, t = params.embedding, tokens.shape[-1]
    d_model = E.shape[1]
    table = sinusoidal(t if total is None else total, d_model, dtype=E.dtype)
    PE = jax.lax.dynamic_slice_in_dim(table, start, t)
    x = d_model**0.5 * _embedding.embed(E, tokens)
    return x + PE.reshape((1,) * (x.ndim - 2) + PE.shape)


def _logits(params: Params, x: Array) -> Array:
    return dense.apply(params.output, layer_norm.apply(params.norm, x))
