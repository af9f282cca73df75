"""What an optimizer sees of noise: Adam's moments, and the gradients of mini-batches."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import losses, optim
from jaxml._typing import Array, PyTree
from jaxml.closed_form.optim import adaptive, stochastic
from jaxml.verify.case import ROUNDING, STANDARD_ERRORS, Case, Expected
from jaxml.verify.cases.optim import ADAM
from jaxml.verify.domains import Domain, Generator, labels, vector

__all__ = ["CASES"]


def _noise(rng: Generator, runs: int, steps: int) -> tuple:
    return rng.standard_normal((runs, steps, 2)), rng.uniform(0.5, 1.5, 2), rng.uniform(0.5, 1.5, 2)


def _moments(noise: Array, mean: Array, deviation: Array) -> tuple[Array, Array]:
    """Mean over the runs of Adam's moments after independent normal gradients."""
    optimizer = optim.adam(0.1, **ADAM)

    def run(z: Array) -> PyTree:
        def step(state: Any, z: Array) -> tuple[Any, None]:
            return optimizer.update(mean + deviation * z, state)[1], None

        end: Any = jax.lax.scan(step, optimizer.init(mean), z)[0]
        return end.memory

    m, v = jax.vmap(run)(noise)
    return m.mean(axis=0), v.mean(axis=0)


def _moments_by_hand(
    noise: Array, mean: Array, deviation: Array, *, biased: bool = True
) -> Expected:
    b, t = {"b1": ADAM["b1"], "b2": ADAM["b2"]}, noise.shape[1]
    # Without the bias the expectation would be that of t = infinity.
    expected = adaptive.expected_moments(mean, deviation**2, t=t if biased else 10**4, **b)
    variance = adaptive.variance_of_moments(mean, deviation**2, t=t, **b)
    return Expected(expected, tuple(jnp.sqrt(v / noise.shape[0]) for v in variance))


def _batch(rng: Generator, n: int, d: int) -> tuple:
    return vector(rng, d), rng.standard_normal((n, d)), labels(rng, n, 2).astype(float)


def _all_batches(size: int) -> Callable:
    def auto(w: Array, X: Array, y: Array) -> tuple[Array, Array]:
        """Mean and variance over every batch of this size."""

        def loss(w: Array, rows: Array) -> Array:
            z = jnp.matmul(X[rows], w, precision="highest")
            return losses.logistic(z, y[rows]).mean()

        batches = np.array(list(itertools.combinations(range(len(y)), size)))
        g = jax.vmap(jax.grad(loss), in_axes=(None, 0))(w, batches)
        return g.mean(axis=0), ((g - g.mean(axis=0)[None, :]) ** 2).mean(axis=0)

    return auto


def _all_batches_by_hand(size: int) -> Callable:
    def hand(w: Array, X: Array, y: Array) -> tuple[Array, Array]:
        g = stochastic.logistic_gradients(w, X, y)
        return stochastic.expectation(g), stochastic.variance(g, batch_size=size)

    return hand


CASES = (
    Case("optim.adam/bias-of-the-moments", ("adam",), "statistic",
         _moments, _moments_by_hand, Domain(_noise, ((2000, 6), (2000, 1))), STANDARD_ERRORS,
         "Kingma, Ba (2015), section 3", mutants=(partial(_moments_by_hand, biased=False),)),
    *(Case(f"optim.sgd/batches-of-{size}", ("sgd",), "identity",
           _all_batches(size), _all_batches_by_hand(size), Domain(_batch, ((7, 3),)), ROUNDING,
           "Cochran (1977), theorems 2.1, 2.2; all batches enumerated") for size in (1, 3, 6)),
)  # fmt: skip
