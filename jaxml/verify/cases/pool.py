"""Claims about pooling: values, who gets the gradient, ties, padding."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.nn import pool as hand
from jaxml.nn import pool
from jaxml.verify.case import EXACT, ROUNDING, Case, Tolerance
from jaxml.verify.domains import Domain, Generator

__all__ = ["CASES"]

TOPICS = ("max-pool",)
ROUTED = Tolerance(1e-14, 1e-6, "sums of a few cotangents")
PADDED = ((1, 0), (0, 1))
# name: sizes, window, stride, padding
WINDOWS: dict[str, Any] = {
    "halves": ((4, 6), (2, 2), (2, 2), "VALID"),
    "overlapping": ((5, 6), (3, 3), (2, 2), "SAME"),
    "signal": ((7,), (3,), (1,), "VALID"),
    "uneven": ((5, 4), (2, 3), (3, 1), PADDED),
}


def _distinct(rng: Generator, *shape: int) -> np.ndarray:
    """Entries no two of which lie within 0.1: far from the kinks where winners change."""
    values = 0.15 * np.arange(np.prod(shape)) + rng.uniform(0.0, 0.05, size=np.prod(shape))
    return rng.permutation(values - values.mean()).reshape(shape)


def _tied(rng: Generator, *shape: int) -> np.ndarray:
    """Entries 0, 1 and some -inf: nearly every window has ties."""
    values = rng.integers(0, 2, size=shape).astype(float)
    return np.where(rng.random(shape) < 0.3, -np.inf, values)


def _outs(sizes: tuple, window: tuple, stride: tuple, pairs: tuple) -> tuple[int, ...]:
    along = zip(sizes, window, stride, pairs, strict=True)
    return tuple((n + sum(pair) - w) // s + 1 for n, w, s, pair in along)


def _cases(name: str) -> tuple[Case, ...]:
    sizes, window, stride, padding = WINDOWS[name]
    if padding == "SAME":
        pairs = hand.same(sizes, window, stride)
    else:
        pairs = tuple((0, 0) for _ in sizes) if padding == "VALID" else padding
    by_hand = {"window": window, "stride": stride, "padding": pairs}
    library = {"window": window, "stride": stride, "padding": padding}
    shape, out = (2, *sizes, 2), (2, *_outs(sizes, window, stride, pairs), 2)

    def paired(x: Array, G: Array) -> Array:
        return jnp.sum(G * pool.max_pool(x, **library))

    def mean(x: Array, G: Array) -> Array:
        return jnp.sum(G * pool.avg_pool(x, **library, count_include_pad=False))

    def mean_backward(x: Array, G: Array) -> Array:
        return hand.avg_backward(x, G, **by_hand, count_include_pad=False)

    def to_the_last(x: Array, G: Array) -> Array:
        flip = tuple(range(1, 1 + len(sizes)))
        turned = {**by_hand, "padding": tuple(pair[::-1] for pair in pairs)}
        return jnp.flip(hand.max_backward(jnp.flip(x, flip), jnp.flip(G, flip), **turned), flip)

    distinct = Domain(lambda rng: (_distinct(rng, *shape), rng.standard_normal(out)))
    normal = Domain(lambda rng: (rng.standard_normal(shape), rng.standard_normal(out)))
    tied = Domain(lambda rng: (_tied(rng, *shape), rng.integers(1, 9, size=out).astype(float)))
    # Read from the other end, the windows are the same ones only if they fill the axis.
    filled = all(
        (n + sum(pair) - w) % s == 0
        for n, w, s, pair in zip(sizes, window, stride, pairs, strict=True)
    )
    return (
        Case(f"nn.pool/max-{name}", TOPICS, "identity",
             lambda x, G: pool.max_pool(x, **library),
             lambda x, G: hand.max_pool(x, **by_hand), distinct, EXACT, "the definition"),
        Case(f"nn.pool/max-{name}-gradient", TOPICS, "gradient", jax.grad(paired),
             lambda x, G: hand.max_backward(x, G, **by_hand), distinct, ROUTED,
             "dy/dx = 1 at the winner", value=paired),
        Case(f"nn.pool/max-{name}-ties", TOPICS, "identity",
             lambda x, G: jax.vjp(lambda x: pool.max_pool(x, **library), x)[1](G)[0],
             lambda x, G: hand.max_backward(x, G, **by_hand), tied, EXACT,
             "of equal entries the first wins, and padding never",
             mutants=(to_the_last,) if filled else ()),
        Case(f"nn.pool/avg-{name}-gradient", TOPICS, "gradient", jax.grad(mean), mean_backward,
             normal, ROUTED, "dy/dx = 1 / count", value=mean),
    )  # fmt: skip


def _global(x: Array, G: Array) -> Array:
    return jnp.sum(G * pool.global_avg_pool(x))


def _with_padding(x: Array) -> Array:
    return pool.avg_pool(x, window=3, stride=2, padding="SAME")


def _with_padding_by_hand(x: Array) -> Array:
    sizes = x.shape[1:-1]
    window, stride = (3,) * len(sizes), (2,) * len(sizes)
    padding = hand.same(sizes, window, stride)
    return hand.avg_pool(
        x, window=window, stride=stride, padding=padding, count_include_pad=True
    )  # fmt: skip


CASES = (
    *(case for name in WINDOWS for case in _cases(name)),
    Case("nn.pool/avg-with-padding", TOPICS, "identity", _with_padding, _with_padding_by_hand,
         Domain(lambda rng, *sizes: (rng.standard_normal((2, *sizes, 2)),), ((5, 4), (6,))),
         ROUTED, "padding counts as zeros"),
    Case("nn.pool/global-gradient", TOPICS, "gradient", jax.grad(_global), hand.global_avg_backward,
         Domain(lambda rng, *sizes: (rng.standard_normal((2, *sizes, 3)),
                                     rng.standard_normal((2, 3))), ((3, 2), (4,))),
         ROUNDING, "dy/dx = 1 / positions", value=_global),
)  # fmt: skip
