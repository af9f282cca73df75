"""Attention: backward by hand, plain, masked and in blocks; why its scores are scaled."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.nn import attention as hand
from jaxml.nn import _attend, attention
from jaxml.nn.attention import Params
from jaxml.verify.case import (
    EXACT,
    ROUNDING,
    Case,
    Point,
    point,
)
from jaxml.verify.domains import Domain, Generator, Numbers

__all__ = ["CASES", "SPECIAL"]

TOPIC = ("attention",)
PAPER = "Vaswani et al. (2017), eq. (1)"
SHAPES = ((4, 5, 2, 3, 2), (1, 1, 1, 1, 1))  # t, s, h, d, e
# With one key its weight is 1 whatever q and k: their gradients are 0 to rounding.
NEAR = ROUNDING._replace(scale=0.1)


def _arrays(rng: Generator, t: int, s: int, h: int, d: int, e: int) -> tuple[Numbers, ...]:
    return tuple(rng.standard_normal(shape) for shape in ((t, h, d), (s, h, d), (s, h, e)))


def _mask(rng: Generator, t: int, s: int, h: int) -> Numbers:
    """About two in three; in each head one query has nothing left, if there is more than one."""
    mask = rng.random((h, t, s)) < 0.66
    mask[:, 0, 0] = True
    if t > 1:
        mask[:, 1] = False
    return mask


def _drawn(rng: Generator, t: int, s: int, h: int, d: int, e: int) -> Point:
    qkv = _arrays(rng, t, s, h, d, e)
    return point(qkv, rng.standard_normal((t, h, e)), _mask(rng, t, s, h), rng.uniform(0.5, 1.5))


def _scale_first(rng: Generator, *shape: int) -> Point:
    qkv, g, mask, scale = _drawn(rng, *shape).args
    return point(scale, qkv, g, mask)


DRAWN, SCALE_FIRST = Domain(_drawn, SHAPES), Domain(_scale_first, SHAPES)


def _by_head(f: Callable, *arrays: Array, keep: Array, scale: Array) -> Any:
    """f(q, k, v, ..., keep) for every head of arrays (., h, .); results alike."""
    one = partial(f, scale=scale)
    return jax.vmap(one, (*(1 for _ in arrays), 0), 1)(*arrays, keep)


def _causal(mask: Array) -> Array:
    return jnp.tril(jnp.ones_like(mask))


def _value(qkv: Any, g: Array, mask: Array, scale: Array) -> Array:
    return attention.scaled_dot_product(*qkv, mask=mask, scale=scale)


def _seen(qkv: Any, g: Array, mask: Array, scale: Array) -> Array:
    return (g * _value(qkv, g, mask, scale)).sum()


def _seen_causal(qkv: Any, g: Array, mask: Array, scale: Array) -> Array:
    return (g * attention.scaled_dot_product(*qkv, causal=True, scale=scale)).sum()


def _seen_unmasked(qkv: Any, g: Array, mask: Array, scale: Array) -> Array:
    return (g * attention.scaled_dot_product(*qkv, scale=scale)).sum()


def _seen_in_blocks(qkv: Any, g: Array, mask: Array, scale: Array) -> Array:
    """Head by head, and at most three queries at a time, in the derivative one."""
    q, k, v = (jnp.swapaxes(a, 0, 1) for a in qkv)
    n, s = q.shape[0], k.shape[1]
    cut = _attend.plan(n, q.shape[1], s, causal=False, heads=n, scores=3 * s)
    o, l = _attend.outputs(cut, mask[None], scale * q, k, v)
    return (g * jnp.swapaxes(o, 0, 1)).sum() + jnp.sin(jnp.where(jnp.isinf(l), 0.0, l)).sum()


def _backward(f: Callable, qkv: Any, g: Array, mask: Array, scale: Array) -> Any:
    return _by_head(f, *qkv, g, keep=mask, scale=scale)


def _backward_causal(qkv: Any, g: Array, mask: Array, scale: Array) -> Any:
    return _backward(hand.backward, qkv, g, _causal(mask), scale)


def _backward_unmasked(qkv: Any, g: Array, mask: Array, scale: Array) -> Any:
    return _backward(hand.backward, qkv, g, jnp.ones_like(mask), scale)


def _backward_with_sums(qkv: Any, g: Array, mask: Array, scale: Array) -> Any:
    """Of <g, o> + sum sin l: dl_i = sum_j p_ij dz_ij, so o' = (o, l) is fed g' = (g, cos l)."""

    def one(q: Array, k: Array, v: Array, g: Array, keep: Array) -> Any:
        dq, dk, dv = hand.backward(q, k, v, g, keep, scale=scale)
        z = jnp.where(keep, scale * jnp.dot(q, k.T, precision="highest"), -jnp.inf)
        alive = keep.any(axis=1)
        l = jnp.log(jnp.where(alive, jnp.exp(z).sum(axis=1), 1.0))
        p = jnp.where(alive[:, None], jnp.exp(z - l[:, None]), 0.0)
        b = scale * p * jnp.cos(l)[:, None]
        more = (jnp.dot(m, a, precision="highest") for m, a in ((b, k), (b.T, q)))
        return dq + next(more), dk + next(more), dv

    by_head: Any = jax.vmap(one, (1, 1, 1, 1, 0), 1)
    return by_head(*qkv, g, mask)


def _scale_gradient(scale: Array, qkv: Any, g: Array, mask: Array) -> Array:
    by_head: Any = jax.vmap(partial(hand.scale_gradient, scale=scale), (1, 1, 1, 1, 0))
    return by_head(*qkv, g, mask).sum()


def _reordered(qkv: Any, g: Array, mask: Array, scale: Array) -> Array:
    """The same keys and values from last to first."""
    q, k, v = qkv
    return _value((q, k[::-1], v[::-1]), g, mask[..., ::-1], scale)


# -- a query with nothing to attend to
def _nothing_left(qkv: Any, g: Array, mask: Array, scale: Array) -> Any:
    """o and all gradients where only the query left alone is looked at."""
    none = jnp.zeros_like(mask)
    return _value(qkv, g, none, scale), jax.grad(_seen)(qkv, g, none, scale)


def _zeros(qkv: Any, g: Array, mask: Array, scale: Array) -> Any:
    return jnp.zeros_like(g), jax.tree.map(jnp.zeros_like, qkv)


def _with_garbage(qkv: Any, g: Array, mask: Array, scale: Array) -> Any:
    """What is masked out for all holds NaN, infinity and 1e30."""
    q, k, v = qkv
    mask = mask.at[:, :, -1].set(False)  # the last key goes to nobody, the second query to none
    k, v = k.at[-1].set(jnp.nan), v.at[-1].set(jnp.inf)
    q = q.at[1].set(1e30)
    o = _value((q, k, v), g, mask, scale)
    grads = jax.grad(_seen)((q, k, v), g, mask, scale)
    return o, grads


def _without_garbage(qkv: Any, g: Array, mask: Array, scale: Array) -> Any:
    mask = mask.at[:, :, -1].set(False)
    o = _by_head(hand.apply, *qkv, keep=mask, scale=scale)
    return o, _backward(hand.backward, qkv, g, mask, scale)


# -- the layer
def _layer(rng: Generator, t: int, h: int, d: int) -> Point:
    m = h * d
    params = Params(
        *(
            rng.standard_normal(shape) / m**0.5
            for shape in ((m, 3, h, d), (3, h, d), (h, d, m), (m,))
        )
    )
    keep = rng.random((t, t)) < 0.7
    keep[np.arange(t), np.arange(t)] = True
    return point((params, rng.standard_normal((t, m))), rng.standard_normal((t, m)), keep)


def _layer_seen(at: Any, g: Array, keep: Array) -> Array:
    return (g * attention.apply(*at, mask=keep)).sum()


def _layer_backward(at: Any, g: Array, keep: Array) -> Any:
    params, x = hand.layer_backward(at[0], at[1], g, keep)
    return Params(*params), x


LAYER = Domain(_layer, ((4, 2, 3), (1, 1, 2)))

CASES = (
    Case("nn.attention/value", TOPIC, "identity",
         _value, lambda qkv, g, mask, scale: _by_head(hand.apply, *qkv, keep=mask, scale=scale),
         DRAWN, ROUNDING, PAPER),
    Case("nn.attention/gradient", TOPIC, "gradient",
         jax.grad(_seen_unmasked), _backward_unmasked, DRAWN, NEAR, PAPER, _seen_unmasked,
         mutants=(lambda qkv, g, mask, scale: _backward(
             hand.backward_through_weights, qkv, g, jnp.ones_like(mask), scale),)),
    Case("nn.attention/gradient-masked", TOPIC, "gradient",
         jax.grad(_seen), partial(_backward, hand.backward), DRAWN, NEAR, PAPER, _seen,
         mutants=(_backward_unmasked,)),
    Case("nn.attention/gradient-causal", TOPIC, "gradient",
         jax.grad(_seen_causal), _backward_causal, DRAWN, NEAR, PAPER, _seen_causal,
         mutants=(_backward_unmasked,)),
    Case("nn.attention/gradient-in-blocks", TOPIC, "gradient",
         jax.grad(_seen_in_blocks), _backward_with_sums, DRAWN, NEAR,
         "Dao (2023), section 3.1", _seen_in_blocks,
         mutants=(partial(_backward, hand.backward),)),
    Case("nn.attention/gradient-by-scale", TOPIC, "gradient",
         jax.grad(lambda scale, qkv, g, mask: _seen(qkv, g, mask, scale)), _scale_gradient,
         SCALE_FIRST, NEAR, "chain rule through z = c q'k",
         lambda scale, qkv, g, mask: _seen(qkv, g, mask, scale)),
    Case("nn.attention/order-of-keys", TOPIC, "identity",
         _reordered, lambda qkv, g, mask, scale: _by_head(hand.apply, *qkv, keep=mask, scale=scale),
         DRAWN, ROUNDING, "a sum over keys has no order"),
    Case("nn.attention/layer", TOPIC, "gradient",
         jax.grad(_layer_seen), _layer_backward, LAYER, ROUNDING,
         "Vaswani et al. (2017), section 3.2.2", _layer_seen),
)  # fmt: skip
SPECIAL = (
    Case("nn.attention/nothing-left", TOPIC, "identity",
         _nothing_left, _zeros, DRAWN, EXACT, "0/0 = 0: an empty sum of values"),
    Case("nn.attention/gradient@garbage", TOPIC, "identity",
         _with_garbage, _without_garbage, Domain(_drawn, SHAPES[:1]), ROUNDING,
         "what takes no part has no say"),
)  # fmt: skip
