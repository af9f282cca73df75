"""Naive Bayes: how far the likelihood of the estimates is from that of float64 NumPy's.

    gap = |J - J*| / |J*|,    J = 1/n sum_i log p(y_i, x_i)

J is evaluated in float64 at the parameters that a side returns, J* at estimates made in float64.
"""

from typing import Any

import numpy as np

from benchmarks.peers import sklearn
from benchmarks.problem import Contestant, Job, Problem

__all__ = ["JOBS", "gaussian_likelihood", "multinomial_likelihood"]

Array = np.ndarray
SMOOTHING, ALPHA = 1e-9, 1.0  # the defaults of both sides


def gaussian_likelihood(X: Array, y: Array, prior: Array, mean: Array, variance: Array) -> float:
    """J of class priors, means and variances, class by class."""
    X, total = X.astype(np.float64), 0.0
    for c in range(len(prior)):
        z = (X[y == c] - mean[c]) ** 2 / variance[c] + np.log(2 * np.pi * variance[c])
        total += (np.log(prior[c]) - 0.5 * z.sum(axis=1)).sum()
    return total / len(X)


def multinomial_likelihood(X: Array, y: Array, prior: Array, probability: Array) -> float:
    """J of class priors and probabilities, without the multinomial coefficient."""
    X, total = X.astype(np.float64), 0.0
    for c in range(len(prior)):
        total += (np.log(prior[c]) + X[y == c] @ np.log(probability[c])).sum()
    return total / len(X)


def _labels(rng: np.random.Generator, n: int, k: int) -> Array:
    return rng.integers(0, k, n).astype(np.int32)


def gaussian(rng: np.random.Generator, dtype: str, *, n: int, d: int, k: int) -> Problem:
    """Normal columns of unit variance about class means of unit variance."""
    from jaxml.bayes import gaussian

    y = _labels(rng, n, k)
    X = (rng.standard_normal((n, d)) + rng.standard_normal((k, d))[y]).astype(dtype)
    exact, members = X.astype(np.float64), [y == c for c in range(k)]
    best = gaussian_likelihood(
        X, y, np.array([m.mean() for m in members]),
        np.array([exact[m].mean(axis=0) for m in members]),
        np.array([exact[m].var(axis=0) for m in members]) + SMOOTHING * exact.var(axis=0).max(),
    )  # fmt: skip

    def gap(*leaves: Array) -> float:
        found = gaussian_likelihood(X, y, *(np.asarray(leaf, np.float64) for leaf in leaves))
        return float(abs(found - best) / abs(best))

    def work(_: int) -> tuple[float, float]:
        return 2 * X.nbytes + y.nbytes, 5 * X.size  # two passes

    return Problem(
        (X, y), lambda X, y, tol: gaussian.fit(X, y, n_classes=k), {"X": X, "y": y}, gap, work,
        lambda fit: tuple(np.asarray(leaf) for leaf in fit.params),
    )  # fmt: skip


def multinomial(rng: np.random.Generator, dtype: str, *, n: int, d: int, k: int) -> Problem:
    """Poisson counts of mean about 1."""
    from jaxml.bayes import multinomial

    y = _labels(rng, n, k)
    X = rng.poisson(rng.uniform(0.2, 2.0, size=(k, d))[y]).astype(dtype)
    T = np.array([X[y == c].sum(axis=0, dtype=np.float64) for c in range(k)]) + ALPHA
    prior = np.bincount(y, minlength=k) / n
    best = multinomial_likelihood(X, y, prior, T / T.sum(axis=1, keepdims=True))

    def gap(*leaves: Array) -> float:
        found = multinomial_likelihood(X, y, *(np.asarray(leaf, np.float64) for leaf in leaves))
        return float(abs(found - best) / abs(best))

    def work(_: int) -> tuple[float, float]:
        return X.nbytes + y.nbytes, X.size

    return Problem(
        (X, y), lambda X, y, tol: multinomial.fit(X, y, n_classes=k), {"X": X, "y": y}, gap, work,
        lambda fit: tuple(np.asarray(leaf) for leaf in fit.params),
    )  # fmt: skip


def gaussian_peer(given: dict[str, Any], tol: float | None) -> Contestant:
    """GaussianNB."""
    kind = sklearn("naive_bayes").GaussianNB
    return lambda: kind(var_smoothing=SMOOTHING).fit(given["X"], given["y"]), (
        lambda found: (found.class_prior_, found.theta_, found.var_)
    )


def multinomial_peer(given: dict[str, Any], tol: float | None) -> Contestant:
    """MultinomialNB."""
    kind = sklearn("naive_bayes").MultinomialNB
    return lambda: kind(alpha=ALPHA).fit(given["X"], given["y"]), (
        lambda found: (np.exp(found.class_log_prior_), np.exp(found.feature_log_prob_))
    )


JOBS = {
    "bayes.gaussian": Job(gaussian, gaussian_peer),
    "bayes.multinomial": Job(multinomial, multinomial_peer),
}
