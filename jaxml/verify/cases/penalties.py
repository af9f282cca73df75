"""Penalties: gradients off the kink, the subgradient on it, proximal operators and their slopes."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxml import penalties
from jaxml._typing import Array
from jaxml.closed_form import penalties as hand
from jaxml.verify.case import ELEMENTWISE, EXACT, ROUNDING, Case, Point, point
from jaxml.verify.domains import Domain, Generator, Numbers, away_from, vector

__all__ = ["CASES", "SPECIAL"]

BOTH = ("l1-l2", "convexity")


def _coefficients(rng: Generator, d: int) -> tuple[Numbers]:
    return (away_from(vector(rng, d), (0.0,)),)


def _mixed(rng: Generator, d: int) -> Point:
    return point(*_coefficients(rng, d), l1_ratio=rng.uniform(0.2, 0.8))


def _thresholded(rng: Generator, d: int) -> Point:
    step, ratio = rng.uniform(0.3, 0.9), rng.uniform(0.2, 0.8)
    v = away_from(1.5 * vector(rng, d), (-step, step, -step * ratio, step * ratio), 0.02)
    return point(v, step, l1_ratio=ratio)


def _soft(rng: Generator, d: int) -> tuple[Numbers, Numbers]:
    v, step = _thresholded(rng, d).args
    return v, step


SHAPES = ((6,), (1,))
COEFFICIENTS, MIXED, THRESHOLDED, SOFT = (
    Domain(sample, SHAPES) for sample in (_coefficients, _mixed, _thresholded, _soft)
)


def _total_prox(v: Array, step: Array, *, l1_ratio: Array) -> Array:
    return penalties.prox_elastic_net(v, step, l1_ratio=l1_ratio).sum()


def _moreau(v: Array, step: Array) -> Array:
    """What the prox leaves over: by Moreau, the projection on the dual ball |u_j| <= step."""
    return v - penalties.prox_l1(v, step)


def _projection(v: Array, step: Array) -> Array:
    # prox of the conjugate of s ||.||_1, the indicator of the ball of radius s in the max norm
    return jnp.where(v > step, step, jnp.where(v < -step, -step, v))


def _at_zero(key: Any, dtype: Any) -> tuple[Array]:
    return (jnp.array([0.0, -0.0, 1.0], dtype),)


CASES = (
    Case("penalties.l1/gradient", BOTH, "gradient",
         jax.grad(penalties.l1), hand.l1, COEFFICIENTS, ELEMENTWISE, "by cases", penalties.l1),
    Case("penalties.l2/gradient", BOTH, "gradient",
         jax.grad(penalties.l2), hand.l2, COEFFICIENTS, ELEMENTWISE, "chain rule", penalties.l2),
    Case("penalties.elastic_net/gradient", BOTH, "gradient",
         jax.grad(penalties.elastic_net), hand.elastic_net, MIXED, ELEMENTWISE,
         "Zou, Hastie (2005), eq. (3)", penalties.elastic_net),
    Case("penalties.prox_l1/value", ("l1-l2",), "identity",
         penalties.prox_l1, hand.prox_l1, SOFT, ROUNDING, "Parikh, Boyd (2014), 6.5.2"),
    Case("penalties.prox_l1/moreau", ("l1-l2",), "identity",
         _moreau, _projection, SOFT, ROUNDING, "Parikh, Boyd (2014), eq. (2.4)"),
    Case("penalties.prox_elastic_net/value", ("l1-l2",), "identity",
         penalties.prox_elastic_net, hand.prox_elastic_net, THRESHOLDED, ROUNDING,
         "Parikh, Boyd (2014), 6.5.3"),
    Case("penalties.prox_elastic_net/slope", ("l1-l2",), "gradient",
         jax.grad(_total_prox), hand.prox_elastic_net_slope, THRESHOLDED, ELEMENTWISE,
         "Parikh, Boyd (2014), 6.5.3, by cases", _total_prox),
)  # fmt: skip
SPECIAL = (
    Case("penalties.l1/gradient@kink", ("l1-l2",), "identity",
         jax.grad(penalties.l1), hand.l1, _at_zero, EXACT, "stated in jaxml.losses"),
)  # fmt: skip
