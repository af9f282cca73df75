"""Support vector machines with an RBF kernel: one fit, and a grid over C, gamma and folds.

The judge is the relative duality gap, (primal - dual) / primal, in float64 NumPy, at the intercept
that is best for the coefficients at hand, or scaled to have no slack. It needs no reference
solution, and bounds how far the dual objective is from its optimum. Coefficients that break a
constraint are refused.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers import Given, sklearn
from benchmarks.problem import Job, Problem

__all__ = ["JOBS", "duality_gap", "grid_peer", "svc"]

Side = tuple[Callable[[], Any], Callable[[Any], tuple[np.ndarray]]]
ROWS = 1000  # of K at a time in the judge
SLACK = 1e-4  # relative, of the constraints


def _expansion(X: np.ndarray, gamma: float, b: np.ndarray) -> np.ndarray:
    """K b in float64, by blocks of rows and over the support vectors alone."""
    X = np.asarray(X, np.float64)
    used = b != 0
    Z, b = X[used], b[used]
    squares = (Z**2).sum(1)
    parts = []
    for start in range(0, len(X), ROWS):
        A = X[start : start + ROWS]
        D = (A**2).sum(1)[:, None] + squares - 2 * A @ Z.T
        parts.append(np.exp(-gamma * np.maximum(D, 0.0)) @ b)
    return np.concatenate(parts)


def _best_hinge(f: np.ndarray, y: np.ndarray) -> float:
    """The least sum_i max(0, 1 - y_i (f_i + c)) over c: a sum of ramps, least at a joint."""
    joints = np.sort(y - f)  # where the row's ramp begins or ends
    # The slope is -(rows of y = 1 whose joint lies right of c) + (rows of y = -1 left of c).
    right = (y > 0).sum() - np.searchsorted(np.sort((y - f)[y > 0]), joints, side="right")
    left = np.searchsorted(np.sort((y - f)[y < 0]), joints, side="right")
    c = joints[min(np.searchsorted(left - right, 0), len(joints) - 1)]
    return float(np.maximum(0.0, 1.0 - y * (f + c)).sum())


def duality_gap(X: np.ndarray, y: np.ndarray, b: np.ndarray, *, C: float, gamma: float) -> float:
    """Return (primal - dual) / primal of dual coefficients b = alpha y; inf if not feasible."""
    b, y = np.asarray(b, np.float64), np.asarray(y, np.float64)
    size = np.abs(b).sum()
    inside = (b * y).min() >= -SLACK * C and np.abs(b).max() <= C * (1 + SLACK)
    if not (np.isfinite(size) and inside and abs(b.sum()) <= SLACK * max(size, 1e-300)):
        return float("inf")
    f = _expansion(X, gamma, b)
    square = float(b @ f)
    primal = 0.5 * square + C * _best_hinge(f, y)
    # Where f separates the classes, f over half the distance between them has no slack.
    half = 0.5 * (f[y > 0].min() - f[y < 0].max())
    if half > 0:
        primal = min(primal, 0.5 * square / half**2)
    return float(max((primal - (float(b @ y) - 0.5 * square)) / primal, 0.0))


def _dual_coef(fit: Any) -> tuple[np.ndarray]:
    return (np.asarray(fit.params.dual_coef),)


def dual(
    rng: np.random.Generator, dtype: str, *, n: int, d: int, C: float, gamma: float
) -> Problem:
    """Normal features; the sign of a curved score with logistic noise: half are support vectors."""
    from jaxml import kernels, svm

    X = rng.standard_normal((n, d)).astype(dtype)
    w = 2.0 * rng.standard_normal(d) / np.sqrt(d)
    z = X @ w + np.sin(2.0 * X[:, 0]) + 0.5 * (X[:, 1] ** 2 - 1.0)
    y = np.where(z + 0.5 * rng.logistic(size=n) > 0, 1, -1).astype(dtype)

    def fit(X: Any, y: Any, tol: float | None) -> Any:
        kernel = kernels.RBF(gamma)
        return svm.dual.fit(X, y, kernel=kernel, C=C, tol=1e-3 if tol is None else tol)

    def work(iterations: int) -> tuple[float, float]:
        # K by symmetry, its numbers written once; each pair reads two rows.
        size = np.dtype(dtype).itemsize
        return size * (n * n + 2.0 * n * iterations), float(n * n * d)

    given = {"X": X, "y": y, "C": C, "gamma": gamma}
    judge = lambda b: duality_gap(X, y, b, C=C, gamma=gamma)  # noqa: E731
    return Problem((X, y), fit, given, judge, work, _dual_coef)


def dual_grid(
    rng: np.random.Generator,
    dtype: str,
    *,
    folds: int,
    bounds: int,
    least_C: float,
    most_C: float,
    widths: int,
    least_gamma: float,
    most_gamma: float,
) -> Problem:
    """breast_cancer, standardized: a fit per C, gamma and fold."""
    import jax

    from jaxml import Fit, datasets, kernels, svm

    data = datasets.breast_cancer()
    X, y = np.asarray(data.X, np.float64), np.where(np.asarray(data.y) > 0, 1.0, -1.0)
    X, y = ((X - X.mean(0)) / X.std(0)).astype(dtype), y.astype(dtype)
    weights = (np.arange(folds)[:, None] != rng.permutation(len(X)) % folds).astype(dtype)
    Cs = np.geomspace(least_C, most_C, bounds).astype(dtype)
    gammas = np.geomspace(least_gamma, most_gamma, widths).astype(dtype)

    @jax.jit
    def fit(X: Any, y: Any, weights: Any, Cs: Any, gammas: Any, tol: float | None) -> Any:
        def one(gamma: Any, C: Any, s: Any) -> Any:
            how = {"sample_weight": s, "tol": 1e-3 if tol is None else tol}
            found = svm.dual.fit(X, y, kernel=kernels.RBF(gamma), C=C, **how)
            return Fit((found.params.dual_coef, found.params.intercept), found.info)

        lanes = jax.vmap(one, (None, None, 0))
        lanes = jax.vmap(lanes, (None, 0, None))
        return jax.vmap(lanes, (0, None, None))(gammas, Cs, weights)

    def gap(b: np.ndarray) -> float:
        cells = np.ndindex(b.shape[:3])
        worst = []
        for g, c, f in cells:
            kept = weights[f] > 0
            at = {"C": float(Cs[c]), "gamma": float(gammas[g])}
            worst.append(duality_gap(X[kept], y[kept], b[g, c, f][kept], **at))
        return max(worst)

    def work(iterations: int) -> tuple[float, float]:
        n, d = X.shape
        pairs, size = iterations * folds * bounds * widths, np.dtype(dtype).itemsize
        return size * (n * n * widths + 2.0 * n * pairs), float(widths * n * n * d)

    given = {"X": X, "y": y, "C": Cs, "gamma": gammas, "weights": weights}
    arrays = (X, y, weights, Cs, gammas)
    return Problem(arrays, fit, given, gap, work, lambda fit: (np.asarray(fit.params[0]),))


def _scattered(model: Any, n: int) -> np.ndarray:
    b = np.zeros(n)
    # libsvm's coefficients belong to the label that comes first; scikit-learn's to the larger one.
    b[model.support_] = model.dual_coef_[0]
    return b


def svc(given: Given, tol: float | None, *, cache_size: int = 200) -> Side:
    """SVC, which is libsvm: double precision, shrinking on."""
    X, y = given["X"], given["y"]
    kind = sklearn("svm").SVC
    options = {"C": given["C"], "gamma": given["gamma"], "cache_size": cache_size}
    options |= {} if tol is None else {"tol": tol}
    return lambda: kind(**options).fit(X, y), lambda model: (_scattered(model, len(X)),)


def grid_peer(given: Given, tol: float | None, *, cache_size: int = 200, n_jobs: int = 1) -> Side:
    """The loop over gamma, C and folds, the folds cut before the clock starts."""
    kind, parallel = sklearn("svm").SVC, sklearn("utils.parallel")
    X, y, folds = given["X"], given["y"], given["weights"] > 0
    cut = [(np.ascontiguousarray(X[f]), y[f]) for f in folds]
    cells = [(g, c, f) for g in given["gamma"] for c in given["C"] for f in range(len(folds))]
    options = {"cache_size": cache_size, **({} if tol is None else {"tol": tol})}

    def one(gamma: float, C: float, fold: int) -> Any:
        return kind(C=float(C), gamma=float(gamma), **options).fit(*cut[fold])

    def loop() -> list:
        if n_jobs == 1:
            return [one(*cell) for cell in cells]
        pool = parallel.Parallel(n_jobs=n_jobs, prefer="threads")  # libsvm releases the GIL
        return pool(parallel.delayed(one)(*cell) for cell in cells)

    def read(models: list) -> tuple[np.ndarray]:
        b = np.zeros((len(cells), len(X)))
        for row, (_, _, f), model in zip(b, cells, models, strict=True):
            row[folds[f]] = _scattered(model, int(folds[f].sum()))
        return (b.reshape(len(given["gamma"]), len(given["C"]), len(folds), -1),)

    return loop, read


JOBS: dict[str, Job] = {
    "svm.dual": Job(dual, svc),
    "svm.dual_grid": Job(dual_grid, grid_peer),
}
