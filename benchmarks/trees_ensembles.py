"""Forests and AdaBoost on a rule with interactions, beside scikit-learn's ensembles.

    gap = e - e*,    e the share of wrong labels among rows held out

e* is that of the rule which drew the labels, the best there is. Both sides are judged by the labels
they predict, which is not part of the time.
"""

from typing import Any

import numpy as np

from benchmarks.peers import Given, sklearn
from benchmarks.problem import Contestant, Job, Problem

__all__ = ["JOBS", "rule"]

Array = np.ndarray
HELD_OUT = 20_000


def rule(X: Array) -> Array:
    """P(y = 1 | x) > 1/2 where this is positive: three additive terms, an interaction, noise."""
    return X[:, 0] * X[:, 1] + X[:, 2] + np.sin(2 * X[:, 3]) + 0.5 * X[:, 4] ** 2 - 0.5


def _problem(rng: np.random.Generator, dtype: str, n: int, d: int, fit: Any, verbs: Any,
             given: Given, work: Any) -> Problem:  # fmt: skip
    X = rng.standard_normal((n + HELD_OUT, d)).astype(dtype)
    score = rule(X.astype(np.float64))
    y = (score + rng.standard_normal(len(X)) > 0).astype(np.int32)
    test, labels = X[n:], y[n:]
    least = float(((score[n:] > 0) != labels).mean())

    def gap(predicted: Array) -> float:
        return float((np.asarray(predicted) != labels).mean()) - least

    def read(found: Any) -> tuple[Array]:
        return (np.asarray(verbs.predict(found.params, test)),)

    given = {"X": X[:n], "y": y[:n], "test": test, **given}
    return Problem((X[:n], y[:n]), fit, given, gap, work, read)


def forest(
    rng: np.random.Generator, dtype: str, *, n: int, d: int, trees: int, depth: int
) -> Problem:
    """Bootstrapped trees whose nodes look at sqrt(d) features."""
    import jax

    from jaxml.trees import forest

    def fit(X: Any, y: Any, tol: float | None) -> Any:
        key = jax.random.key(0)
        return forest.fit(X, y, key=key, n_classes=2, n_estimators=trees, max_depth=depth)

    def work(_: int) -> tuple[float, float]:
        # A code of one byte and three sums for each row, level and feature looked at.
        looks = trees * depth * n * int(d**0.5)
        return looks, 3.0 * looks

    return _problem(rng, dtype, n, d, fit, forest, {"trees": trees, "depth": depth}, work)


def adaboost(rng: np.random.Generator, dtype: str, *, n: int, d: int, stumps: int) -> Problem:
    """AdaBoost of stumps."""
    from jaxml.trees import adaboost

    def fit(X: Any, y: Any, tol: float | None) -> Any:
        return adaboost.fit(X, y, n_classes=2, n_estimators=stumps)

    def work(_: int) -> tuple[float, float]:
        return float(stumps * n * d), 3.0 * stumps * n * d

    return _problem(rng, dtype, n, d, fit, adaboost, {"stumps": stumps}, work)


def _labels(given: Given) -> Any:
    return lambda model: (model.predict(given["test"]),)


def forest_peer(given: Given, tol: float | None, *, n_jobs: int = 1) -> Contestant:
    """RandomForestClassifier."""
    kind = sklearn("ensemble").RandomForestClassifier
    model = {"n_estimators": given["trees"], "max_depth": given["depth"], "random_state": 0}
    return lambda: kind(**model, n_jobs=n_jobs).fit(given["X"], given["y"]), _labels(given)


def adaboost_peer(given: Given, tol: float | None) -> Contestant:
    """AdaBoostClassifier of stumps, which has no jobs to share."""
    kind = sklearn("ensemble").AdaBoostClassifier
    model = {"n_estimators": given["stumps"], "random_state": 0}
    return lambda: kind(**model).fit(given["X"], given["y"]), _labels(given)


JOBS = {
    "trees.forest": Job(forest, forest_peer),
    "trees.adaboost": Job(adaboost, adaboost_peer),
}
