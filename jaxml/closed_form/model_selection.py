"""Splits by counting, class weights by comparing pairs, cross-validation by leaving rows out."""

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Column, Float, Labels, Real, Rows, Scalar

__all__ = ["balanced_weights", "kfold_weights", "ridge_scores"]


def _fold(i: int, n: int, n_splits: int) -> int:
    # n = q f + r: the first r folds hold q + 1 rows each, r (q + 1) in all; the others hold q
    q, r = divmod(n, n_splits)
    return i // (q + 1) if i < r * (q + 1) else r + (i - r * (q + 1)) // q


def kfold_weights(n: int, *, n_splits: int) -> Float[Array, "f n"]:
    """Training weights of consecutive folds, row by row."""
    rows = [[float(_fold(i, n, n_splits) != f) for i in range(n)] for f in range(n_splits)]
    return jnp.array(rows)


def balanced_weights(y: Labels, *, n_classes: int, sample_weight: Column) -> Column:
    """s_i S / (K n_c), with n_c counted for each row by comparing it with all others."""
    # n_(y_i) = sum_j s_j [y_j = y_i]
    n_c = (sample_weight[None, :] * (y[:, None] == y[None, :])).sum(axis=1)
    return sample_weight * sample_weight.sum() / (n_classes * n_c)


def _ridge(X: Rows, y: Column, s: Column, l2: Real) -> tuple[Float[Array, " d"], Scalar]:
    # The stationary point of sum_i p_i (x_i'w + b - y_i)^2 / 2 + l2/2 ||w||^2 in (w, b) together:
    # [X'PX + l2 I, X'p; p'X, 1] (w, b) = (X'Py, p'y)
    p = s / s.sum()
    Z = jnp.concatenate([X, jnp.ones((X.shape[0], 1), X.dtype)], axis=1)
    shrink = l2 * jnp.diag(jnp.concatenate([jnp.ones(X.shape[1], X.dtype), jnp.zeros(1, X.dtype)]))
    A = jnp.dot(Z.T, p[:, None] * Z, precision=Precision.HIGHEST) + shrink
    both = jnp.linalg.solve(A, jnp.dot(Z.T, p * y, precision=Precision.HIGHEST))
    return both[:-1], both[-1]


def ridge_scores(
    X: Rows, y: Column, s: Column, l2: Float[Array, " g"], *, n_splits: int
) -> Float[Array, "g f"]:
    """Half the mean squared held-out error of ridge, each fold refitted on the rows it keeps."""
    n, scores = X.shape[0], []
    for c in l2:
        for f in range(n_splits):
            keep = jnp.array([i for i in range(n) if _fold(i, n, n_splits) != f])
            held = jnp.array([i for i in range(n) if _fold(i, n, n_splits) == f])
            w, b = _ridge(X[keep], y[keep], s[keep], c)
            z = jnp.dot(X[held], w, precision=Precision.HIGHEST) + b
            scores.append((s[held] * (z - y[held]) ** 2).sum() / (2 * s[held].sum()))
    return jnp.stack(scores).reshape(len(l2), n_splits)
