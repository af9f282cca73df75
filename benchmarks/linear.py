"""The linear family: least squares, ridge, lasso, logistic, softmax, and their grids.

Each builder draws its data from a seeded generator, in the dtype of the row, and states the job
once: what jaxml runs, what the peers are given, how an answer is judged, and the least work. The
jaxml side is the public call with its checks, as a user types it; grids are one jitted call.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.problem import Job, Problem
from benchmarks.quality import Smooth, lasso_gap

__all__ = ["JOBS"]


def _regression(
    rng: np.random.Generator, dtype: str, n: int, d: int
) -> tuple[np.ndarray, np.ndarray]:
    X = rng.standard_normal((n, d)).astype(dtype)
    y = X @ rng.standard_normal(d).astype(dtype) + rng.standard_normal(n).astype(dtype) + 1
    return X, y.astype(dtype)


def _quadratic(X: np.ndarray, y: np.ndarray, fit: Callable, l2: float) -> Problem:
    n, d = X.shape

    def work(iterations: int) -> tuple[float, float]:
        # One read of X and y; half of X'X by symmetry, and a Cholesky factor.
        return X.nbytes + y.nbytes, n * d**2 + d**3 / 3

    return Problem(
        (X, y), fit, {"X": X, "y": y, "l2": l2}, Smooth("squared", X, y, l2=l2).gap, work
    )


def ridge(rng: np.random.Generator, dtype: str, *, n: int, d: int, l2: float) -> Problem:
    """Independent normal columns, unit noise."""
    from jaxml.linear import ridge

    # A direct solve: there is no tolerance to pass on.
    return _quadratic(*_regression(rng, dtype, n, d), lambda X, y, tol: ridge.fit(X, y, l2=l2), l2)


def least_squares(rng: np.random.Generator, dtype: str, *, n: int, d: int) -> Problem:
    """Independent normal columns, unit noise."""
    from jaxml.linear import least_squares

    return _quadratic(
        *_regression(rng, dtype, n, d), lambda X, y, tol: least_squares.fit(X, y), 0.0
    )


def _newton_work(X: np.ndarray, iterations: int) -> tuple[float, float]:
    # X is read once (it may stay in cache); each step is half a weighted Gram and two products.
    n, d = X.shape
    return X.nbytes, iterations * (n * d**2 + 4 * n * d + d**3 / 3)


def logistic(rng: np.random.Generator, dtype: str, *, n: int, d: int, l2: float) -> Problem:
    """Independent normal columns, labels drawn from the model with ||w|| about 2."""
    from jaxml.linear import logistic

    X = rng.standard_normal((n, d)).astype(dtype)
    w = 2.0 * rng.standard_normal(d) / np.sqrt(d)
    y = (rng.random(n) < 1.0 / (1.0 + np.exp(-(X @ w + 0.5)))).astype(np.int32)

    def fit(X: Any, y: Any, tol: float | None) -> Any:
        return logistic.fit(X, y, l2=l2, tol=tol)

    judge = Smooth("logistic", X, y, l2=l2)
    return Problem(
        (X, y),
        fit,
        {"X": X, "y": y, "l2": l2},
        judge.gap,
        lambda iterations: _newton_work(X, iterations),
    )


def softmax(rng: np.random.Generator, dtype: str, *, n: int, l2: float, noise: float) -> Problem:
    """The 1797 digits of 8 x 8 pixels in 0..1 (d = 64, k = 10), resampled, normal noise added."""
    from jaxml import datasets
    from jaxml.linear import softmax

    digits = datasets.digits()
    X, y = np.asarray(digits.X, np.float64), np.asarray(digits.y, np.int32)
    rows = rng.integers(len(X), size=n)
    X = (X[rows] / X.max() + noise * rng.standard_normal((n, X.shape[1]))).astype(dtype)
    y, k = y[rows], int(y.max()) + 1

    def fit(X: Any, y: Any, tol: float | None) -> Any:
        return softmax.fit(X, y, n_classes=k, l2=l2, tol=tol)

    def work(iterations: int) -> tuple[float, float]:
        # Each iteration needs at least one gradient: two products with X.
        return X.nbytes, iterations * 4 * X.size * k

    judge = Smooth("softmax", X, y, l2=l2)
    return Problem((X, y), fit, {"X": X, "y": y, "l2": l2}, judge.gap, work)


def _sparse(rng: np.random.Generator, dtype: str, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Independent normal columns, one in twenty of them used, a signal to noise ratio of 10."""
    X = rng.standard_normal((n, d)).astype(dtype)
    used = max(d // 20, 1)
    w = np.zeros(d)
    w[rng.permutation(d)[:used]] = rng.standard_normal(used)
    signal = X @ w
    y = signal + np.sqrt(0.1) * signal.std() * rng.standard_normal(n)
    return X, y.astype(dtype)


def _l1_max(X: np.ndarray, y: np.ndarray) -> float:
    """The least l1 at which every coefficient is zero: max_j |x_j'(y - mean y)| / n."""
    X, y = X.astype(np.float64), y.astype(np.float64)
    return float(np.abs((X - X.mean(0)).T @ (y - y.mean())).max() / len(y))


def lasso(rng: np.random.Generator, dtype: str, *, n: int, d: int, fraction: float) -> Problem:
    """l1 = fraction * l1_max."""
    from jaxml.linear import lasso

    X, y = _sparse(rng, dtype, n, d)
    l1 = fraction * _l1_max(X, y)

    def fit(X: Any, y: Any, tol: float | None) -> Any:
        return lasso.fit(X, y, l1=l1, tol=tol)

    def gap(coef: np.ndarray, intercept: np.ndarray) -> float:
        return float(lasso_gap(X, y, coef[None], np.reshape(intercept, 1), l1=np.array([l1]))[0])

    # The certificate alone: one residual and one product with X'.
    return Problem((X, y), fit, {"X": X, "y": y, "l1": l1}, gap, lambda _: (X.nbytes, 4 * X.size))


def _folds(rng: np.random.Generator, n: int, folds: int) -> np.ndarray:
    """Training weights (folds, n) of 0 and 1."""
    return np.arange(folds)[:, None] != (rng.permutation(n) % folds)[None, :]


def lasso_path(
    rng: np.random.Generator,
    dtype: str,
    *,
    n: int,
    d: int,
    penalties: int,
    folds: int,
    least: float,
) -> Problem:
    """The whole path, from l1_max down to least * l1_max, of every training fold."""
    import jax

    from jaxml.linear import lasso

    X, y = _sparse(rng, dtype, n, d)
    l1 = _l1_max(X, y) * np.geomspace(1.0, least, penalties)
    weights = _folds(rng, n, folds).astype(dtype)

    @jax.jit
    def fit(X: Any, y: Any, weights: Any, l1: Any, tol: float | None) -> Any:
        return jax.vmap(lambda s: lasso.path(X, y, l1=l1, sample_weight=s, tol=tol))(weights)

    def gap(coef: np.ndarray, intercept: np.ndarray) -> float:
        each = (
            lasso_gap(X, y, w, b, l1=l1, weight=s)
            for w, b, s in zip(coef, intercept, weights, strict=True)
        )
        return float(max(gaps.max() for gaps in each))

    given = {"X": X, "y": y, "l1": l1, "weights": weights}
    return Problem(
        (X, y, weights, l1.astype(dtype)),
        fit,
        given,
        gap,
        lambda _: (X.nbytes, 4 * X.size * penalties * folds),
    )


def logistic_grid(
    rng: np.random.Generator,
    dtype: str,
    *,
    penalties: int,
    folds: int,
    strongest: float,
    weakest: float,
) -> Problem:
    """breast_cancer, standardized: a logistic fit per fold and penalty."""
    import jax

    from jaxml import datasets
    from jaxml.linear import logistic

    data = datasets.breast_cancer()
    X, y = np.asarray(data.X, np.float64), np.asarray(data.y, np.int32)
    X = ((X - X.mean(0)) / X.std(0)).astype(dtype)
    weights = _folds(rng, len(X), folds).astype(dtype)
    l2 = np.geomspace(strongest, weakest, penalties).astype(dtype)

    @jax.jit
    def fit(X: Any, y: Any, weights: Any, l2: Any, tol: float | None) -> Any:
        def one(s: Any, l2: Any) -> Any:
            return logistic.fit(X, y, l2=l2, sample_weight=s, tol=tol)

        return jax.vmap(lambda s: jax.vmap(lambda l2: one(s, l2))(l2))(weights)

    judges = [[Smooth("logistic", X, y, l2=float(p), weight=s) for p in l2] for s in weights]

    def gap(coef: np.ndarray, intercept: np.ndarray) -> float:
        cells = [(f, p) for f in range(folds) for p in range(penalties)]
        return max(judges[f][p].gap(coef[f, p], intercept[f, p]) for f, p in cells)

    def work(iterations: int) -> tuple[float, float]:
        n_bytes, flops = _newton_work(X, iterations)
        return n_bytes, flops * penalties * folds

    given = {"X": X, "y": y, "l2": l2.astype(np.float64), "weights": weights}
    return Problem((X, y, weights, l2), fit, given, gap, work)


JOBS = {
    "linear.least_squares": Job(least_squares, peers.least_squares),
    "linear.ridge": Job(ridge, peers.ridge),
    "linear.logistic": Job(logistic, peers.logistic),
    "linear.softmax": Job(softmax, peers.logistic),
    "linear.lasso": Job(lasso, peers.lasso),
    "linear.lasso_path": Job(lasso_path, peers.lasso_path),
    "linear.logistic_grid": Job(logistic_grid, peers.logistic_grid),
}
