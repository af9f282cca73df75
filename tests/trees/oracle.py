"""A greedy tree in float64 NumPy that tries every threshold, and the problems of the tests."""

import numpy as np

__all__ = ["best_gain", "greedy", "impurity", "problem"]

K = 3


def impurity(y, s, criterion):
    """The impurity of rows with weights s."""
    q = s / s.sum()
    if criterion == "variance":
        return (q * (y - (q * y).sum()) ** 2).sum()
    p = np.array([q[y == c].sum() for c in range(K)])
    return 1 - (p**2).sum() if criterion == "gini" else -(p[p > 0] * np.log(p[p > 0])).sum()


def best_gain(X, y, s, criterion, least=0.0):
    """(gain, feature, rows that go left) of the best split, weights times impurity; 0 if none."""
    best, at = 0.0, None
    keep = s > 0
    whole = s.sum() * impurity(y[keep], s[keep], criterion)
    for j in range(X.shape[1]):
        for t in np.unique(X[keep, j])[:-1]:
            left = X[:, j] <= t
            L, R = left & keep, ~left & keep
            if min(s[L].sum(), s[R].sum()) < least:
                continue
            gain = whole - sum(s[a].sum() * impurity(y[a], s[a], criterion) for a in (L, R))
            if gain > best + 1e-12 * whole:
                best, at = gain, (j, left)
    return best, at


def greedy(X, y, s, criterion, depth, least=0.0):
    """The impurity left in the leaves of the greedy tree, times their weights."""
    gain, at = best_gain(X, y, s, criterion, least)
    if depth == 0 or at is None or gain <= 1e-12 * s.sum():
        return s.sum() * impurity(y[s > 0], s[s > 0], criterion)
    left = at[1]
    return sum(greedy(X[a], y[a], s[a], criterion, depth - 1, least) for a in (left, ~left))


def problem(criterion, n=12, d=3, seed=0, dtype="float64", grid=True):
    """(X, y, s) with equal values in X, unless grid is False."""
    rng = np.random.default_rng([seed, n, d])
    X = rng.normal(size=(n, d))
    X = np.round(2 * X) if grid else X
    y = rng.integers(0, K, n) if criterion != "variance" else rng.normal(size=n) + X[:, 0]
    return X.astype(dtype), y, rng.uniform(0.5, 2.0, n).astype(dtype)
