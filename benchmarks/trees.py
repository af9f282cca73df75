"""Trees and boosting: how far their test loss is above that of the labels' own probabilities.

    gap = J(p) / J(p*) - 1,    J the Brier score of a tree or the log loss of boosting

on rows not seen in the fit, in float64; p* = P(y = 1 | x) of the model that drew the labels.
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.peers import PeerMissingError, sklearn
from benchmarks.problem import Contestant, Job, Problem

__all__ = ["JOBS", "Data", "brier", "log_loss", "two_classes"]

Array = np.ndarray
TEST = 20_000  # rows that judge


class Data(NamedTuple):
    """Rows of two classes to fit, and rows that judge the fit."""

    X: Array
    y: Array
    X_test: Array
    y_test: Array
    p_test: Array  # P(y = 1 | x) by the model that drew y

    def gap(self, loss: Callable[[Array, Array], float]) -> Callable[[Array], float]:
        """The judge of probabilities of the test rows."""
        best = loss(self.p_test, self.y_test)
        return lambda p: float(loss(np.asarray(p, np.float64), self.y_test) / best - 1)


def brier(p: Array, y: Array) -> float:
    """Mean of (p - y)^2."""
    return float(np.mean((p - y) ** 2))


def log_loss(p: Array, y: Array) -> float:
    """Mean of -log of the probability that y got."""
    return float(-np.mean(np.log(np.where(y == 1, p, 1 - p))))


def two_classes(rng: np.random.Generator, dtype: str, n: int, d: int) -> Data:
    """Normal rows; log-odds from a product, a square, a sine and a step of the first features."""
    X = rng.standard_normal((n + TEST, d)).astype(dtype)
    x = X.astype(np.float64).T
    z = 2 * x[0] * x[1] + 1.5 * x[2] + np.sin(2 * x[3]) + 2 * (x[4] > 0.5) - 1
    p = 1 / (1 + np.exp(-2 * z))
    y = (rng.random(n + TEST) < p).astype(np.int32)
    return Data(X[:n], y[:n], X[n:], y[n:], p[n:])


def tree(rng: np.random.Generator, dtype: str, *, n: int, d: int, depth: int) -> Problem:
    """One tree by the Gini impurity."""
    from jaxml.trees import tree

    data = two_classes(rng, dtype, n, d)

    def work(_: int) -> tuple[float, float]:
        return data.X.nbytes + depth * n * d, 2.0 * depth * n * d

    return Problem(
        (data.X, data.y),
        lambda X, y, tol: tree.fit(X, y, criterion="gini", max_depth=depth, n_classes=2),
        {"data": data, "depth": depth}, data.gap(brier), work,
        lambda fit: (tree.predict_proba(fit.params, data.X_test)[:, 1],),
    )  # fmt: skip


def boosting(
    rng: np.random.Generator, dtype: str, *, n: int, d: int, rounds: int, depth: int
) -> Problem:
    """Boosting of the logistic loss at the default learning rate of 0.1 and penalty of 1."""
    from jaxml.trees import boosting

    data = two_classes(rng, dtype, n, d)

    def work(_: int) -> tuple[float, float]:
        return data.X.nbytes + rounds * depth * n * d, 2.0 * rounds * depth * n * d

    return Problem(
        (data.X, data.y),
        lambda X, y, tol: boosting.fit(X, y, n_estimators=rounds, max_depth=depth),
        {"data": data, "depth": depth, "rounds": rounds}, data.gap(log_loss), work,
        lambda fit: (boosting.predict_proba(fit.params, data.X_test),),
    )  # fmt: skip


def tree_peer(given: dict[str, Any], tol: float | None) -> Contestant:
    """DecisionTreeClassifier, which tries all thresholds."""
    kind, data = sklearn("tree").DecisionTreeClassifier, given["data"]
    model = {"max_depth": given["depth"], "random_state": 0}
    return lambda: kind(**model).fit(data.X, data.y), _probabilities(data)


def _probabilities(data: Data) -> Callable[[Any], tuple[Array]]:
    return lambda model: (model.predict_proba(data.X_test)[:, 1],)


def boosting_peer(
    given: dict[str, Any], tol: float | None, *, library: str, n_jobs: int = 2, device: str = "cpu"
) -> Contestant:
    """XGBoost's or LightGBM's histograms, or scikit-learn's, at the same settings."""
    data, depth, rounds = given["data"], given["depth"], given["rounds"]
    rate = {"learning_rate": 0.1}
    if library == "sklearn":
        kind = sklearn("ensemble").HistGradientBoostingClassifier
        model = {
            "max_iter": rounds, "max_depth": depth, "max_leaf_nodes": None, "min_samples_leaf": 1,
            "l2_regularization": 1.0, "early_stopping": False, **rate,
        }  # fmt: skip
    else:
        try:
            module = importlib.import_module(library)
        except ImportError as error:
            raise PeerMissingError(f"{library} is not installed: pip install '.[bench]'") from error
        common = {"n_estimators": rounds, "max_depth": depth, "n_jobs": n_jobs, "reg_lambda": 1.0}
        if library == "xgboost":
            kind = module.XGBClassifier
            model = {"device": device, "min_child_weight": 0, **common, **rate}
        else:  # leaf-wise: as many leaves as a full tree has
            kind = module.LGBMClassifier
            model = {
                "num_leaves": 2**depth,
                "min_child_samples": 1,
                "verbose": -1,
                **common,
                **rate,
            }
    return lambda: kind(**model).fit(data.X, data.y), _probabilities(data)


JOBS = {"trees.tree": Job(tree, tree_peer), "trees.boosting": Job(boosting, boosting_peer)}
