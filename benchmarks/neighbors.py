"""Nearest neighbors: exact search of all rows, against scikit-learn's exact searches."""

from typing import Any

import numpy as np

from benchmarks.peers import Given, sklearn
from benchmarks.problem import Job, Problem

__all__ = ["JOBS"]

JUDGED = 500  # queries whose neighbors are found in float64 by all distances


def search(rng: np.random.Generator, dtype: str, *, n: int, d: int, k: int) -> Problem:
    """Normal rows, each searched among all, itself included.

    The gap is the largest relative excess of a returned neighbor's true distance over that of the
    true neighbor of its rank, over 500 queries: 0 if all indices are equal.
    """
    from jaxml.neighbors import knn

    X = rng.standard_normal((n, d)).astype(dtype)
    queries = np.sort(rng.permutation(n)[:JUDGED])
    true = np.empty((len(queries), n))
    Z = X.astype(np.float64)
    for at, i in enumerate(queries):
        true[at] = np.sqrt(((Z - Z[i]) ** 2).sum(axis=1))
    best = np.sort(true, axis=1)[:, :k]

    def fit(X: Any, tol: float | None) -> Any:
        return knn.search(X, X, k=k)

    def gap(distances: np.ndarray, index: np.ndarray) -> float:
        index = np.asarray(index)[queries]
        if any(len(set(row)) < k for row in index):
            return np.inf
        found = np.take_along_axis(true, index, axis=1)
        told = np.abs(np.asarray(distances, np.float64)[queries] - found) / best[:, 1:2]
        excess = (found - best) / np.maximum(best, best[:, 1:2])
        return float(max(excess.max(), told.max()))

    def work(_: int) -> tuple[float, float]:
        return 2 * X.nbytes, 2.0 * n * n * d

    return Problem((X,), fit, {"X": X, "k": k}, gap, work, read=tuple)


def sklearn_search(
    given: Given, tol: float | None, *, algorithm: str, n_jobs: int = -1
) -> tuple[Any, Any]:
    """NearestNeighbors; the fit, which builds a tree, is part of the job."""
    X = given["X"]
    kind = sklearn("neighbors").NearestNeighbors
    del tol
    model = {"n_neighbors": given["k"], "algorithm": algorithm, "n_jobs": n_jobs}
    return lambda: kind(**model).fit(X).kneighbors(X), tuple


JOBS = {"neighbors.knn": Job(search, sklearn_search)}
