"""A decision tree by brute force: every threshold of every feature is tried, row by row."""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Rows
from jaxml.closed_form.trees import impurity

__all__ = ["best_split", "depth_2", "splits"]


def splits(X: Rows, y: Column, s: Column, criterion: str, n_classes: int) -> Float[Array, "d n"]:
    """Return the decrease by each split x_j <= X[i, j], -inf where a side is empty."""
    left = (X.T[:, None, :] <= X.T[:, :, None]).astype(X.dtype)  # (d, n, n): by X[i, j], row r
    weight = jnp.broadcast_to(s, left.shape)
    both = ((weight * left).sum(axis=2) > 0) & ((weight * (1 - left)).sum(axis=2) > 0)
    return jnp.where(both, impurity.decrease(y, s, left, criterion, n_classes), -jnp.inf)


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


def depth_2(X: Rows, y: Column, s: Column, criterion: str, n_classes: int) -> tuple[Array, ...]:
    """Return feature and threshold of the root, the values of its sides, and the whole decrease."""
    gain, j, t = best_split(X, y, s, criterion, n_classes)
    left = (X[:, j] <= t).astype(X.dtype)
    values = []
    for side in (left, 1 - left):
        below, _, _ = best_split(X, y, s * side, criterion, n_classes)
        # what the side has to lose, in shares of all the weight; -inf if it is a single row
        gain = gain + jnp.maximum(below, 0) * (s * side).sum() / s.sum()
        values.append(_value(y, s * side, criterion, n_classes))
    return j, t, *values, gain


def _value(y: Column, s: Column, criterion: str, n_classes: int) -> Array:
    # the minimizer of the impurity's own loss: the mean, or the shares of the classes
    if criterion == "variance":
        return (s * y).sum() / s.sum()
    return jnp.stack([jnp.where(y == c, s, 0).sum() for c in range(n_classes)]) / s.sum()
