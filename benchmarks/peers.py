"""scikit-learn's solvers for the linear family, each given its best layout and all cores.

Every function takes what the problem gives and a tolerance, prepares all it can, and returns
``(run, read)``: the timed call, and how to read (coef, intercept) off its result. scikit-learn is
imported here on first use only; it comes with ``pip install '.[bench]'``.

Threads: BLAS and OpenMP use the cores of this process (set by the environment of the worker);
``n_jobs`` adds joblib workers. Validation of the input is left on, as it is on the jaxml side.
"""

import importlib
from typing import Any

import numpy as np

from benchmarks.problem import Contestant

__all__ = [
    "PeerMissingError",
    "lasso",
    "lasso_path",
    "least_squares",
    "logistic",
    "logistic_grid",
    "ridge",
    "sklearn",
]

Given = dict[str, Any]
MAX_ITER = 100_000  # tolerances decide, never the count


class PeerMissingError(ImportError):
    """The peer's library is not installed, or does not do this job in this dtype."""


def sklearn(name: str) -> Any:
    """Import a module of scikit-learn."""
    try:
        return importlib.import_module(f"sklearn.{name}")
    except ImportError as error:
        raise PeerMissingError("scikit-learn is not installed: pip install '.[bench]'") from error


def _tol(tol: float | None) -> dict[str, float]:
    return {} if tol is None else {"tol": tol}


def _layout(X: np.ndarray, order: str) -> np.ndarray:
    return np.asfortranarray(X) if order == "F" else np.ascontiguousarray(X)


def _one(estimator: Any) -> tuple[np.ndarray, np.ndarray]:
    """Read one linear model: coef (d,) or (d, k), intercept () or (k,)."""
    coef, intercept = np.atleast_2d(estimator.coef_).T, np.atleast_1d(estimator.intercept_)
    return (coef[:, 0], intercept[0]) if coef.shape[1] == 1 else (coef, intercept)


def _many(models: Any) -> tuple[np.ndarray, np.ndarray]:
    """Read folds of lists of (coef, intercept): (folds, m, d) and (folds, m)."""
    coef = np.array([[w for w, _ in fold] for fold in models])
    return coef, np.array([[b for _, b in fold] for fold in models])


def ridge(given: Given, tol: float | None, *, solver: str, order: str = "C") -> Contestant:
    """Ridge; alpha = n l2."""
    X, y = _layout(given["X"], order), given["y"]
    kind = sklearn("linear_model").Ridge
    alpha = len(X) * given["l2"]
    return lambda: kind(alpha=alpha, solver=solver, **_tol(tol)).fit(X, y), _one


def least_squares(given: Given, tol: float | None, *, order: str = "C") -> Contestant:
    """LinearRegression (LAPACK's gelsd)."""
    X, y = _layout(given["X"], order), given["y"]
    kind = sklearn("linear_model").LinearRegression
    return lambda: kind(**_tol(tol)).fit(X, y), _one


def logistic(given: Given, tol: float | None, *, solver: str, order: str = "C") -> Contestant:
    """LogisticRegression, binary or multinomial; C = 1 / (n l2)."""
    X, y = _layout(given["X"], order), given["y"]
    kind = sklearn("linear_model").LogisticRegression
    options = {"C": 1.0 / (len(X) * given["l2"]), "solver": solver, "max_iter": MAX_ITER}
    if solver in ("sag", "saga", "liblinear"):
        options["random_state"] = 0
    return lambda: kind(**options, **_tol(tol)).fit(X, y), _one


def lasso(
    given: Given, tol: float | None, *, precompute: bool = False, order: str = "F"
) -> Contestant:
    """Lasso by cyclic coordinate descent; alpha = l1."""
    X, y = _layout(given["X"], order), given["y"]
    kind = sklearn("linear_model").Lasso
    options = {"alpha": given["l1"], "precompute": precompute, "max_iter": MAX_ITER}
    return lambda: kind(**options, **_tol(tol)).fit(X, y), _one


def lasso_path(
    given: Given, tol: float | None, *, precompute: bool = True, n_jobs: int = 1, cv: bool = False
) -> Contestant:
    """The path of every fold by ``lasso_path``, or ``LassoCV``, which scores the folds as well.

    The loop gets its folds cut, centered and laid out before the clock starts. LassoCV keeps no
    path, so its answer is judged by ``lasso_path`` at the same settings, which is what it calls.
    """
    linear_model, parallel = sklearn("linear_model"), sklearn("utils.parallel")
    X, y, l1, folds = given["X"], given["y"], given["l1"], given["weights"] > 0
    options = {"precompute": precompute, "max_iter": MAX_ITER, **_tol(tol)}
    cut = [(np.asfortranarray(X[f] - X[f].mean(0)), y[f] - y[f].mean()) for f in folds]
    means = [(X[f].mean(0), y[f].mean()) for f in folds]

    def one(X: np.ndarray, y: np.ndarray) -> np.ndarray:
        return linear_model.lasso_path(X, y, alphas=l1, **options)[1]

    def loop() -> Any:
        pool = parallel.Parallel(n_jobs=n_jobs, prefer="threads")  # the solver releases the GIL
        return pool(parallel.delayed(one)(*fold) for fold in cut)

    def read(paths: Any) -> tuple[np.ndarray, np.ndarray]:
        paths = loop() if cv else paths
        pairs = zip(paths, means, strict=True)
        return _many([[(w, m_y - m_x @ w) for w in path.T] for path, (m_x, m_y) in pairs])

    if not cv:
        return loop, read
    splits = [(np.flatnonzero(f), np.flatnonzero(~f)) for f in folds]
    X = np.asfortranarray(X)
    return lambda: linear_model.LassoCV(alphas=l1, cv=splits, n_jobs=n_jobs, **options).fit(
        X, y
    ), read


def logistic_grid(
    given: Given, tol: float | None, *, solver: str, n_jobs: int = 1, warm_start: bool = True
) -> Contestant:
    """A loop over folds and penalties, from the strongest penalty to the weakest.

    Warm starts run along the penalties of a fold; with several jobs each fold is cut in halves, so
    that the cores share the work evenly.
    """
    kind, parallel = sklearn("linear_model").LogisticRegression, sklearn("utils.parallel")
    X, y, l2, folds = given["X"], given["y"], given["l2"], given["weights"] > 0
    cut = [(_layout(X[f], "C"), y[f]) for f in folds]
    options = {"solver": solver, "max_iter": MAX_ITER, "warm_start": warm_start, **_tol(tol)}
    pool = parallel.Parallel(n_jobs=n_jobs)
    halves = np.array_split(np.argsort(-l2), 1 if n_jobs == 1 else 2)

    def some(X: np.ndarray, y: np.ndarray, l2: np.ndarray) -> list:
        model, found = kind(**options), []
        for penalty in l2:
            model.set_params(C=1.0 / (len(X) * penalty)).fit(X, y)
            found.append((model.coef_[0].copy(), model.intercept_[0]))
        return found

    def run() -> Any:
        if n_jobs == 1:
            return [some(*fold, l2[half]) for fold in cut for half in halves]
        return pool(parallel.delayed(some)(*fold, l2[half]) for fold in cut for half in halves)

    def read(parts: Any) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(np.concatenate(halves))
        each = [pair for part in parts for pair in part]  # fold after fold, each in parts
        m = len(l2)
        return _many([[each[f * m + j] for j in order] for f in range(len(cut))])

    return run, read
