"""Why cross-entropy suits classification, and squared error after the sigmoid does not."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import losses
from jaxml._typing import Array
from jaxml.closed_form import losses as hand
from jaxml.verify.case import ELEMENTWISE, EXACT, ROUNDING, Case, Tolerance
from jaxml.verify.domains import Domain, Generator, Numbers, labels, logits

__all__ = ["CASES", "SPECIAL"]

MSE = ("mse-classification",)


def _squared(z: Array, y: Array) -> Array:
    return losses.squared(jax.nn.sigmoid(z), y).sum()


def _squared_slope(z: Array, y: Array) -> Array:
    return jax.grad(_squared)(z, y).sum()


def _ratio(z: Array, y: Array) -> Array:
    """The gradient of squared error over that of cross-entropy."""
    return jax.grad(_squared)(z, y) / jax.grad(lambda z: losses.logistic(z, y).sum())(z)


def _scores(rng: Generator, n: int) -> tuple[Numbers, Numbers]:
    return logits(rng, n), labels(rng, n, 2).astype(float)


def _wrong(rng: Generator, n: int) -> tuple[Numbers, Numbers]:
    y = labels(rng, n, 2).astype(float)
    return np.where(y == 1, -1.0, 1.0) * rng.uniform(4.0, 9.0, size=n), y


def _witness(key: Any, dtype: Any) -> tuple[Array, Array]:
    return jnp.array([2.0, -2.0], dtype), jnp.array([0.0, 1.0], dtype)


def _curvatures(loss: Callable, z: Array, y: Array) -> Array:
    return jax.vmap(jax.grad(jax.grad(loss)))(z, y)


def _any_scores(rng: Generator, n: int) -> tuple[Numbers, Numbers]:
    z, y = _scores(rng, n)
    z[0] = 0.0  # where the curvature of cross-entropy is largest
    return z, y


FAR = ELEMENTWISE._replace(float64=1e-11, float32=1e-2, reason="p - 1 cancels in the tail")
TINY = Tolerance(1e-12, 1e-5, "rounding", scale=1e-3)
SCORES = Domain(_scores, ((7,), (2,)))
ANY_SCORES, WRONG = Domain(_any_scores, ((9,),)), Domain(_wrong, ((6,),))

CASES = (
    Case("losses.logistic/convex", ("convexity", "logistic"), "bound",
         lambda z, y: -_curvatures(losses.logistic, z, y), lambda z, y: 0.0 * z, ANY_SCORES, TINY,
         "sigma(z) sigma(-z) > 0", mutants=(lambda z, y: 0.0 * z - 0.1,)),
    Case("losses.logistic/smooth", ("convexity", "logistic"), "bound",
         partial(_curvatures, losses.logistic), lambda z, y: 0.0 * z + 0.25, ANY_SCORES, TINY,
         "p (1 - p) <= 1/4", mutants=(lambda z, y: 0.0 * z + 0.2499,)),
    Case("losses.squared-after-sigmoid/gradient", MSE, "gradient",
         jax.grad(_squared), hand.squared_after_sigmoid, SCORES, ROUNDING,
         "chain rule through p = sigma(z)", _squared),
    Case("losses.squared-after-sigmoid/curvature", MSE, "gradient",
         jax.grad(_squared_slope), hand.squared_after_sigmoid_curvature, SCORES,
         ROUNDING._replace(stencil=1e-8), "product rule", _squared_slope),
    Case("losses.squared-after-sigmoid/vanishing", MSE, "identity",
         _ratio, hand.logistic_curvature, WRONG, FAR,
         "(p - y) p (1 - p) over p - y: p (1 - p) = 1 / (4 cosh^2(z/2))"),
)  # fmt: skip
SPECIAL = (
    Case("losses.squared-after-sigmoid/not-convex@witness", MSE, "bound",
         partial(_curvatures, lambda z, y: losses.squared(jax.nn.sigmoid(z), y)),
         lambda z, y: 0.0 * z - 0.059, _witness, EXACT,
         "p^2 (1 - p)(2 - 3p) = -0.0594 at z = 2, y = 0",
         mutants=(lambda z, y: 0.0 * z - 0.06,)),
    Case("losses.logistic/convex@witness", ("mse-classification", "convexity"), "bound",
         lambda z, y: -_curvatures(losses.logistic, z, y), lambda z, y: 0.0 * z - 0.104, _witness,
         EXACT, "sigma(2) sigma(-2) = 0.10499: cross-entropy is convex where squared error is not",
         mutants=(lambda z, y: 0.0 * z - 0.106,)),
)  # fmt: skip
