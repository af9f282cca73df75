"""k-means, from one given start each, and several restarts in one call.

Equal quality: (J - J*) / J* with J* from Lloyd's algorithm in float64 NumPy, run from the same
start until no label changes (restarts: from the centers that the data were drawn about). Lower is
better, and the judge shares no code with either side.
"""

from typing import Any

import numpy as np

from benchmarks.peers import Given, sklearn
from benchmarks.problem import Contestant, Job, Problem

__all__ = ["JOBS", "blobs", "distortion", "lloyd"]

Array = np.ndarray
CHUNK = 20_000  # rows at a time, for the judge


def _labels(X: Array, C: Array) -> Array:
    cut = (X[i : i + CHUNK] for i in range(0, len(X), CHUNK))
    return np.concatenate([((C**2).sum(1) - 2 * A @ C.T).argmin(1) for A in cut])


def distortion(X: Array, C: Array) -> float:
    """J by differences, in float64."""
    X, C = np.asarray(X, np.float64), np.asarray(C, np.float64)
    return float(((X - C[_labels(X, C)]) ** 2).sum())


def lloyd(X: Array, C: Array) -> Array:
    """Lloyd's algorithm until no label changes, in float64."""
    X, C = np.asarray(X, np.float64), np.asarray(C, np.float64)
    labels = None
    while True:
        before, labels = labels, _labels(X, C)
        if before is not None and (labels == before).all():
            return C
        sums = [np.bincount(labels, column, len(C)) for column in X.T]
        C = (np.array(sums) / np.bincount(labels, minlength=len(C))).T


def blobs(
    rng: np.random.Generator, dtype: str, n: int, d: int, k: int, spread: float
) -> tuple[Array, Array, Array]:
    """Rows about k normal centers of that spread, unit noise, some of it shared by the columns."""
    centers = spread * rng.standard_normal((k, d))
    labels = rng.integers(k, size=n)
    noise = rng.standard_normal((n, d)) @ (np.eye(d) + 0.3 * rng.standard_normal((d, d)) / d**0.5)
    return (centers[labels] + noise).astype(dtype), centers, labels


def _centroids(fit: Any) -> tuple[Array]:
    return (np.asarray(fit.params.centroids),)


def _problem(
    arrays: tuple[Array, ...], fit: Any, given: Given, best: Array, starts: int
) -> Problem:
    X, k = arrays[0], len(best)
    least = distortion(X, best)

    def gap(C: Array) -> float:
        return max(0.0, distortion(X, C) / least - 1.0)

    def work(iterations: int) -> tuple[float, float]:
        # Distances to k centroids, and one addition per number for the means.
        return X.nbytes, starts * iterations * (2 * k + 1) * X.size

    return Problem(arrays, fit, given, gap, work, _centroids)


def kmeans(
    rng: np.random.Generator, dtype: str, *, n: int, d: int, k: int, spread: float
) -> Problem:
    """Overlapping clusters; the start is k of the rows."""
    from jaxml.latent import kmeans

    X, _, _ = blobs(rng, dtype, n, d, k, spread)
    C = X[rng.choice(n, k, replace=False)]

    def fit(X: Any, C: Any, tol: Any) -> Any:
        return kmeans.fit(X, n_clusters=k, init=kmeans.Params(C), tol=tol, max_iter=1000)

    return _problem((X, C), fit, {"X": X, "init": C}, lloyd(X, C), 1)


def kmeans_restarts(
    rng: np.random.Generator, dtype: str, *, n: int, d: int, k: int, spread: float, starts: int
) -> Problem:
    """The best of several fits, each from a k-means++ start of its own."""
    import jax

    from jaxml.latent import kmeans

    X, centers, _ = blobs(rng, dtype, n, d, k, spread)

    def fit(X: Any, tol: Any) -> Any:
        key = jax.random.key(0)
        return kmeans.fit(X, n_clusters=k, key=key, n_init=starts, tol=tol)

    given = {"X": X, "k": k, "starts": starts}
    return _problem((X,), fit, given, lloyd(X, centers), starts)


def _peer(given: Given, tol: float | None, *, algorithm: str) -> Contestant:
    """scikit-learn's KMeans."""
    X, cluster = given["X"], sklearn("cluster")
    start = {"init": given["init"], "n_init": 1, "n_clusters": len(given["init"])} if (
        "init" in given
    ) else {"n_clusters": given["k"], "n_init": given["starts"], "random_state": 0}  # fmt: skip
    model = cluster.KMeans(algorithm=algorithm, tol=tol, max_iter=1000, **start)
    return lambda: model.fit(X), lambda out: (out.cluster_centers_,)


JOBS = {
    "latent.kmeans": Job(kmeans, _peer),
    "latent.kmeans_restarts": Job(kmeans_restarts, _peer),
}
