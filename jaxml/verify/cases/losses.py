"""Losses: derivatives off the kinks, stated subgradients on them, digits kept in the tails."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import losses
from jaxml._typing import Array
from jaxml.closed_form import losses as hand
from jaxml.verify.case import ELEMENTWISE, EXACT, HESSIAN, ROUNDING, Case, Point, Tolerance, point
from jaxml.verify.domains import (
    Domain,
    Generator,
    Numbers,
    away_from,
    labels,
    logits,
    signs,
    vector,
)

__all__ = ["CASES", "SPECIAL"]

SHAPES = ((7,), (1,))


def _real(rng: Generator, n: int) -> tuple[Numbers, Numbers]:
    y = vector(rng, n)
    return y + away_from(2.0 * vector(rng, n), (0.0,)), y


def _huber(rng: Generator, n: int) -> Point:
    y, delta = vector(rng, n), rng.uniform(0.5, 1.5)
    return point(y + away_from(2.0 * vector(rng, n), (-delta, delta)), y, delta=delta)


def _bernoulli(rng: Generator, n: int) -> tuple[Numbers, Numbers]:
    return logits(rng, n), labels(rng, n, 2).astype(float)


def _margin(rng: Generator, n: int) -> tuple[Numbers, Numbers]:
    y = signs(rng, n)
    return y * away_from(2.0 * vector(rng, n), (1.0,)), y


def _classes(rng: Generator, k: int) -> tuple[Numbers, Numbers]:
    return 2.0 * vector(rng, k), np.asarray(rng.integers(k), np.int32)


REAL, HUBER, BERNOULLI, MARGIN = (
    Domain(sample, SHAPES) for sample in (_real, _huber, _bernoulli, _margin)
)
CLASSES = Domain(_classes, ((4,), (1,)))


def _total(loss: Callable) -> Callable:
    """The sum over entries: its gradient is the elementwise derivative."""
    return lambda z, y, **kw: loss(z, y, **kw).sum()


def _slope(loss: Callable) -> Callable:
    return jax.grad(_total(loss))


def _curvature(loss: Callable) -> Callable:
    slope = _slope(loss)
    return jax.grad(lambda z, y, **kw: slope(z, y, **kw).sum())


def _pair(name: str, topics: tuple, domain: Domain, ref: str) -> tuple[Case, Case]:
    """The two derivatives of an elementwise loss; the second differentiates the first."""
    loss, slope = getattr(losses, name), _slope(getattr(losses, name))
    return (
        Case(f"losses.{name}/gradient", topics, "gradient",
             slope, getattr(hand, name), domain, ELEMENTWISE, ref, _total(loss)),
        Case(f"losses.{name}/curvature", topics, "gradient",
             _curvature(loss), getattr(hand, f"{name}_curvature"), domain,
             ELEMENTWISE._replace(stencil=1e-8), ref, lambda z, y, **kw: slope(z, y, **kw).sum()),
    )  # fmt: skip


def _at(*values: float) -> Callable:
    """The same scores and targets each time: special values are not drawn."""
    n = len(values) // 2
    return lambda key, dtype: (jnp.array(values[:n], dtype), jnp.array(values[n:], dtype))


CASES = (
    *_pair("squared", ("convexity",), REAL, "(z - y)^2/2, chain rule"),
    *_pair("absolute", ("convexity", "l1-l2"), REAL, "|z - y|, by cases"),
    *_pair("huber", ("convexity",), HUBER, "Huber (1964), by cases"),
    *_pair("logistic", ("logistic", "convexity"), BERNOULLI, "Hastie et al., ESL (2009), 4.4.1"),
    *_pair("hinge", ("convexity",), MARGIN, "max(0, 1 - yz), by cases"),
    *_pair("squared_hinge", ("convexity",), MARGIN, "max(0, 1 - yz)^2, by cases"),
    *_pair("exponential", ("convexity",), MARGIN, "ESL (2009), eq. (10.8)"),
    Case("losses.logistic/likelihood", ("logistic",), "identity",
         losses.logistic, hand.logistic_value, BERNOULLI, ELEMENTWISE, "ESL (2009), eq. (4.20)"),
    Case("losses.softmax_cross_entropy/value", ("softmax-regression",), "identity",
         losses.softmax_cross_entropy, hand.softmax_cross_entropy_value, CLASSES,
         ROUNDING._replace(scale=1.0), "Bishop (2006), eq. (4.108)"),
    Case("losses.softmax_cross_entropy/gradient", ("softmax-regression", "softmax"), "gradient",
         jax.grad(losses.softmax_cross_entropy), hand.softmax_cross_entropy, CLASSES,
         ROUNDING._replace(scale=1.0), "Bishop (2006), eq. (4.109)", losses.softmax_cross_entropy),
    Case("losses.softmax_cross_entropy/hessian", ("softmax-regression", "softmax"), "hessian",
         jax.hessian(losses.softmax_cross_entropy), hand.softmax_cross_entropy_hessian, CLASSES,
         HESSIAN._replace(scale=1.0), "Bishop (2006), eq. (4.110)", losses.softmax_cross_entropy),
)  # fmt: skip


def _kinked(name: str, topics: tuple, draw: Callable, **kw: float) -> Case:
    return Case(
        f"losses.{name}/gradient@kink", topics, "identity",
        partial(_slope(getattr(losses, name)), **kw), partial(getattr(hand, name), **kw), draw,
        EXACT, "the subgradient stated in jaxml.losses",
    )  # fmt: skip


def _far(key: Any, dtype: Any) -> tuple[Array, Array]:
    """Scores up to 1e4, and the largest whose tail e^-|z| the dtype can still hold."""
    top = 700.0 if dtype == jnp.float64 else 80.0
    return _at(-1e4, -1e4, -37, -37, 0, 40, top, 1e4, 1e4, 0, 1, 0, 1, 1, 0, 1, 0, 1)(key, dtype)


FINITE = Tolerance(1e-15, 1e-6, "two roundings: the tails must keep their digits", norm="entry")


def _tails(z: Array, y: Array) -> Array:
    # y = 0: l = max(z, 0) + log(1 + e^-|z|), by its series where e^-|z| is tiny; y = 1 mirrors it
    m = jnp.where(y > 0.5, -z, z)
    t = jnp.exp(-jnp.abs(m))
    return jnp.where(m > 0, m, 0.0) + jnp.where(t < 1e-8, t, jnp.log(1.0 + t))


SPECIAL = (
    _kinked("absolute", ("convexity", "l1-l2"), _at(0.5, 1.0, 0.5, 0.0)),
    _kinked("huber", ("convexity",), _at(2.0, -2.0, 0.0, 0.0, 0.0, 0.0), delta=2.0),
    _kinked("hinge", ("convexity",), _at(1.0, -1.0, 0.5, 1.0, -1.0, 1.0)),
    _kinked("squared_hinge", ("convexity",), _at(1.0, -1.0, 0.5, 1.0, -1.0, 1.0)),
    Case("losses.logistic/value@tails", ("logistic",), "identity",
         losses.logistic, _tails, _far, FINITE, "log(1 + t) = t - t^2/2 + ..."),
    Case("losses.logistic/gradient@tails", ("logistic",), "identity",
         _slope(losses.logistic), hand.logistic, _far, FINITE, "ESL (2009), 4.4.1"),
)  # fmt: skip
