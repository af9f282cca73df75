"""Dropout: the mask is its own derivative, and mean and variance are what they should be."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.nn import dropout as hand
from jaxml.nn import dropout
from jaxml.verify.case import EXACT, ROUNDING, STANDARD_ERRORS, Case, Expected
from jaxml.verify.domains import Domain, Generator, Numbers, vector

__all__ = ["CASES", "SPECIAL"]

TOPIC = ("dropout",)
REF = "Srivastava et al. (2014), section 10"
RATES = {8: 0.25, 16: 0.3, 32: 2e-4}  # by the number of random bits that they take
# The probability realized, by the rule that the docstring states.
REALIZED = {8: 64 / 2**8, 16: 19661 / 2**16, 32: 858993 / 2**32}
COUNT = 4096


def _drawn(rng: Generator, n: int) -> tuple[Numbers, Numbers, Numbers]:
    seed = np.asarray(rng.integers(2**31), np.uint32)
    return vector(rng, n), vector(rng, n), seed


DRAWN = Domain(_drawn, ((37,), (1,)))


def _seen(bits: int) -> Callable:
    def value(x: Array, g: Array, seed: Array) -> Array:
        return (g * dropout.apply(x, rate=RATES[bits], key=jax.random.key(seed))).sum()

    return value


def _backward(bits: int, p: float, x: Array, g: Array, seed: Array) -> Array:
    """By the mask that the same key draws, read off where ones survive."""
    ones = jnp.ones_like(x)
    kept = dropout.apply(ones, rate=RATES[bits], key=jax.random.key(seed)) > 0
    return hand.backward(kept, g, p=p)


def _many(bits: int, x: Array, g: Array, seed: Array) -> tuple[Array, Array, Array]:
    """Over COUNT draws: the mean of y, of (y - x)^2, and the share of zeros, entry by entry."""
    rows = jnp.broadcast_to(x[None, :], (COUNT, x.size))
    y = dropout.apply(rows, rate=RATES[bits], key=jax.random.key(seed))
    return y.mean(axis=0), ((y - rows) ** 2).mean(axis=0), (y == 0).mean(axis=0, dtype=x.dtype)


def _law(bits: int, x: Array, g: Array, seed: Array, *, p: float | None = None) -> Expected:
    p = REALIZED[bits] if p is None else p
    flat = jnp.ones_like(x)
    return Expected(
        (x, hand.squared_error(x, p=p), p * flat),
        (hand.standard_error(x, p=p, count=COUNT), hand.spread(x, p=p, count=COUNT),
         (p * (1.0 - p) / COUNT) ** 0.5 * flat),
    )  # fmt: skip


def _not_inverted(bits: int, x: Array, g: Array, seed: Array) -> Expected:
    """The law of a dropout that does not scale: E y = (1 - p) x."""
    law = _law(bits, x, g, seed)
    return law._replace(mean=((1.0 - REALIZED[bits]) * x, *law.mean[1:]))


def _ends(x: Array, g: Array, seed: Array) -> tuple[Array, ...]:
    """Value and derivative along g, for rates 0 and 1."""
    key = jax.random.key(seed)
    found = []
    for rate in (0.0, 1.0):
        y, back = jax.vjp(partial(dropout.apply, rate=rate, key=key), x)
        found += [y, back(g)[0]]
    return tuple(found)


CASES = (
    *(Case(f"nn.dropout/gradient-{bits}-bits", TOPIC, "gradient",
           jax.grad(_seen(bits)), partial(_backward, bits, REALIZED[bits]), DRAWN, ROUNDING, REF,
           _seen(bits)) for bits in RATES),
    *(Case(f"nn.dropout/mean-and-variance-{bits}-bits", TOPIC, "statistic",
           partial(_many, bits), partial(_law, bits), Domain(_drawn, ((12,),)), STANDARD_ERRORS,
           f"{REF}; Var y = x^2 p/(1 - p)",
           mutants=(partial(_law, bits, p=0.5), partial(_not_inverted, bits))) for bits in (8, 16)),
)  # fmt: skip
SPECIAL = (
    Case("nn.dropout/value-and-derivative@0-and-1", TOPIC, "identity",
         _ends, lambda x, g, seed: (x, g, 0.0 * x, 0.0 * g), DRAWN, EXACT,
         "the identity, and nothing"),
)  # fmt: skip
