"""The squared error taken apart: identities, and the terms that a known design implies."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.analysis import bias_variance
from jaxml.closed_form.analysis import bias_variance as hand
from jaxml.linear import ridge
from jaxml.neighbors import knn
from jaxml.verify.case import ROUNDING, STANDARD_ERRORS, Case, Expected
from jaxml.verify.domains import Domain, Generator, Numbers

__all__ = ["CASES"]

TOPIC = ("bias-variance",)
GEMAN = "Geman, Bienenstock, Doursat (1992), section 3"
R, RESAMPLES = 300, 400
L2, K = 0.3, 4


def _curve(X: Numbers) -> Numbers:
    return np.sin(2 * X[:, 0]) + 0.3 * X[:, 0]


def _design(rng: Generator, n: int, m: int) -> tuple[Numbers, ...]:
    X, Z = rng.uniform(-2, 2, (n, 1)), rng.uniform(-2, 2, (m, 1))
    seed = np.asarray(rng.integers(2**31), np.uint32)
    return X, _curve(X), Z, _curve(Z), rng.uniform(0.1, 0.5), seed


def _predictions(rng: Generator, r: int, m: int) -> tuple[Numbers, Numbers]:
    return rng.standard_normal((r, m)) + rng.standard_normal(m), rng.standard_normal(m)


def _members(rng: Generator, r: int, b: int, m: int) -> tuple[Numbers]:
    return (rng.standard_normal(size=(r, b, m)) + rng.standard_normal(size=(r, 1, m)),)


FITS: dict[str, tuple[Callable, Callable, Callable]] = {
    "mean": (lambda X, y: y.mean(), lambda mean, Z: jnp.broadcast_to(mean, Z.shape[:1]),
             hand.mean_smoother),
    "ridge": (partial(ridge.fit, l2=L2), ridge.predict, partial(hand.ridge_smoother, l2=L2)),
    "knn": (lambda X, y: (X, y), lambda data, Z: knn.predict(data[0], data[1], Z, k=K),
            partial(hand.knn_smoother, k=K)),
}  # fmt: skip


def _measured(X: Array, f: Array, Z: Array, f_test: Array, noise: Array, seed: Array, *, kind: str):
    """The estimates of (bias2, variance, error)."""

    def draw(key: Array) -> tuple[Array, Array]:
        return X, f + jnp.sqrt(noise) * jax.random.normal(key, f.shape, f.dtype)

    fit, predict, _ = FITS[kind]
    found = bias_variance.decompose(
        fit, predict, draw, Z, f_test,
        key=jax.random.key(seed), n_datasets=R, noise_variance=noise,
    )  # fmt: skip
    return found.bias2.value, found.variance.value, found.error.value


def _implied(
    X: Array, f: Array, Z: Array, f_test: Array, noise: Array, seed: Array,
    *, kind: str, share: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Expected:  # fmt: skip
    S = FITS[kind][2](X, Z)
    means, errors = hand.estimates(S, f, f_test, noise_variance=noise, n_datasets=R)
    return Expected(tuple(c * mean for c, mean in zip(share, means, strict=True)), errors)


def _without_noise(*args: Any, kind: str) -> Expected:
    expected = _implied(*args, kind=kind)
    return expected._replace(mean=(*expected.mean[:2], expected.mean[2] - args[4]))


def _sum_of_terms(F: Array, f: Array) -> tuple[Array, Array]:
    found = bias_variance.measure(F, f)
    return found.bias2.value + found.variance.value, found.variance.value


def _error_of_pairs(F: Array, f: Array) -> tuple[Array, Array]:
    return ((F - f[None, :]) ** 2).mean(), hand.pairwise_variance(F)


def _resampled(y: Array, seed: Array) -> Array:
    X = jnp.zeros((y.size, 1), y.dtype)
    found = bias_variance.bootstrap(
        lambda X, y, sample_weight: (sample_weight * y).sum() / sample_weight.sum(),
        FITS["mean"][1], X, y, X[:1], y[:1], key=jax.random.key(seed), n_datasets=RESAMPLES,
    )  # fmt: skip
    return found.variance.value


def _resampled_by_hand(y: Array, seed: Array, *, share: float = 1.0) -> Expected:
    mean, error = hand.resampled_mean(y, n_datasets=RESAMPLES)
    return Expected(share * mean, error)


def _average(F: Array) -> tuple[Array, Array]:
    found = bias_variance.average(F)
    return found.correlation, found.measured


def _values(rng: Generator) -> tuple[Numbers, Numbers]:
    return rng.standard_normal(30) * 2.0 + 1.0, np.asarray(rng.integers(2**31), np.uint32)


CASES = (
    Case("analysis.bias_variance/error-is-bias2-plus-variance", TOPIC, "identity",
         _sum_of_terms, _error_of_pairs, Domain(_predictions, ((7, 5), (2, 1))), ROUNDING, GEMAN),
    *(Case(f"analysis.bias_variance/{kind}-on-a-known-design", TOPIC, "statistic",
           partial(_measured, kind=kind), partial(_implied, kind=kind),
           Domain(_design, ((24, 6),)), STANDARD_ERRORS, "ESL (2009), eq. (7.10)-(7.11)",
           mutants=(partial(_implied, kind=kind, share=(2.0, 1.0, 1.0)),
                    partial(_implied, kind=kind, share=(1.0, 2.0, 1.0)),
                    partial(_without_noise, kind=kind))) for kind in FITS),
    Case("analysis.bias_variance/resampled-mean", TOPIC, "statistic", _resampled,
         _resampled_by_hand, Domain(_values), STANDARD_ERRORS, "Efron (1979), section 2",
         mutants=(partial(_resampled_by_hand, share=2.0), partial(_resampled_by_hand, share=0.5))),
    Case("analysis.bias_variance/average-of-correlated-members", TOPIC, "identity", _average,
         hand.average_variance, Domain(_members, ((6, 4, 3), (2, 2, 1))), ROUNDING,
         "ESL (2009), eq. (15.1)"),
)  # fmt: skip
