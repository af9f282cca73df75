"""t-SNE: the whole fit, affinities included, against scikit-learn and openTSNE.

All sides get the same first embedding, perplexity, exaggeration and number of steps; those that
stop by themselves may. The gap is (KL - divergence) / divergence, KL(P||Q) by all pairs in float64
and divergence what the row asks for: no minimum is known, so that it may be below 0.
"""

import importlib
from typing import Any

import numpy as np

from benchmarks.peers import Given, PeerMissingError, sklearn
from benchmarks.problem import Job, Problem

__all__ = ["JOBS"]


def _affinities(X: np.ndarray, perplexity: float) -> np.ndarray:
    """P of all pairs in float64 NumPy, by bisection."""
    X = X.astype(np.float64)
    n, squares = len(X), (X**2).sum(axis=1)
    D = np.maximum(squares[:, None] + squares[None, :] - 2 * X @ X.T, 0.0)
    np.fill_diagonal(D, np.inf)
    D -= D.min(axis=1)[:, None]
    low, high, C = np.full(n, -40.0), np.full(n, 20.0), D
    for _ in range(60):
        t = (low + high) / 2
        C = np.exp(-np.exp(t)[:, None] * D)
        C /= C.sum(axis=1)[:, None]
        H = -(C * np.log(np.where(C > 0, C, 1.0))).sum(axis=1)
        wide = np.log(perplexity) < H
        low, high = np.where(wide, t, low), np.where(wide, high, t)
    return (C + C.T) / (2 * n)


def digits(
    rng: np.random.Generator,
    dtype: str,
    *,
    n: int,
    perplexity: float,
    steps: int,
    divergence: float,
) -> Problem:
    """The first n of the 1797 digits (d = 64), from their two principal components."""
    import jax

    from jaxml import datasets
    from jaxml.latent import tsne

    X = np.asarray(datasets.digits(dtype="float32").X).astype(dtype)[:n]
    centered = X - X.mean(axis=0)
    start = centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T
    start = (1e-4 * start / start[:, 0].std()).astype(dtype)
    key = jax.random.key(int(rng.integers(2**31)))
    P = _affinities(X, perplexity)
    kept = P > 0

    def fit(X: Any, start: Any, tol: float | None) -> Any:
        tol = tsne.TOL if tol is None else tol
        return tsne.fit(X, key=key, perplexity=perplexity, init=start, max_iter=steps, tol=tol)

    def gap(Y: np.ndarray) -> float:
        Y = np.asarray(Y, np.float64)
        W = 1.0 / (1.0 + ((Y[:, None] - Y[None]) ** 2).sum(axis=2))
        np.fill_diagonal(W, 0.0)
        Q = W / W.sum()
        kl = float((P[kept] * np.log(P[kept] / np.maximum(Q[kept], 1e-300))).sum())
        return (kl - divergence) / divergence

    def work(iterations: int) -> tuple[float, float]:
        # 12 operations and a division for each pair; P and Y stay in cache.
        return X.nbytes, iterations * 13.0 * n * n

    given = {"X": X, "start": start, "perplexity": perplexity, "steps": steps}
    return Problem((X, start), fit, given, gap, work, read=lambda fit: (fit.params.embedding,))


def peer(
    given: Given, tol: float | None, *, library: str, method: str, n_jobs: int = -1
) -> tuple[Any, Any]:
    """scikit-learn's TSNE or openTSNE's; tol is min_grad_norm of the first."""
    X, start, perplexity, steps = (given[name] for name in ("X", "start", "perplexity", "steps"))
    if library == "sklearn":
        kind = sklearn("manifold").TSNE
        options: Given = {"perplexity": perplexity, "max_iter": steps, "method": method}
        if tol is not None:
            options["min_grad_norm"] = tol
        return (
            lambda: kind(init=start, n_jobs=n_jobs, **options).fit(X),
            lambda model: (model.embedding_,),
        )
    try:
        opentsne = importlib.import_module("openTSNE")
    except ImportError as error:
        raise PeerMissingError("openTSNE is not installed: pip install openTSNE") from error
    options = {"perplexity": perplexity, "n_iter": steps - 250, "negative_gradient_method": method}
    model = opentsne.TSNE(initialization=start, n_jobs=n_jobs, **options)
    return lambda: model.fit(X), lambda Y: (np.asarray(Y),)


JOBS = {"latent.tsne": Job(digits, peer)}
