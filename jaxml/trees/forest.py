"""Random forests: the mean of trees, each grown on a bootstrap of the rows.

    f(x) = 1/B sum_b f_b(x),    Var f(x) = rho v + (1 - rho) v / B

v is the variance of one tree at x, rho the correlation between two. Tree b sees row i c_bi times,
c_b multinomial, and its nodes look at max_features features each, drawn anew: both lower rho. The
rows with c_bi = 0 are out of bag: those trees predict row i without having seen it.

Symbols: B = n_estimators; f_b(x) the shares of the classes in a leaf, or the mean of a target;
s_i = sample_weight[i], 1 if None. scikit-learn: RandomForestClassifier, RandomForestRegressor,
whose max_features is 1.0 by default; features have n_bins values here.

Reference: Breiman (2001), Random forests; Hastie et al., ESL (2009), eq. (15.1), section 15.3.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._loop import Code, Fit, certify
from jaxml._sums import weighted_mean
from jaxml._typing import Array, ArrayLike, Column, Float, Key, Real, Rows, Scalar
from jaxml.trees import _bagging, _bins, _criteria, _ensemble, _grow, _inputs, _leaves, tree

__all__ = ["Params", "feature_importances", "fit", "predict", "predict_proba"]


class Params(NamedTuple):
    """B trees, and what those that had not seen a row predict for it."""

    trees: tree.Params  # each field with a leading axis of length B
    out_of_bag: Array  # (n, k) or (n,) of the rows fitted; NaN where every tree saw a row


def fit(
    X: ArrayLike,
    y: ArrayLike,
    *,
    key: Key,
    n_estimators: int = 100,
    max_depth: int = 8,
    max_features: str | int | float | None = "sqrt",
    n_classes: int | None = None,
    criterion: str | None = None,
    n_bins: int = 256,
    sample_weight: ArrayLike | None = None,
    min_samples_leaf: Real = 1,
    min_impurity_decrease: Real = 0.0,
    bootstrap: bool = True,
) -> Fit[Params]:
    """Grow the trees, one after the other on a CPU: memory is that of one, and of the heaps.

    Args:
      X: Features (n, d); integers become the default float.
      y: Labels 0..n_classes-1, or targets if n_classes is None.
      key: A random key; the same one gives the same forest bit by bit. Rows are drawn by their
        place, so another order of them is another draw.
      n_estimators: B, static.
      max_depth: Of each tree, static, >= 0.
      max_features: Static; how many features a node looks at: "sqrt" or "log2" of d, rounded down,
        a number, a share in (0, 1] of d, or None for all. At least one, and more until one has two
        values among the rows of the node.
      n_classes: Static; None is regression.
      criterion: "gini" or "entropy" for labels, "variance" for targets; None is gini or variance.
      n_bins: 2..256, static; quantile bins of each feature, made once for all trees.
      sample_weight: s_i >= 0, not all zero. Rows of positive weight are drawn alike, and a drawn
        row weighs s_i: weight 0 is a removed row, exactly; integer weights are repeated rows,
        exactly without bootstrap.
      min_samples_leaf: The weight that each side of a split needs, traced; up to 1 any row will do.
      min_impurity_decrease: As for one tree, traced.
      bootstrap: Static; False gives every tree all rows once.

    Returns:
      Params, and Info with objective = the out-of-bag error, 1 - accuracy or the mean squared
      error over the rows that some tree has not seen (without bootstrap, NaN being no objective,
      that of the rows fitted); n_iter = B; and residual = the largest over the trees of |impurity
      of the root - of the leaves - the decreases of all splits| over that of the root.
      Leaf values have derivatives in y (regression) and sample_weight, at the present splits;
      predictions have gradient 0 in X.

    Raises:
      ValueError: Shapes disagree, an option is out of range, or a concrete array holds NaN or inf.
      TypeError: An array is not numeric, key is not a random key, a static argument is no integer.

    Example:
      >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 0, 1, 1])
      >>> params = fit(X, y, key=jax.random.key(0), n_classes=2, n_estimators=20).params
      >>> predict(params, [[0.2], [2.8]]).tolist()
      [0, 1]
    """
    if criterion is None:
        criterion = "variance" if n_classes is None else "gini"
    options = ("variance",) if n_classes is None else _criteria.CLASSES
    criterion = _check.choice("criterion", criterion, options)
    X = _check.array("X", X, ndim=2)
    if n_classes is None:
        X, y, s = _check.supervised(X, y, sample_weight)
    else:
        n_classes = _check.integer("n_classes", n_classes, 1)
        y = _check.labels(y, X.shape[0], n_classes=n_classes)
        s = _check.weights(sample_weight, X)
    found = _fit(
        X, y, s, _check.key("key", key),
        _check.at_least("min_samples_leaf", min_samples_leaf, 0, dtype=X.dtype),
        _check.at_least("min_impurity_decrease", min_impurity_decrease, 0, dtype=X.dtype),
        B=_check.integer("n_estimators", n_estimators, 1),
        criterion=criterion,
        max_depth=_grow.depth(_check.integer("max_depth", max_depth, 0), X.shape[0]),
        max_features=_bagging.feature_count(max_features, X.shape[1]),
        n_classes=n_classes,
        n_bins=_inputs.bin_count(n_bins, X.shape[0]),
        weighted=sample_weight is not None,
        bootstrap=bool(bootstrap),
    )  # fmt: skip
    return _check.raise_for(found, X, y, s)


@partial(
    jax.jit,
    static_argnames=(
        "B", "criterion", "max_depth", "max_features", "n_classes", "n_bins", "weighted",
        "bootstrap",
    ),
)  # fmt: skip
def _fit(
    X: Rows, y: Array, s: Column, key: Key, least: Scalar, decrease: Scalar, *, n_bins: int,
    weighted: bool, n_classes: int | None, B: int, **how: Any,
) -> Fit[Params]:  # fmt: skip
    s = jax.lax.optimization_barrier(s)  # or a compiler works out every sum of ones itself
    bins = _bins.make(*jax.lax.stop_gradient((X, s)), n_bins=n_bins, weighted=weighted)
    keys = jax.random.split(key, (B, 2))
    trees, votes, a = _bagging.run(bins, y, s, keys, least, decrease, n_classes=n_classes, **how)
    beside = (slice(None), *[None] * (votes.all.ndim - 1))  # one number per row beside (n, k)
    mean = a + votes.unseen / jnp.maximum(votes.others, 1).astype(X.dtype)[beside]
    unseen = votes.others > 0
    judged = jnp.where(unseen.any(), mean, a + votes.all / B)
    wrong = (judged - y) ** 2 if n_classes is None else jnp.argmax(judged, axis=1) != y
    counted = jnp.where(unseen | ~unseen.any(), s, 0.0)
    stray = () if n_classes is None else ((Code.BAD_LABELS, (y < 0).any()),)
    params, info = certify(
        trees,
        objective=weighted_mean(wrong.astype(X.dtype), counted),
        residual=votes.residual,
        tol=float(jnp.finfo(X.dtype).eps) ** 0.5,
        n_iter=B,
        flags=_inputs.flags(X, y if n_classes is None else s, s, *stray),
        unmet=Code.ILL_CONDITIONED,
    )
    # Beside the certificate: that every tree has seen a row is no failure.
    known = unseen & (info.code < Code.DIVERGED)
    return Fit(Params(params, jnp.where(known[beside], mean, jnp.nan)), info)


def _values(params: Params, X: ArrayLike) -> Array:
    """f(x), NaN for a traced row with NaN or inf."""
    X = _check.finite("X", _check.rows(X, d=params.trees.decrease.shape[1]))
    return _ensemble.mean(params.trees, X)


def predict_proba(params: Params, X: ArrayLike) -> Float[Array, "n k"]:
    """Return the mean over the trees of the shares of the classes; NaN for a traced NaN row.

    Raises:
      ValueError: The forest predicts numbers, X has another number of columns, or a concrete X
        holds NaN or inf.
    """
    if params.trees.value.ndim == 2:
        raise ValueError("the forest was fitted to targets: it predicts numbers, no probabilities")
    return _values(params, X)


def predict(params: Params, X: ArrayLike) -> Array:
    """Return the likeliest class, of equals the lowest, or the mean of the trees.

    A traced row with NaN or inf gets -1, or NaN.
    """
    value = _values(params, X)
    return value if value.ndim == 1 else _leaves.commonest(value)


def feature_importances(params: Params) -> Float[Array, " d"]:
    """Return the mean over the trees of the share of each feature in the decrease of impurity.

    They sum to 1; trees of a single leaf are left out, and 0 is returned if there are no others.
    scikit-learn: feature_importances_. Biased to features of many values; permutation importances
    on held-out rows are not.
    """
    shares = jax.vmap(tree.feature_importances)(params.trees)
    whole = jnp.sum(shares)
    return jnp.sum(shares, axis=0) / jnp.where(whole > 0, whole, 1.0)
