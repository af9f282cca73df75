"""A decision tree by brute force: every threshold of every feature is tried, row by row."""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Rows
from jaxml.closed_form.trees import impurity

__all__ = ["best_split", "splits", "stump", "tree_of_depth_2"]


def splits(X: Rows, y: Column, s: Column, criterion: str, n_classes: int) -> Float[Array, "d n"]:
    """Return the decrease by each split x_j <= X[i, j], -inf where a side is empty."""
    found = []
    for j in range(X.shape[1]):
        for i in range(X.shape[0]):
            left = (X[:, j] <= X[i, j]).astype(X.dtype)
            both = ((s * left).sum() > 0) & ((s * (1 - left)).sum() > 0)
            gain = impurity.decrease(y, s, left, criterion, n_classes)
            found.append(jnp.where(both, gain, -jnp.inf))
    return jnp.stack(found).reshape(X.shape[1], X.shape[0])


def best_split(
    X: Rows, y: Column, s: Column, criterion: str, n_classes: int
) -> tuple[Array, Array, Array]:
    """Return (decrease, feature, threshold): the first of the best, midway to the next value."""
    gain = splits(X, y, s, criterion, n_classes)
    best = gain.max()
    j = jnp.argmax(gain.max(axis=1))
    x = X[:, j]
    # of equal gains of a feature the lowest threshold
    below = jnp.where(gain[j] == best, x, jnp.inf).min()
    above = jnp.where((x > below) & (s > 0), x, jnp.inf).min()
    return best, j.astype(jnp.int32), below / 2 + above / 2


def stump(X: Rows, y: Column, s: Column, criterion: str, n_classes: int) -> tuple[Array, ...]:
    """Return (feature, threshold, decrease, values left and right) of the best single split."""
    best, j, t = best_split(X, y, s, criterion, n_classes)
    left = (X[:, j] <= t).astype(X.dtype)
    return (
        j,
        t,
        best,
        _value(y, s * left, criterion, n_classes),
        _value(y, s * (1 - left), criterion, n_classes),
    )


def _value(y: Column, s: Column, criterion: str, n_classes: int) -> Array:
    # the minimizer of the impurity's own loss: the mean, or the shares of the classes
    if criterion == "variance":
        return (s * y).sum() / s.sum()
    return jnp.stack([jnp.where(y == c, s, 0).sum() for c in range(n_classes)]) / s.sum()


def tree_of_depth_2(
    X: Rows, y: Column, s: Column, criterion: str, n_classes: int
) -> tuple[Array, Array, Array]:
    """Return the decreases of the three splits, each as a share of all the weight."""
    best, j, t = best_split(X, y, s, criterion, n_classes)
    left = (X[:, j] <= t).astype(X.dtype)
    gains = [best]
    for side in (left, 1 - left):
        gain, _, _ = best_split(X, y, s * side, criterion, n_classes)
        # a pure side, or one row, is not split
        gains.append(jnp.maximum(gain, 0) * (s * side).sum() / s.sum())
    return gains[0], gains[1], gains[2]
