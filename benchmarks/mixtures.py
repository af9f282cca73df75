"""k-means and Gaussian mixtures, from one given start each, and ten restarts in one call.

Equal quality. k-means: (J - J*) / J* with J* from Lloyd's algorithm in float64 NumPy, run from the
same start until no label changes (restarts: from the centers that the data were drawn about).
Mixtures: the gain of the mean log-likelihood by one more step of EM in float64 NumPy, which is the
quantity that all sides stop on; restarts: how far L lies below that of the true parameters after
EM, or 0. Lower is better, and the judges share no code with either side.
"""

import importlib
from typing import Any

import numpy as np

from benchmarks.peers import Given, PeerMissingError, sklearn
from benchmarks.problem import Contestant, Job, Problem

__all__ = ["JOBS", "distortion", "em_step", "lloyd"]

Array = np.ndarray
CHUNK = 20_000  # rows at a time, for the judges


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


def em_step(X: Array, pi: Array, mu: Array, S: Array) -> tuple[float, tuple[Array, Array, Array]]:
    """L at full covariances S, and the parameters after one step of EM, in float64."""
    X, pi, mu, S = (np.asarray(a, np.float64) for a in (X, pi, mu, S))
    d = X.shape[1]
    logs = []
    for w, m, C in zip(pi, mu, S, strict=True):
        L = np.linalg.cholesky(C)
        y = np.linalg.solve(L, (X - m).T)
        constant = np.log(w) - 0.5 * d * np.log(2 * np.pi) - np.log(np.diag(L)).sum()
        logs.append(constant - 0.5 * (y**2).sum(0))
    top = np.max(logs, axis=0)
    p = np.exp(logs - top)
    L, r = float(np.mean(np.log(p.sum(0)) + top)), p / p.sum(0)
    N = r.sum(1)
    new = (r @ X) / N[:, None]
    Z = [X - m for m in new]
    return L, (
        N / N.sum(),
        new,
        np.array([(q * z.T) @ z / q.sum() for q, z in zip(r, Z, strict=True)]),
    )


def _blobs(
    rng: np.random.Generator, dtype: str, n: int, d: int, k: int, spread: float
) -> tuple[Array, Array, Array]:
    """Rows about k normal centers of that spread, unit noise, some of it shared by the columns."""
    centers = spread * rng.standard_normal((k, d))
    labels = rng.integers(k, size=n)
    noise = rng.standard_normal((n, d)) @ (np.eye(d) + 0.3 * rng.standard_normal((d, d)) / d**0.5)
    return (centers[labels] + noise).astype(dtype), centers, labels


def _centroids(fit: Any) -> tuple[Array]:
    return (np.asarray(fit.params.centroids),)


def _mixture(fit: Any) -> tuple[Array, ...]:
    return tuple(np.asarray(leaf) for leaf in fit.params)


