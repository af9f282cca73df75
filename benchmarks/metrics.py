"""Metrics of a million rows: each is a number, so the gap is its distance from the exact one.

    gap = |value - exact| / |exact|, the largest over the entries

Exact values are counted or summed in float64 (integers where they are counts) by NumPy alone. Both
sides get the same labels and scores, of one dtype, and check them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers import sklearn
from benchmarks.problem import Contestant, Job, Problem

__all__ = ["JOBS", "exact_auc", "exact_confusion", "exact_f1", "exact_log_loss"]

Array = np.ndarray


def exact_auc(y: Array, z: Array) -> float:
    """Pairs counted in Python's integers, by distinct score, ties half."""
    values, rank = np.unique(z, return_inverse=True)
    pos, neg = (np.bincount(rank[y == c], minlength=len(values)) for c in (1, 0))
    twice = int((pos * (2 * (np.cumsum(neg) - neg) + neg)).sum())  # < 2^63 below 2 10^9 rows
    return twice / (2 * int(pos.sum()) * int(neg.sum()))


def exact_log_loss(y: Array, p: Array) -> float:
    """Minus the mean of the logarithm of what happened, in float64, p clipped at its own eps."""
    eps = np.finfo(p.dtype).eps
    q = np.clip(p.astype(np.float64), eps, 1 - eps)
    return float(-np.where(y == 1, np.log(q), np.log1p(-q)).mean())


def exact_confusion(y: Array, p: Array, k: int) -> Array:
    """How often each pair of labels occurs."""
    return np.bincount(k * y.astype(np.int64) + p, minlength=k * k).reshape(k, k).astype(float)


def exact_f1(y: Array, p: Array, k: int) -> float:
    """F1 of class 1 of two classes, the mean over the classes of more."""
    C = exact_confusion(y, p, k)
    f1 = 2 * np.diagonal(C) / (C.sum(axis=0) + C.sum(axis=1))
    return float(f1[1] if k == 2 else f1.mean())


def _problem(
    arrays: tuple[Array, ...], metric: Callable[..., Any], exact: Any, given: dict[str, Any]
) -> Problem:
    def gap(value: Array) -> float:
        return float(np.max(np.abs(np.asarray(value, np.float64) - exact) / np.abs(exact)))

    def work(_: int) -> tuple[float, float]:
        return float(sum(a.nbytes for a in arrays)), float(arrays[0].size)

    return Problem(
        arrays, lambda y, p, tol: metric(y, p), {"y": arrays[0], "p": arrays[1], **given}, gap,
        work, lambda value: (np.asarray(value),),
    )  # fmt: skip


def _scored(rng: np.random.Generator, dtype: str, n: int) -> tuple[Array, Array]:
    """Three in ten rows are positive, and score one standard deviation higher."""
    y = (rng.random(n) < 0.3).astype(np.int32)
    return y, (rng.standard_normal(n) + y).astype(dtype)


def _predicted(rng: np.random.Generator, n: int, k: int) -> tuple[Array, Array]:
    """Labels of equal shares, six in ten told, the others guessed."""
    y = rng.integers(0, k, n)
    p = np.where(rng.random(n) < 0.6, y, rng.integers(0, k, n))
    return y.astype(np.int32), p.astype(np.int32)


def roc_auc(rng: np.random.Generator, dtype: str, *, n: int) -> Problem:
    """The area under the ROC curve of normal scores."""
    from jaxml import metrics

    y, z = _scored(rng, dtype, n)
    return _problem((y, z), metrics.roc_auc, exact_auc(y, z), {"name": "roc_auc_score"})


def log_loss(rng: np.random.Generator, dtype: str, *, n: int) -> Problem:
    """The log loss of the logistic function of normal scores."""
    from jaxml import metrics

    y, z = _scored(rng, dtype, n)
    p = (1 / (1 + np.exp(-z))).astype(dtype)
    return _problem((y, p), metrics.log_loss, exact_log_loss(y, p), {"name": "log_loss"})


def f1(rng: np.random.Generator, dtype: str, *, n: int, k: int) -> Problem:
    """F1 of the second of two classes, or its mean over more of them."""
    from jaxml import metrics

    y, p = _predicted(rng, n, k)
    average = "binary" if k == 2 else "macro"

    def metric(y: Any, p: Any) -> Any:
        return metrics.f1(y, p, n_classes=k, average=average)

    del dtype  # of labels: only the number that comes out has one
    return _problem((y, p), metric, exact_f1(y, p, k), {"name": "f1_score", "average": average})


def confusion_matrix(rng: np.random.Generator, dtype: str, *, n: int, k: int) -> Problem:
    """Counts of all pairs of labels."""
    from jaxml import metrics

    y, p = _predicted(rng, n, k)

    def metric(y: Any, p: Any) -> Any:
        return metrics.confusion_matrix(y, p, n_classes=k)

    del dtype
    return _problem((y, p), metric, exact_confusion(y, p, k), {"name": "confusion_matrix"})


def peer(given: dict[str, Any], tol: float | None) -> Contestant:
    """scikit-learn's function of the same name."""
    del tol
    metric = getattr(sklearn("metrics"), given["name"])
    options = {"average": given["average"]} if "average" in given else {}
    y, p = given["y"], given["p"]
    return lambda: metric(y, p, **options), lambda value: (np.asarray(value),)


JOBS = {
    "metrics.roc_auc": Job(roc_auc, peer),
    "metrics.log_loss": Job(log_loss, peer),
    "metrics.f1": Job(f1, peer),
    "metrics.confusion_matrix": Job(confusion_matrix, peer),
}
