"""Random forests: importances counted again, and the variance of a mean of trees."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.trees import forest as hand
from jaxml.trees import _bootstrap, forest
from jaxml.verify.case import ROUNDING, STANDARD_ERRORS, Case, Expected
from jaxml.verify.domains import Domain, Generator, Numbers, design, labels

__all__ = ["CASES"]

K, TREES, DEPTH = 3, 3, 2
ROWS, REPEATS, SIZES = 8, 400, (1, 2, 10)  # of trees without a split


def _seed(rng: Generator) -> Numbers:
    return rng.integers(0, 2**31, size=2).astype(np.uint32)


def _labeled(rng: Generator, n: int, d: int) -> tuple[Numbers, ...]:
    return design(rng, n, d), labels(rng, n, K), rng.uniform(0.5, 2.0, size=n), _seed(rng)


def _repeated(rng: Generator) -> tuple[Numbers, ...]:
    return rng.standard_normal((REPEATS, ROWS)), _seed(rng)


def _grown(X: Array, y: Array, s: Array, seed: Array) -> forest.Params:
    key = jax.random.wrap_key_data(seed)
    how = {"n_estimators": TREES, "max_depth": DEPTH, "n_classes": K, "sample_weight": s}
    return forest.fit(X, y, key=key, max_features=2, **how).params


def _importances(X: Array, y: Array, s: Array, seed: Array) -> Array:
    return forest.feature_importances(_grown(X, y, s, seed))


def _recount(X: Array, y: Array, s: Array, seed: Array) -> Array:
    keys = jax.random.split(jax.random.wrap_key_data(seed), (TREES, 2))[:, 0]
    c = jnp.stack([_bootstrap.counts(key, s) for key in keys])
    trees = _grown(X, y, s, seed).trees
    return hand.importances(trees.feature, trees.threshold, s[None, :] * c, X, y, k=K)


def _mean_squares(Y: Array, seed: Array) -> list[Array]:
    """Of what the first trees of a forest without a split predict, over repeated targets."""
    X = jnp.zeros((ROWS, 1), Y.dtype)

    def one(y: Array, key: Array) -> list[Array]:
        params = forest.fit(X, y, key=key, n_estimators=max(SIZES), max_depth=0).params
        firsts = (jax.tree.map(lambda a, B=B: a[:B], params.trees) for B in SIZES)
        return [forest.predict(forest.Params(few, y), X[:1])[0] for few in firsts]

    keys = jax.random.split(jax.random.wrap_key_data(seed), len(Y))
    return [jnp.mean(f**2) for f in jax.vmap(one)(Y, keys)]


def _variances(Y: Array, seed: Array, *, correlated: float = 1.0) -> Expected:
    del seed
    mean: list[Any] = []
    for B in SIZES:
        v, rho = hand.of_means(ROWS, B)
        mean.append(jnp.asarray(hand.variance_of_mean(correlated * rho, v, B), Y.dtype))
    errors = [jnp.asarray(hand.standard_error(ROWS, B, REPEATS), Y.dtype) for B in SIZES]
    return Expected(mean, errors)


CASES = (
    Case("trees.forest/importances", ("gini",), "identity",
         _importances, _recount, Domain(_labeled, ((30, 4),)), ROUNDING,
         "Breiman et al. (1984), section 5.3; Hastie et al., ESL (2009), eq. (10.42)"),
    Case("trees.forest/variance", ("bagging",), "statistic",
         _mean_squares, _variances, Domain(_repeated), STANDARD_ERRORS,
         "Hastie et al., ESL (2009), eq. (15.1)",
         mutants=(partial(_variances, correlated=0.0), partial(_variances, correlated=1.8))),
)  # fmt: skip
