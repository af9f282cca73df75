"""A decision tree by brute force: every threshold of every feature is tried, row by row."""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Rows

__all__ = ["best_split", "decrease", "depth_2", "impurity", "splits"]


def impurity(
    y: Column, s: Float[Array, "... n"], criterion: str, n_classes: int
) -> tuple[Array, Array]:
    """Return the weight W of rows and their impurity, 0 for no rows; s = 0 leaves a row out."""
    y = jnp.broadcast_to(y, s.shape)
    W = s.sum(axis=-1)
    q = s / jnp.where(W > 0, W, 1)[..., None]
    if criterion == "variance":
        m = (q * y).sum(axis=-1)
        return W, (q * (y - m[..., None]) ** 2).sum(axis=-1)
    p = jnp.stack([jnp.where(y == c, q, 0).sum(axis=-1) for c in range(n_classes)])
    if criterion == "gini":
        return W, jnp.where(W > 0, 1 - (p**2).sum(axis=0), 0)
    return W, -jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0).sum(axis=0)


def decrease(
    y: Column, s: Column, left: Float[Array, "... n"], criterion: str, n_classes: int
) -> Array:
    """Return I - W_L/W I_L - W_R/W I_R, left in {0, 1} telling the side of each row."""
    s = jnp.broadcast_to(s, left.shape)
    W, whole = impurity(y, s, criterion, n_classes)
    W_L, part_L = impurity(y, s * left, criterion, n_classes)
    W_R, part_R = impurity(y, s * (1 - left), criterion, n_classes)
    return whole - W_L / W * part_L - W_R / W * part_R


def splits(X: Rows, y: Column, s: Column, criterion: str, n_classes: int) -> Float[Array, "d n"]:
    """Return the decrease by each split x_j <= X[i, j], -inf where a side is empty."""
    left = (X.T[:, None, :] <= X.T[:, :, None]).astype(X.dtype)  # (d, n, n): by X[i, j], row r
    weight = jnp.broadcast_to(s, left.shape)
    both = ((weight * left).sum(axis=2) > 0) & ((weight * (1 - left)).sum(axis=2) > 0)
    return jnp.where(both, decrease(y, s, left, criterion, n_classes), -jnp.inf)


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
