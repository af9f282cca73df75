"""Splits as weights, and cross-validation as one vmap over them.

    training weight of row i in fold f:   w_fi = 0 if row i is held out in fold f, else 1

A fit with sample_weight w_f equals the fit on the rows with w_fi > 0, so that the folds of a
cross-validation, like the points of a grid, are lanes of one compiled call. Any other weights do,
too: bootstrap counts hold out the rows they miss (out of bag).

Reference: Hastie et al., ESL (2009), section 7.10.1.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._loop import RAISED, Fit, Info
from jaxml._splits import (
    balanced_weights,
    kfold_weights,
    stratified_kfold_weights,
    train_test_split,
)
from jaxml._typing import Array, Column, Float, Rows, Scalar, Weights

__all__ = [
    "balanced_weights",
    "cross_validate",
    "kfold_weights",
    "stratified_kfold_weights",
    "train_test_split",
]


def cross_validate(
    fit: Callable[..., Fit[Any]],
    score: Callable[..., Scalar],
    X: Rows,
    y: Array,
    *,
    weights: Float[Array, "f n"],
    grid: Mapping[str, Float[Array, " g"]],
    sample_weight: Weights = None,
    batch_size: int | None = None,
    return_info: bool = False,
) -> Float[Array, "g f"] | tuple[Float[Array, "g f"], Info]:
    """Score a fit at every point of a grid on every fold, in one compiled call.

    Lane (p, f) fits on the rows with weights[f] > 0 and scores on those with weights[f] == 0. What
    a fit computes from X and its weights alone, such as a Gram matrix, is shared by the points of
    the grid. Differentiable in the grid where fit and score are.

    Args:
      fit: fit(X, y, sample_weight=..., **point) -> Fit. Compiled once per function object: name
        the function (or partial) instead of writing a new lambda at every call.
      score: score(params, X, y, sample_weight=...) -> scalar; rows of weight 0 must not count.
      X: Features.
      y: Targets or labels, one per row.
      weights: Training weights of the f folds, >= 0; rows with weight 0 are held out.
      grid: The g points: for each hyperparameter its g values; traced.
      sample_weight: s_i >= 0, which multiplies the weights and weighs the score; None: ones.
      batch_size: How many points are fitted at a time, static; None: all. Memory grows with
        batch_size times f lanes.
      return_info: Also return the Info of every lane, its leaves of shape (g, f).

    Returns:
      Scores (g, f). NaN where ``jaxml.check`` would raise for the lane's fit (DEGENERATE and more
      severe): such parameters deserve no score. A lane that only stopped early keeps its score.

    Raises:
      ValueError: Shapes disagree, the grid is empty or ragged, concrete values are not finite,
        weights are negative, or a fold has no row to train on or none held out.

    Example:
      >>> from jaxml.linear import ridge
      >>> X, y = jnp.arange(8.0)[:, None], 2.0 * jnp.arange(8.0)
      >>> def error(params, X, y, *, sample_weight):
      ...     return ridge.loss(params, X, y, l2=0.0, sample_weight=sample_weight)
      >>> folds, grid = kfold_weights(8, n_splits=4), {"l2": jnp.array([1e-3, 1.0, 10.0])}
      >>> scores = cross_validate(ridge.fit, error, X, y, weights=folds, grid=grid)
      >>> scores.shape, int(scores.mean(axis=1).argmin())  # nothing to shrink on a straight line
      ((3, 4), 0)
    """
    X = _check.finite("X", _check.array("X", X, ndim=2))
    y = jnp.asarray(y)
    if y.shape[:1] != X.shape[:1]:
        raise ValueError(f"y needs one entry per row of X: expected {X.shape[0]}, got {y.shape}")
    s = _check.weights(sample_weight, X)
    W = _check.array("weights", weights, ndim=2, dtype=X.dtype)
    if W.shape[1] != X.shape[0]:
        raise ValueError(f"weights needs shape (folds, {X.shape[0]}): got {W.shape}")
    if _check.is_concrete(W, s):
        _refuse_empty_folds(np.asarray(W), np.asarray(s))
    if not grid:
        raise ValueError("grid is empty: expected at least one hyperparameter with its values")
    points = {k: _check.array(k, v, ndim=1, dtype=X.dtype) for k, v in grid.items()}
    sizes = {k: v.shape[0] for k, v in points.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"grid needs the same number of values for each name: got {sizes}")
    if batch_size is not None:
        batch_size = _check.integer("batch_size", batch_size, 1)
    scores, info = _lanes(X, y, s, W, points, fit=fit, score=score, batch_size=batch_size)
    return (scores, info) if return_info else scores


def _refuse_empty_folds(W: np.ndarray, s: np.ndarray) -> None:
    if not (np.isfinite(W).all() and (W >= 0).all()):
        raise ValueError("weights must be finite and >= 0")
    for name, rows in (("to train on", W > 0), ("held out (weight 0)", W == 0)):
        empty = ~(rows & (s > 0)).any(axis=1)
        if empty.any():
            raise ValueError(f"every fold needs a row {name}: fold {empty.argmax()} has none")


@partial(jax.jit, static_argnames=("fit", "score", "batch_size"))
def _lanes(
    X: Rows,
    y: Array,
    s: Column,
    W: Float[Array, "f n"],
    points: dict[str, Array],
    *,
    fit: Callable[..., Fit[Any]],
    score: Callable[..., Scalar],
    batch_size: int | None,
) -> tuple[Array, Info]:
    def lane(point: dict[str, Scalar], w: Column) -> tuple[Scalar, Info]:
        params, info = fit(X, y, sample_weight=w * s, **point)
        value = score(params, X, y, sample_weight=jnp.where(w == 0, s, 0.0))
        return jnp.where(info.code >= RAISED, jnp.nan, value), info

    def folds(point: dict[str, Scalar]) -> tuple[Array, Info]:
        return jax.vmap(lane, in_axes=(None, 0))(point, W)

    if batch_size is None:
        return jax.vmap(folds)(points)
    return jax.lax.map(folds, points, batch_size=batch_size)
