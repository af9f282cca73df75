"""Principal components: what a subspace captures, judged in float64 NumPy.

    gap(V) = 1 - tr(V S V') / sum_(i <= k) lambda_i     after V is made orthonormal by QR

S is the float64 covariance of the rows as drawn, and lambda its eigenvalues: 0 for the leading
subspace, whatever basis of it a side returns. A peer's ladder ``tol`` is its iterated_power, so
that both sides do the least work that reaches the same gap.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers import sklearn
from benchmarks.problem import Contestant, Job, Problem

__all__ = ["JOBS", "Captured"]


class Captured:
    """The variance captured by a subspace, relative to the best."""

    def __init__(self, X: np.ndarray, k: int):
        A = X.astype(np.float64)
        A -= A.mean(axis=0)
        self.S = A.T @ A / (len(A) - 1)
        self.best = float(np.linalg.eigvalsh(self.S)[::-1][:k].sum())

    def gap(self, components: np.ndarray) -> float:
        """Return the part of the best variance that V misses."""
        Q = np.linalg.qr(np.asarray(components, np.float64).T)[0]
        return max(0.0, 1.0 - float(np.trace(Q.T @ self.S @ Q)) / self.best)


def _problem(
    X: np.ndarray, k: int, fit: Callable[..., Any], work: Callable[[int], tuple[float, float]]
) -> Problem:
    def read(found: Any) -> tuple[np.ndarray]:
        return (np.asarray(found.params.components),)

    return Problem((X,), fit, {"X": X, "k": k}, Captured(X, k).gap, work, read)


def covariance(rng: np.random.Generator, dtype: str, *, n: int, d: int, k: int) -> Problem:
    """Independent columns of standard deviations from 2 down to 1/2, off center, turned."""
    from jaxml.latent import pca

    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    X = (rng.standard_normal((n, d)) * np.geomspace(2.0, 0.5, d) @ turn + 1.0).astype(dtype)

    def work(_: int) -> tuple[float, float]:
        return X.nbytes, n * d**2 + 9 * d**3

    return _problem(X, k, lambda X, tol: pca.fit(X, n_components=k, method="covariance"), work)


def randomized(
    rng: np.random.Generator, dtype: str, *, n: int, d: int, k: int, decay: float
) -> Problem:
    """Columns of standard deviations j^-decay, turned."""
    import jax

    from jaxml.latent import pca

    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    X = (rng.standard_normal((n, d)) * np.arange(1.0, d + 1) ** -decay @ turn + 1.0).astype(dtype)
    key = jax.random.key(0)

    def fit(X: Any, tol: float | None) -> Any:
        return pca.fit(X, n_components=k, method="randomized", key=key, tol=tol)

    def work(_: int) -> tuple[float, float]:
        return X.nbytes, 8 * n * d * k  # two rounds of S V

    return _problem(X, k, fit, work)


def peer(given: dict[str, Any], tol: float | None, *, solver: str) -> Contestant:
    """PCA; a tolerance is the number of power iterations of the randomized solver."""
    kind = sklearn("decomposition").PCA
    X, options = given["X"], {"n_components": given["k"], "svd_solver": solver}
    if solver == "randomized":
        options |= {"random_state": 0} | ({} if tol is None else {"iterated_power": int(tol)})
    return lambda: kind(**options).fit(X), lambda found: (found.components_,)


JOBS = {
    "latent.pca": Job(covariance, peer),
    "latent.pca_randomized": Job(randomized, peer),
}
