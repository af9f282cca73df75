"""Attention: the size of its scores, and what the softmax lets through: why they are scaled."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml._typing import Array
from jaxml.closed_form.nn import attention as hand
from jaxml.nn import attention
from jaxml.verify.case import STANDARD_ERRORS, Case, Expected, Point, point
from jaxml.verify.domains import Domain, Generator

__all__ = ["CASES"]

TOPIC = ("attention",)


def _pairs(rng: Generator, n: int, d: int) -> Point:
    """N queries with two keys each, all entries N(0, 1)."""
    return point(rng.standard_normal((n, 1, 1, d)), rng.standard_normal((n, 2, 1, d)))


def _signs(rng: Generator, n: int, d: int) -> Point:
    """Queries of entries 1 and -1: q'(k_1 - k_2) is then exactly N(0, 2 d)."""
    return point(rng.choice([-1.0, 1.0], size=(n, 1, 1, d)), rng.standard_normal((n, 2, 1, d)))


def _attended(q: Array, k: Array, scale: Any) -> Array:
    """p (n, 2): attention to values that are unit vectors."""
    v = jnp.broadcast_to(jnp.eye(2, dtype=q.dtype)[None, :, None, :], (*k.shape[:2], 1, 2))
    return attention.scaled_dot_product(q, k, v, scale=scale)[:, 0, 0]


def _variance(q: Array, k: Array, *, scaled: bool) -> Array:
    """Of a score, read back from the weights: log p_1 - log p_2 is a difference of two."""
    p = jnp.log(_attended(q, k, None if scaled else 1.0))
    return 0.5 * ((p[:, 0] - p[:, 1]) ** 2).mean()


def _variance_by_theory(q: Array, k: Array, *, scaled: bool, factor: float = 1.0) -> Expected:
    n, d = q.shape[0], q.shape[-1]
    mean, error = hand.score_variance(d, n, scale=d**-0.5 if scaled else 1.0)
    return Expected(jnp.asarray(factor * mean, q.dtype), error)


def _slope(q: Array, k: Array, *, scaled: bool) -> Array:
    """Mean of dp_1/dz: the derivative by the scale over that of z."""
    z = (q * (k[:, :1] - k[:, 1:])).sum(axis=-1)[:, 0, 0]  # at scale 1
    scale = jnp.asarray(q.shape[-1] ** -0.5 if scaled else 1.0, q.dtype)
    slopes = jax.jvp(lambda c: _attended(q, k, c)[:, 0], (scale,), (jnp.ones_like(scale),))[1]
    return (slopes / z).mean()


def _slope_by_theory(q: Array, k: Array, *, scaled: bool) -> Expected:
    n, d = q.shape[0], q.shape[-1]
    mean, error = hand.softmax_slope(2.0 if scaled else 2.0 * d, n)
    return Expected(mean.astype(q.dtype), error)


PAIRS, SIGNS = Domain(_pairs, ((2000, 16), (2000, 64))), Domain(_signs, ((2000, 16), (2000, 256)))
SCALED = "unit-variance entries, section 3.2.1, footnote 4"

CASES = (
    Case("nn.attention/score-variance", TOPIC, "statistic",
         partial(_variance, scaled=False), partial(_variance_by_theory, scaled=False), PAIRS,
         STANDARD_ERRORS, SCALED,
         mutants=(partial(_variance_by_theory, scaled=False, factor=0.5),
                  partial(_variance_by_theory, scaled=True))),
    Case("nn.attention/score-variance-scaled", TOPIC, "statistic",
         partial(_variance, scaled=True), partial(_variance_by_theory, scaled=True), PAIRS,
         STANDARD_ERRORS, SCALED,
         mutants=(partial(_variance_by_theory, scaled=True, factor=0.5),
                  partial(_variance_by_theory, scaled=False))),
    Case("nn.attention/softmax-slope", TOPIC, "statistic",
         partial(_slope, scaled=False), partial(_slope_by_theory, scaled=False), SIGNS,
         STANDARD_ERRORS, "E p (1 - p) = 0.064 at d = 16, 0.018 at d = 256: (4 pi d)^(-1/2)",
         mutants=(partial(_slope_by_theory, scaled=True),)),
    Case("nn.attention/softmax-slope-scaled", TOPIC, "statistic",
         partial(_slope, scaled=True), partial(_slope_by_theory, scaled=True), SIGNS,
         STANDARD_ERRORS, "E p (1 - p) = 0.17 for every d",
         mutants=(partial(_slope_by_theory, scaled=False),)),
)  # fmt: skip