def _kmeans_problem(
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

    X, _, _ = _blobs(rng, dtype, n, d, k, spread)
    C = X[rng.choice(n, k, replace=False)]

    def fit(X: Any, C: Any, tol: Any) -> Any:
        return kmeans.fit(X, n_clusters=k, init=kmeans.Params(C), tol=tol, max_iter=1000)

    return _kmeans_problem((X, C), fit, {"X": X, "init": C}, lloyd(X, C), 1)


def kmeans_restarts(
    rng: np.random.Generator, dtype: str, *, n: int, d: int, k: int, spread: float, starts: int
) -> Problem:
    """The best of several fits, each from a k-means++ start of its own."""
    import jax

    from jaxml.latent import kmeans

    X, centers, _ = _blobs(rng, dtype, n, d, k, spread)

    def fit(X: Any, tol: Any) -> Any:
        key = jax.random.key(0)
        return kmeans.fit(X, n_clusters=k, key=key, n_init=starts, tol=tol)

    given = {"X": X, "k": k, "starts": starts}
    return _kmeans_problem((X,), fit, given, lloyd(X, centers), starts)


def _kmeans_peer(given: Given, tol: float | None, *, algorithm: str) -> Contestant:
    """scikit-learn's KMeans."""
    X, cluster = given["X"], sklearn("cluster")
    start = {"init": given["init"], "n_init": 1, "n_clusters": len(given["init"])} if (
        "init" in given
    ) else {"n_clusters": given["k"], "n_init": given["starts"], "random_state": 0}  # fmt: skip
    model = cluster.KMeans(algorithm=algorithm, tol=tol, max_iter=1000, **start)
    return lambda: model.fit(X), lambda out: (out.cluster_centers_,)


def _gmm_work(X: Array, k: int, starts: int) -> Any:
    n, d = X.shape
    # Whitening, and the second moments by symmetry.
    return lambda iterations: (X.nbytes, starts * iterations * 3.0 * n * k * d**2)


def gmm(rng: np.random.Generator, dtype: str, *, n: int, d: int, k: int, spread: float) -> Problem:
    """Full covariances; the start is k rows, with equal weights and the covariance of all rows."""
    from jaxml.latent import gmm

    X, _, _ = _blobs(rng, dtype, n, d, k, spread)
    S = np.cov(X.astype(np.float64).T).astype(dtype)
    start = np.full(k, 1.0 / k, dtype), X[rng.choice(n, k, replace=False)], np.stack([S] * k)

    def fit(X: Any, pi: Any, mu: Any, S: Any, tol: Any) -> Any:
        init = gmm.Params(pi, mu, S)
        return gmm.fit(X, n_components=k, init=init, tol=tol, max_iter=1000)

    def gap(pi: Array, mu: Array, S: Array) -> float:
        L, new = em_step(X, pi, mu, S)
        return abs(em_step(X, *new)[0] - L)

    return Problem((X, *start), fit, {"X": X, "start": start}, gap, _gmm_work(X, k, 1), _mixture)


def gmm_restarts(
    rng: np.random.Generator, dtype: str, *, n: int, d: int, k: int, spread: float, starts: int
) -> Problem:
    """The best of several mixtures of full covariances, each from a k-means start of its own."""
    import jax

    from jaxml.latent import gmm

    X, centers, labels = _blobs(rng, dtype, n, d, k, spread)
    groups = [X[labels == j].astype(np.float64) for j in range(k)]
    params = np.bincount(labels) / n, centers, np.array([np.cov(g.T) for g in groups])
    best = -np.inf
    for _ in range(30):
        best, params = em_step(X, *params)

    def fit(X: Any, tol: Any) -> Any:
        return gmm.fit(X, n_components=k, key=jax.random.key(0), n_init=starts, tol=tol)

    given = {"X": X, "k": k, "starts": starts}

    def gap(pi: Array, mu: Array, S: Array) -> float:
        return max(0.0, best - em_step(X, pi, mu, S)[0])

    return Problem((X,), fit, given, gap, _gmm_work(X, k, starts), _mixture)


def _gmm_peer(given: Given, tol: float | None, *, library: str = "sklearn") -> Contestant:
    """scikit-learn's GaussianMixture, or gmmx, a mixture library for JAX."""
    if library == "gmmx":
        return _gmmx(given, tol)
    X, mixture = given["X"], sklearn("mixture")
    if "start" in given:
        pi, mu, S = given["start"]
        inverse = np.linalg.inv(S.astype(np.float64)).astype(S.dtype)
        start = {"weights_init": pi, "means_init": mu, "precisions_init": inverse}
        start["n_components"] = len(pi)
    else:
        start = {"n_components": given["k"], "n_init": given["starts"], "random_state": 0}
    model = mixture.GaussianMixture(tol=tol, max_iter=1000, **start)

    def read(out: Any) -> tuple[Array, ...]:
        return out.weights_, out.means_, out.covariances_

    return lambda: model.fit(X), read


def _gmmx(given: Given, tol: float | None) -> Contestant:
    try:
        library = importlib.import_module("gmmx")
    except ImportError as error:
        raise PeerMissingError("gmmx is not installed: pip install gmmx") from error
    import jax.numpy as jnp

    X = jnp.asarray(given["X"])
    if X.dtype != jnp.float32:
        raise PeerMissingError(f"gmmx computes in float32 alone: got {X.dtype}")
    pi, mu, S = map(jnp.asarray, given["start"])
    k, d = mu.shape
    make = library.GaussianMixtureModelJax.from_squeezed
    start = make(means=mu, covariances=S, weights=pi)
    fitter = library.EMFitter(tol=tol, max_iter=1000)

    def read(out: Any) -> tuple[Array, ...]:
        found = out.gmm
        shaped = (found.weights, (k,)), (found.means, (k, d)), (found.covariances.values, (k, d, d))
        return tuple(np.asarray(leaf).reshape(shape) for leaf, shape in shaped)

    return lambda: fitter.fit(x=X, gmm=start), read


JOBS = {
    "latent.kmeans": Job(kmeans, _kmeans_peer),
    "latent.kmeans_restarts": Job(kmeans_restarts, _kmeans_peer),
    "latent.gmm": Job(gmm, _gmm_peer),
    "latent.gmm_restarts": Job(gmm_restarts, _gmm_peer),
}
