"""Nearest neighbors by hand: every distance, and how distances concentrate."""

import jax.numpy as jnp

from jaxml._typing import Array, Float, Int, Labels, Rows, Scalar

__all__ = ["concentration", "majority", "mean", "nearest", "spread_of_normal", "standard_error"]


def _squares(X_train: Rows, X: Rows) -> Float[Array, "m n"]:
    return ((X[:, None, :] - X_train[None, :, :]) ** 2).sum(axis=2)


def nearest(X_train: Rows, X: Rows, *, k: int) -> tuple[Float[Array, "m k"], Int[Array, "m k"]]:
    """Return distances and indices by ranking all distances; of equals the lower index first."""
    D = _squares(X_train, X)
    order = jnp.argsort(D, axis=1, stable=True)[:, :k].astype(jnp.int32)
    return jnp.sqrt(jnp.take_along_axis(D, order, axis=1)), order


def _chosen(X_train: Rows, X: Rows, k: int) -> Float[Array, "m n"]:
    # j is chosen if fewer than k rows come before it, (D, index) in lexical order: no sort
    D = _squares(X_train, X)
    i = jnp.arange(len(X_train))
    equal = D[:, None, :] == D[:, :, None]
    before = (D[:, None, :] < D[:, :, None]) | (equal & (i[None, :] < i[:, None])[None])
    return (before.sum(axis=2) < k).astype(X.dtype)


def majority(X_train: Rows, y_train: Labels, X: Rows, *, k: int, n_classes: int) -> Array:
    """Return the most frequent label among the k nearest, the lowest of equals."""
    votes = [
        (_chosen(X_train, X, k) * (y_train == c)[None, :]).sum(axis=1) for c in range(n_classes)
    ]
    best, label = votes[0], jnp.zeros(len(X), jnp.int32)
    for c in range(1, n_classes):  # a later class must have more, not as many
        label = jnp.where(votes[c] > best, c, label)
        best = jnp.maximum(best, votes[c])
    return label


def mean(X_train: Rows, y_train: Float[Array, " n"], X: Rows, *, k: int) -> Float[Array, " m"]:
    """Return the mean target of the k nearest."""
    return (_chosen(X_train, X, k) * y_train[None, :]).sum(axis=1) / k


def concentration(X: Rows) -> Scalar:
    """Return sd over mean of the squared distances of all pairs, each pair looked at."""
    i, j = jnp.triu_indices(len(X), 1)
    D = _squares(X, X)[i, j]
    return jnp.sqrt(((D - D.mean()) ** 2).mean()) / D.mean()


def spread_of_normal(d: int) -> float:
    """Return (sd over mean)^2 of ||x - z||^2, x and z normal with d independent coordinates."""
    # x - z = sqrt(2) e, e normal:  ||x - z||^2 = 2 chi2_d, of mean 2 d and variance 8 d
    # => sd / mean = sqrt(8 d) / (2 d) = sqrt(2 / d):  1 in 2 dimensions, 0.1 in 200
    return 8.0 * d / (2.0 * d) ** 2


def standard_error(d: int, m: int) -> float:
    """Return the standard error of the mean of (t - 1)^2 over m draws of t = chi2_d / d."""
    # Var (t - 1)^2 = E (t - 1)^4 - (2/d)^2;  chi2_d has fourth central moment 12 d (d + 4)
    # = 12 (d + 4) / d^3 - 4 / d^2 = (8 d + 48) / d^3
    return ((8.0 * d + 48.0) / d**3 / m) ** 0.5
