"""Rows of several characters, and their neighbors by brute force."""

from typing import Any

import numpy as np

__all__ = ["KINDS", "brute", "data"]


def brute(X_train: Any, X: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and indices in float64, of equals the lower index."""
    Z, X = np.asarray(X_train, np.float64), np.asarray(X, np.float64)
    D = np.sqrt(((X[:, None] - Z[None]) ** 2).sum(axis=2))
    order = np.argsort(D, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(D, order, axis=1), order


def data(kind: str, n: int, d: int, dtype: Any, seed: int = 0) -> np.ndarray:
    """Rows of several characters."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    if kind == "grid":  # many equal distances
        X = np.round(2 * X)
    elif kind == "duplicates":
        X = np.repeat(X[: n // 40], 40, axis=0)
    elif kind == "far":
        X = X + 1e4
    elif kind == "clusters":  # of which products in float32 see only the centers
        X = 1e-3 * X + 1e3 * rng.integers(-1, 2, size=(n, 1))
    return X.astype(dtype)


KINDS = ("normal", "grid", "duplicates", "far", "clusters")
