"""Folds partition the rows and keep class shares; weights as masks are refits on subsets."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import model_selection
from jaxml._typing import Array
from jaxml.closed_form import model_selection as hand
from jaxml.linear import ridge
from jaxml.verify.case import EXACT, ROUNDING, SOLVE, Case
from jaxml.verify.domains import Domain, Generator, labels, regression, vector

__all__ = ["CASES"]

N, SPLITS, CLASSES = 17, 4, 3


def _folds(x: Array) -> Array:
    return model_selection.kfold_weights(x.size, n_splits=SPLITS).astype(x.dtype)


def _shuffled_parts(v: Array, seed: Array) -> Array:
    """What the folds hold out of v, added up: v, if each row is held out once."""
    folds = model_selection.kfold_weights(v.size, n_splits=SPLITS, key=jax.random.key(seed))
    return ((1.0 - folds.astype(v.dtype)) * v[None, :]).sum(axis=0)


def _stratified(v: Array, y: Array, seed: Array) -> Array:
    key = jax.random.key(seed)
    folds = model_selection.stratified_kfold_weights(y, n_splits=SPLITS, n_classes=CLASSES, key=key)
    return folds.astype(v.dtype)


def _stratified_parts(v: Array, y: Array, seed: Array) -> Array:
    return ((1.0 - _stratified(v, y, seed)) * v[None, :]).sum(axis=0)


def _unevenness(v: Array, y: Array, seed: Array) -> Array:
    """By class, the largest less the smallest number of rows that a fold holds out."""
    held = (1.0 - _stratified(v, y, seed))[:, :, None]
    counts = (held * (y[:, None] == jnp.arange(CLASSES)[None, :])[None]).sum(axis=1)
    return counts.max(axis=0) - counts.min(axis=0)


def _held_out_error(params: ridge.Params, X: Array, y: Array, *, sample_weight: Array) -> Array:
    return ridge.loss(params, X, y, l2=0.0, sample_weight=sample_weight)


def _scores(X: Array, y: Array, s: Array, l2: Array) -> Array:
    folds = model_selection.kfold_weights(X.shape[0], n_splits=SPLITS)
    scores: Any = model_selection.cross_validate(
        ridge.fit, _held_out_error, X, y, weights=folds, grid={"l2": l2}, sample_weight=s
    )
    return scores


def _seed(rng: Generator) -> np.ndarray:
    return np.asarray(rng.integers(2**31), np.int32)


def _rows(rng: Generator) -> tuple:
    return vector(rng, N), _seed(rng)


def _classes(rng: Generator) -> tuple:
    return vector(rng, 29), labels(rng, 29, CLASSES), _seed(rng)


def _weighted_labels(rng: Generator) -> tuple:
    return labels(rng, 29, CLASSES), rng.uniform(0.5, 2.0, size=29)


def _path(rng: Generator, n: int, d: int) -> tuple:
    return *regression(rng, n, d), np.array([0.05, 0.4, 3.0])


CASES = (
    Case("model_selection/kfold", ("kfold",), "identity", _folds,
         lambda x: hand.kfold_weights(x.size, n_splits=SPLITS).astype(x.dtype),
         Domain(lambda rng, n: (rng.standard_normal(n),), ((N,), (4,))), EXACT,
         "ESL (2009), section 7.10.1"),
    Case("model_selection/partition", ("kfold",), "identity", _shuffled_parts,
         lambda v, seed: v, Domain(_rows), EXACT, "every row is held out once"),
    Case("model_selection/stratified-partition", ("kfold",), "identity", _stratified_parts,
         lambda v, y, seed: v, Domain(_classes), EXACT, "every row is held out once"),
    Case("model_selection/stratified-shares", ("kfold",), "bound", _unevenness,
         lambda v, y, seed: jnp.ones(CLASSES, v.dtype), Domain(_classes), EXACT,
         "n_c / f rows of class c, rounded up or down",
         mutants=(lambda v, y, seed: jnp.full(CLASSES, -0.5, v.dtype),)),
    Case("model_selection/refits-on-subsets", ("kfold",), "solution", _scores,
         partial(hand.ridge_scores, n_splits=SPLITS), Domain(_path, ((23, 3),)), SOLVE,
         "weight 0 is a removed row"),
    Case("model_selection/balanced-weights", ("class-weight",), "identity",
         lambda y, s: model_selection.balanced_weights(y, n_classes=CLASSES, sample_weight=s),
         lambda y, s: hand.balanced_weights(y, n_classes=CLASSES, sample_weight=s),
         Domain(_weighted_labels), ROUNDING, "n / (K n_c), King, Zeng (2001)"),
)  # fmt: skip
