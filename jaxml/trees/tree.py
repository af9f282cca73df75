"""A decision tree: the rows of a node are parted where that lowers an impurity most.

    I(T) = sum_v W_v / W I_v over the leaves v,    W_v = the weight of the rows in v
    split (j, t) of v:  max over j, t of W_v I_v - W_l I_l - W_r I_r,    l: x_j <= t,  r: x_j > t

I_v is the gini impurity or the entropy of the classes in v, or the variance of the targets. The
search is greedy, over the thresholds of quantile bins: over all if a feature has at most n_bins
values. Leaves predict the shares of the classes, or the mean.

Symbols: s_i = sample_weight[i], 1 if None; W = sum_i s_i. scikit-learn: DecisionTreeClassifier,
DecisionTreeRegressor; min_samples_leaf counts weight, and equal gains go to the lowest feature.
Reference: Breiman et al. (1984), Classification and regression trees; Hastie et al., ESL (2009),
section 9.2.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._lanes import one_at_a_time
from jaxml._loop import Code, Fit, certify, input_flags
from jaxml._numerics import total, weighted_mean, xlogx
from jaxml._typing import Array, ArrayLike, Column, Float, Int, Real, Rows, Scalar
from jaxml.trees import _bins, _criteria, _grow
from jaxml.trees._histogram import by_node
from jaxml.trees.impurity import spread

__all__ = ["Params", "apply", "feature_importances", "fit", "predict", "predict_proba"]


class Params(NamedTuple):
    """A tree of m nodes, a heap: the children of v are 2v + 1 and 2v + 2."""

    feature: Int[Array, " m"]  # j, -1 at a leaf
    threshold: Float[Array, " m"]  # t: rows with x_j <= t go left
    value: Float[Array, "m ..."]  # at leaves: shares of the classes (m, k), or means (m,)
    decrease: Float[Array, " d"]  # of I(T), by the feature that brought it


def fit(
    X: ArrayLike,
    y: ArrayLike,
    *,
    criterion: str,
    max_depth: int,
    n_classes: int | None = None,
    n_bins: int = 256,
    sample_weight: ArrayLike | None = None,
    min_samples_leaf: Real = 1,
    min_impurity_decrease: Real = 0.0,
) -> Fit[Params]:
    """Grow a tree, level by level.

    Args:
      X: Features (n, d); integers become the default float.
      y: Labels 0..n_classes-1 for "gini" and "entropy", targets for "variance".
      criterion: "gini", "entropy" or "variance", static.
      max_depth: Static, >= 0; memory grows as 2^max_depth until every two rows have a node.
      n_classes: Static; None is max(y) + 1, or regression for "variance".
      n_bins: 2..256, static; quantile bins of each feature.
      sample_weight: s_i >= 0, not all zero; bins are weighted too.
      min_samples_leaf: The weight that each side of a split needs, traced; up to 1 any row will do.
      min_impurity_decrease: A split must lower I(T) by more than this, traced.

    Returns:
      Params, and Info with objective = I(T), n_iter = the depth reached, and residual =
      |I(root) - I(T) - the sum of the decreases of all splits| / I(root): the sums that chose the
      splits against those of the rows in the leaves. ILL_CONDITIONED if they differ.
      Leaf values have derivatives in y ("variance") and sample_weight, those of a mean over the
      present leaf. The splits are piecewise constant: predictions have gradient 0 in X.

    Raises:
      ValueError: Shapes disagree, an option is out of range, labels are missing, or a concrete
        array holds NaN or inf.
      TypeError: An array is not numeric, or a static argument is no integer.

    Example:
      >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 0, 1, 1])
      >>> params = fit(X, y, criterion="gini", max_depth=2).params
      >>> float(params.threshold[0]), predict(params, [[1.2], [1.8]]).tolist()
      (1.5, [0, 1])
    """
    criterion = _check.choice("criterion", criterion, tuple(_criteria.CRITERIA))
    X = _check.array("X", X, ndim=2)
    if criterion in _criteria.CLASSES:
        n_classes = classes(y, n_classes)
        y = _check.labels(y, X.shape[0], n_classes=n_classes)
        s = _check.weights(sample_weight, X)
    else:
        if n_classes is not None:
            raise ValueError(
                f'n_classes is for labels: expected None with "variance", got {n_classes}'
            )
        X, y, s = _check.supervised(X, y, sample_weight)
    found = _fit(
        X, y, s,
        _check.at_least("min_samples_leaf", min_samples_leaf, 0, dtype=X.dtype),
        _check.at_least("min_impurity_decrease", min_impurity_decrease, 0, dtype=X.dtype),
        criterion=criterion,
        max_depth=_grow.depth(_check.integer("max_depth", max_depth, 0), X.shape[0]),
        n_classes=n_classes,
        n_bins=bin_count(n_bins, X.shape[0]),
        weighted=sample_weight is not None,
    )  # fmt: skip
    return _check.raise_for(found, X, y, s)


def classes(y: Any, n_classes: int | None) -> int:
    """Return n_classes, read off concrete labels if it is None."""
    if n_classes is not None:
        return _check.integer("n_classes", n_classes, 1)
    if not _check.is_concrete(y):
        raise ValueError("n_classes must be given where y is traced: expected an integer, got None")
    host = np.asarray(y)
    return int(host.max()) + 1 if host.size and np.isfinite(host).all() and host.max() >= 0 else 1


def bin_count(n_bins: Any, n: int) -> int:
    """Return n_bins checked, and no more than n rows can fill."""
    if (n_bins := _check.integer("n_bins", n_bins, 2)) > 256:
        raise ValueError(f"n_bins must be <= 256, codes are bytes: got {n_bins}")
    return max(2, min(n_bins, n))


@partial(jax.jit, static_argnames=("criterion", "max_depth", "n_classes", "n_bins", "weighted"))
def _fit(
    X: Rows,
    y: Array,
    s: Column,
    min_samples_leaf: Scalar,
    min_decrease: Scalar,
    *,
    criterion: str,
    max_depth: int,
    n_classes: int | None,
    n_bins: int,
    weighted: bool,
) -> Fit[Params]:
    W = total(s)
    if n_classes is None:
        u, a = _criteria.target_statistics(y, s)
    else:
        u, a = _criteria.class_statistics(y, s, n_classes), None

    @one_at_a_time
    def grown(X: Rows, s: Column, u: Array, W: Scalar, least: Scalar, decrease: Scalar):
        bins = _bins.make(X, s, n_bins=n_bins, weighted=weighted)
        floor = jnp.maximum(decrease * W, _criteria.least_gain(u, criterion))
        mass = jnp.where(least > 1, least, 0.0)
        return _grow.grow(
            bins, u, _criteria.CRITERIA[criterion], max_depth=max_depth, min_gain=floor,
            min_mass=mass,
        )  # fmt: skip

    tree, leaf = grown(*jax.lax.stop_gradient((X, s, u, W, min_samples_leaf, min_decrease)))
    m = len(tree.feature)
    if a is None:
        value, before, after = shares(leaf, u, W, m, criterion)
    else:
        value, before, after = means(leaf, y, s, u, a, W, m)
    gained = tree.gain / jnp.where(W > 0, W, 1.0)
    decrease = by_node(jnp.maximum(tree.feature, 0), gained[:, None], X.shape[1])[:, 0]
    change = jnp.abs(before - after - jnp.sum(decrease))
    flags = input_flags(X, u[:, 0], s, jnp.max(X) - jnp.min(X))
    if n_classes is not None:
        flags = (*flags, (Code.BAD_LABELS, (y < 0).any()))
    levels = jnp.where(tree.feature >= 0, jnp.arange(1, m + 1), 0)
    return certify(
        Params(tree.feature, tree.threshold, value, decrease),
        objective=after,
        residual=jax.lax.stop_gradient(change / jnp.where(before > 0, before, 1.0)),
        tol=float(jnp.finfo(X.dtype).eps) ** 0.5,
        n_iter=jnp.sum(jnp.max(levels) >= 2 ** jnp.arange(max_depth + 1)),
        flags=tuple(flag for flag in flags if flag[0] is not Code.DIVERGED),
        unmet=Code.ILL_CONDITIONED,
    )


def shares(
    leaf: Array, u: Array, W: Scalar, m: int, criterion: str
) -> tuple[Array, Scalar, Scalar]:
    """Shares of the classes in each leaf, and the impurity of the root and of the tree."""
    sums = by_node(leaf, u[:, :-1], m)

    def impurity(p: Array) -> Array:
        return jnp.sum(p * (1 - p) if criterion == "gini" else -xlogx(p), axis=-1)

    weight = jnp.sum(sums, axis=1)
    p = sums / jnp.where(weight > 0, weight, 1.0)[:, None]
    W = jnp.where(W > 0, W, 1.0)
    return p, impurity(jnp.sum(sums, axis=0) / W), jnp.sum(weight / W * impurity(p))


def means(
    leaf: Array, y: Column, s: Column, u: Array, a: Scalar, W: Scalar, m: int
) -> tuple[Array, Scalar, Scalar]:
    """Mean of each leaf, in two passes, and the variance of the root and within the leaves."""
    weight, sums = by_node(leaf, u[:, :2], m).T
    weight = jnp.where(weight > 0, weight, 1.0)
    first = a + sums / weight
    rest = jnp.where(s > 0, s * (y - first[leaf]), 0.0)
    mean = first + by_node(leaf, rest[:, None], m)[:, 0] / weight
    within = weighted_mean((y - mean[leaf]) ** 2, s)
    return mean, spread(y, s), within


def apply(params: Params, X: ArrayLike) -> Int[Array, " n"]:
    """Return the leaf of each row, its place in the heap; -1 for a traced row with NaN or inf.

    Raises:
      ValueError: X has another number of columns, or a concrete X holds NaN or inf.
    """
    X = _check.finite("X", _check.rows(X, d=len(params.decrease)))
    return _apply(params, X)


@jax.jit
def _apply(params: Params, X: Rows) -> Int[Array, " n"]:
    m = len(params.feature)
    tree = _grow.Tree(params.feature, params.threshold, jnp.zeros(m, bool), params.threshold)
    known = jnp.isfinite(X).all(axis=1)
    return jnp.where(known, _grow.leaves(tree, X), -1)


def _values(params: Params, X: ArrayLike) -> Array:
    leaf = apply(params, X)
    value = params.value[jnp.maximum(leaf, 0)]
    known = (leaf >= 0).reshape(-1, *[1] * (value.ndim - 1))
    return jnp.where(known, value, jnp.nan)


def predict_proba(params: Params, X: ArrayLike) -> Float[Array, "n k"]:
    """Return the shares of the classes in the leaf of each row; NaN for a traced row with NaN.

    Raises:
      ValueError: The tree predicts numbers, X has another number of columns, or a concrete X holds
        NaN or inf.
    """
    if params.value.ndim == 1:
        raise ValueError('the tree was fitted by "variance": it predicts numbers, no probabilities')
    return _values(params, X)


def predict(params: Params, X: ArrayLike) -> Array:
    """Return the commonest class of the leaf, of equals the lowest, or its mean.

    A traced row with NaN or inf gets -1, or NaN.
    """
    value = _values(params, X)
    if value.ndim == 1:
        return value
    known = ~jnp.isnan(value).any(axis=1)
    return jnp.where(known, jnp.argmax(value, axis=1), -1).astype(jnp.int32)


def feature_importances(params: Params) -> Float[Array, " d"]:
    """Return the share of each feature in the decrease of I(T); they sum to 1, or are 0 at a leaf.

    scikit-learn: feature_importances_.
    """
    whole = jnp.sum(params.decrease)
    return params.decrease / jnp.where(whole > 0, whole, 1.0)
