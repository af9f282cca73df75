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
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._lanes import one_at_a_time
from jaxml._loop import Code, Fit, certify
from jaxml._sums import total
from jaxml._typing import Array, ArrayLike, Column, Float, Int, Real, Rows, Scalar
from jaxml.trees import _bins, _criteria, _grow, _inputs, _leaves

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
        n_classes = _inputs.classes(y, n_classes)
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
        n_bins=_inputs.bin_count(n_bins, X.shape[0]),
        weighted=sample_weight is not None,
    )  # fmt: skip
    return _check.raise_for(found, X, y, s)


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
    u, a = _criteria.statistics(y, s, n_classes)

    @one_at_a_time
    def grown(X: Rows, s: Column, u: Array, W: Scalar, least: Scalar, decrease: Scalar):
        bins = _bins.make(X, s, n_bins=n_bins, weighted=weighted)
        floor = jnp.maximum(decrease * W, _criteria.least_gain(u, criterion))
        mass = jnp.where(least > 1, least, 0.0)
        return _grow.grow(
            bins, u, _criteria.CRITERIA[criterion], max_depth=max_depth, min_gain=floor,
            min_mass=mass,
        )  # fmt: skip

    found = grown(*jax.lax.stop_gradient((X, s, u, W, min_samples_leaf, min_decrease)))
    tree, leaves = found.tree, _leaves.of(found, y, s, u, a, W, X.shape[1], criterion)
    levels = jnp.where(tree.feature >= 0, jnp.arange(1, len(tree.feature) + 1), 0)
    stray = () if n_classes is None else ((Code.BAD_LABELS, (y < 0).any()),)
    return certify(
        Params(tree.feature, tree.threshold, leaves.value, leaves.decrease),
        objective=leaves.impurity,
        residual=leaves.missed,
        tol=float(jnp.finfo(X.dtype).eps) ** 0.5,
        n_iter=jnp.sum(jnp.max(levels) >= 2 ** jnp.arange(max_depth + 1)),
        flags=_inputs.flags(X, u[:, 0], s, *stray),
        unmet=Code.ILL_CONDITIONED,
    )


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
    return _leaves.where_known(leaf >= 0, params.value[jnp.maximum(leaf, 0)])


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
    return value if value.ndim == 1 else _leaves.commonest(value)


def feature_importances(params: Params) -> Float[Array, " d"]:
    """Return the share of each feature in the decrease of I(T); they sum to 1, or are 0 at a leaf.

    scikit-learn: feature_importances_.
    """
    return _leaves.importances(params.decrease)
