"""A transformer block for every parameter, and a decoder from its loss to its embedding."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.nn.transformer import block as hand
from jaxml.closed_form.nn.transformer import decoder as hand_ends
from jaxml.nn import attention, dense
from jaxml.nn.norm import layer_norm
from jaxml.nn.transformer import block, decoder
from jaxml.verify.case import ROUNDING, Case, Point, point
from jaxml.verify.domains import Domain, Generator, Numbers, vector

__all__ = ["CASES"]

TOPIC = ("transformer",)
PAPER = "Vaswani et al. (2017), section 3.1; Xiong et al. (2020), table 1"
VOCABULARY = 5


def _norm(rng: Generator, m: int) -> layer_norm.Params:
    scale: Numbers = rng.uniform(0.5, 1.5, size=m)
    return layer_norm.Params(scale, vector(rng, m, scale=0.3))


def _dense(rng: Generator, m: int, n: int) -> dense.Params:
    kernel: Numbers = rng.standard_normal((m, n)) / m**0.5
    return dense.Params(kernel, vector(rng, n, scale=0.3))


def _params(rng: Generator, h: int, d: int) -> block.Params:
    m = h * d
    shapes = ((m, 3, h, d), (3, h, d), (h, d, m), (m,))
    return block.Params(
        _norm(rng, m),
        attention.Params(*(rng.standard_normal(shape) / m**0.5 for shape in shapes)),
        _norm(rng, m),
        _dense(rng, m, 3),
        _dense(rng, 3, m),
    )


def _drawn(rng: Generator, t: int, h: int, d: int) -> Point:
    keep = rng.random((t, t)) < 0.7
    keep[np.arange(t), np.arange(t)] = True
    x, g = rng.standard_normal((2, t, h * d))
    return point((_params(rng, h, d), x), g, keep)


def _sentence(rng: Generator, t: int, h: int, d: int) -> Point:
    m = h * d
    E: Numbers = rng.standard_normal((VOCABULARY, m))
    params = decoder.Params(
        E,
        (_params(rng, h, d), _params(rng, h, d)),
        _norm(rng, m),
        _dense(rng, m, VOCABULARY),
    )
    counted = rng.random(t) < 0.7
    counted[1] = True
    return point(params, rng.integers(0, VOCABULARY, size=t), counted)


# Two features would be brought to 1 and -1 by every norm, and hardly any gradient would be left.
DRAWN = Domain(_drawn, ((3, 2, 2), (1, 1, 4)))
SENTENCE = Domain(_sentence, ((4, 2, 2), (2, 1, 4)))


def _seen(at: Any, g: Array, keep: Array, *, norm: str) -> Array:
    return (g * block.apply(*at, mask=keep, norm=norm)).sum()


def _backward(at: Any, g: Array, keep: Array, *, norm: str, f: Any = hand.backward) -> Any:
    params, x = f(*at, g, keep, norm=norm)
    return jax.tree.unflatten(jax.tree.structure(at), jax.tree.leaves((params, x)))


def _counted(params: decoder.Params, tokens: Array, counted: Array) -> Array:
    return decoder.loss(params, tokens, mask=counted)


def _states(params: decoder.Params, tokens: Array) -> list[Array]:
    """x before every block, and after the last, by hand."""
    x = [hand_ends.embed(params.embedding, tokens)]
    past = jnp.tril(jnp.ones((tokens.shape[0],) * 2, bool))
    for one in params.blocks:
        x.append(hand.apply(one, x[-1], past, norm="pre"))
    return x


def _loss_by_hand(params: decoder.Params, tokens: Array, counted: Array) -> Array:
    x = _states(params, tokens[:-1])[-1]
    return hand_ends.head(params.norm, params.output, x, tokens[1:], counted[1:].astype(x.dtype))


def _loss_backward(params: decoder.Params, tokens: Array, counted: Array) -> Any:
    """From the loss to the last norm, through the blocks from the last to the first, to E."""
    *states, last = _states(params, tokens[:-1])
    past = jnp.tril(jnp.ones((tokens.shape[0] - 1,) * 2, bool))
    norm, output, g = hand_ends.head_backward(
        params.norm, params.output, last, tokens[1:], counted[1:].astype(last.dtype)
    )
    blocks = []
    for one, x in zip(params.blocks[::-1], states[::-1], strict=True):
        d_one, g = hand.backward(one, x, g, past, norm="pre")
        blocks.append(d_one)
    E = hand_ends.embed_backward(params.embedding, tokens[:-1], g)
    leaves = jax.tree.leaves((E, blocks[::-1], norm, output))
    return jax.tree.unflatten(jax.tree.structure(params), leaves)


CASES = (
    *(
        Case(f"nn.transformer.block/gradient-{norm}-norm", TOPIC, "gradient",
             jax.grad(partial(_seen, norm=norm)), partial(_backward, norm=norm), DRAWN,
             ROUNDING, PAPER, partial(_seen, norm=norm),
             mutants=(partial(_backward, norm=norm, f=hand.backward_without_skips),
                      partial(_backward, norm={"pre": "post", "post": "pre"}[norm])))
        for norm in ("pre", "post")
    ),
    Case("nn.transformer.decoder/loss", TOPIC, "identity",
         _counted, _loss_by_hand, SENTENCE, ROUNDING, "mean of -log p(next token)"),
    Case("nn.transformer.decoder/gradient", TOPIC, "gradient",
         jax.grad(_counted), _loss_backward, SENTENCE, ROUNDING._replace(stencil=1e-8), PAPER,
         _counted),
)  # fmt: skip
