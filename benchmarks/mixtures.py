"""Gaussian mixtures, from one given start each, and several restarts in one call.

Equal quality: the gain of the mean log-likelihood by one more step of EM in float64 NumPy, which is
the quantity that all sides stop on; restarts: how far L lies below that of the true parameters
after EM, or 0. Lower is better, and the judge shares no code with either side.
"""

import importlib
from typing import Any

import numpy as np

from benchmarks.kmeans import blobs
from benchmarks.peers import Given, PeerMissingError, sklearn
from benchmarks.problem import Contestant, Job, Problem

__all__ = ["JOBS", "em_step"]

Array = np.ndarray


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


def _mixture(fit: Any) -> tuple[Array, ...]:
    return tuple(np.asarray(leaf) for leaf in fit.params)


def _gmm_work(X: Array, k: int, starts: int) -> Any:
    n, d = X.shape
    # Whitening, and the second moments by symmetry.
    return lambda iterations: (X.nbytes, starts * iterations * 3.0 * n * k * d**2)


def gmm(rng: np.random.Generator, dtype: str, *, n: int, d: int, k: int, spread: float) -> Problem:
    """Full covariances; the start is k rows, with equal weights and the covariance of all rows."""
    from jaxml.latent import gmm

    X, _, _ = blobs(rng, dtype, n, d, k, spread)
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

    X, centers, labels = blobs(rng, dtype, n, d, k, spread)
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
    "latent.gmm": Job(gmm, _gmm_peer),
    "latent.gmm_restarts": Job(gmm_restarts, _gmm_peer),
}
