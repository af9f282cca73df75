"""Nearest neighbors against brute force, and the curse of dimensionality as a number."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.neighbors import knn as hand
from jaxml.neighbors import knn
from jaxml.verify.case import ROUNDING, STANDARD_ERRORS, Case, Expected
from jaxml.verify.domains import Domain, Generator, Numbers, design, labels

__all__ = ["CASES", "SPECIAL"]

TOPIC = ("knn",)
K = 3
DIMENSIONS = (2, 8, 32, 128)
PAIRS = 500
BEYER = "Beyer et al. (1999), theorem 1"


def _pair(rng: Generator, n: int, m: int, d: int) -> tuple[Numbers, Numbers]:
    X = design(rng, n + m, d)
    return X[:n], X[n:]


def _apart(rng: Generator, n: int, m: int, d: int) -> tuple[Numbers, Numbers]:
    while True:  # until no two distances from a query are so near that a stencil exchanges them
        Z, X = _pair(rng, n, m, d)
        D = np.sort(np.sqrt(((X[:, None] - Z[None]) ** 2).sum(axis=2)), axis=1)
        if np.diff(D, axis=1).min() > 0.03 and D.min() > 0.1:
            return Z, X


def _grid(rng: Generator, n: int, m: int, d: int) -> tuple[Numbers, Numbers]:
    # Integers, exact in every dtype: many equal distances, and equal rows.
    return rng.integers(0, 3, (n, d)).astype(float), rng.integers(0, 3, (m, d)).astype(float)


def _labeled(rng: Generator, n: int, m: int, d: int) -> tuple[Numbers, ...]:
    X, Z = _grid(rng, n, m, d)
    return X, labels(rng, n, 3), Z


def _measured(rng: Generator, n: int, m: int, d: int) -> tuple[Numbers, ...]:
    X, Z = _pair(rng, n, m, d)
    return X, rng.standard_normal(n), Z


def _pairs(rng: Generator) -> tuple[Numbers]:
    return (rng.standard_normal((2, PAIRS, max(DIMENSIONS))),)


def _total(X_train: Array, X: Array) -> Array:
    return jnp.sum(knn.search(X_train, X, k=K)[0] * jnp.arange(1.0, K + 1, dtype=X.dtype)[None, :])


def _total_gradient(X_train: Array, X: Array) -> Array:
    # d||x - z||/dz = -(x - z) / ||x - z||, from every query that has z among its k nearest
    D, index = hand.nearest(X_train, X, k=K)
    scale = jnp.arange(1.0, K + 1, dtype=X.dtype)[None, :] / D
    pulls = -scale[:, :, None] * (X[:, None, :] - X_train[index])
    chosen = (index[:, :, None] == jnp.arange(len(X_train))[None, None, :]).astype(X.dtype)
    return (chosen[:, :, :, None] * pulls[:, :, None, :]).sum(axis=(0, 1))


def _spread(pairs: Array) -> list[Array]:
    """The mean of (t - 1)^2, t the squared distance over its mean 2 d, for pairs of normal rows."""

    def of(d: int) -> Array:
        def apart(x: Array, z: Array) -> Array:
            return knn.search(z[None, :d], x[None, :d], k=1)[0][0, 0]

        return jnp.mean((jax.vmap(apart)(*pairs) ** 2 / (2 * d) - 1) ** 2)

    return [of(d) for d in DIMENSIONS]


def _expected_spread(pairs: Array, *, power: float = 1.0) -> Expected:
    mean: Any = [jnp.asarray(hand.spread_of_normal(d) ** power, pairs.dtype) for d in DIMENSIONS]
    errors = [jnp.asarray(hand.standard_error(d, PAIRS), pairs.dtype) for d in DIMENSIONS]
    return Expected(mean, errors)


SHAPES = ((30, 5, 3), (4, 2, 1))
PAIR, GRID = Domain(_pair, SHAPES), Domain(_grid, SHAPES)
LABELED, MEASURED = Domain(_labeled, SHAPES), Domain(_measured, SHAPES)

CASES = (
    Case("neighbors.knn/search", TOPIC, "identity",
         partial(knn.search, k=K), partial(hand.nearest, k=K), PAIR, ROUNDING, "every distance"),
    Case("neighbors.knn/gradient-of-distances", TOPIC, "gradient",
         jax.grad(_total), _total_gradient,
         Domain(_apart, ((8, 3, 3), (4, 2, 2))), ROUNDING, "d||v|| = v'dv / ||v||", _total),
    Case("neighbors.knn/majority", TOPIC, "identity",
         partial(knn.predict, k=K, n_classes=3), partial(hand.majority, k=K, n_classes=3), LABELED,
         ROUNDING, "Hastie et al., ESL (2009), section 13.3"),
    Case("neighbors.knn/mean", TOPIC, "identity",
         partial(knn.predict, k=K), partial(hand.mean, k=K), MEASURED, ROUNDING,
         "Hastie et al., ESL (2009), eq. (2.8)"),
    Case("neighbors.knn/concentration", TOPIC, "identity",
         knn.concentration, hand.concentration,
         Domain(lambda rng, n, d: (design(rng, n, d),), ((20, 4), (5, 1))), ROUNDING,
         "sums over rows = sums over pairs"),
    Case("neighbors.knn/concentration-of-normal-rows", TOPIC, "statistic",
         _spread, _expected_spread, Domain(_pairs), STANDARD_ERRORS, BEYER + ": sqrt(2/d)",
         mutants=(partial(_expected_spread, power=0.5), partial(_expected_spread, power=2.0))),
)  # fmt: skip
SPECIAL = (
    Case("neighbors.knn/search@ties", TOPIC, "identity",
         partial(knn.search, k=K), partial(hand.nearest, k=K), GRID, ROUNDING,
         "of equal distances the lower index"),
)  # fmt: skip
