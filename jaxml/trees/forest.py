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

import math
import numbers
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._lanes import one_at_a_time
from jaxml._loop import Code, Fit, certify, input_flags
from jaxml._numerics import total, weighted_mean
from jaxml._typing import Array, ArrayLike, Bool, Column, Float, Int, Key, Real, Rows, Scalar
from jaxml.trees import _bins, _bootstrap, _criteria, _grow, tree
from jaxml.trees._histogram import by_node

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
      key: A random key; the same one gives the same forest bit by bit.
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
        X, y, s, _bootstrap.checked(key),
        _check.at_least("min_samples_leaf", min_samples_leaf, 0, dtype=X.dtype),
        _check.at_least("min_impurity_decrease", min_impurity_decrease, 0, dtype=X.dtype),
        B=_check.integer("n_estimators", n_estimators, 1),
        criterion=criterion,
        max_depth=_grow.depth(_check.integer("max_depth", max_depth, 0), X.shape[0]),
        max_features=_count(max_features, X.shape[1]),
        n_classes=n_classes,
        n_bins=tree.bin_count(n_bins, X.shape[0]),
        weighted=sample_weight is not None,
        bootstrap=bool(bootstrap),
    )  # fmt: skip
    return _check.raise_for(found, X, y, s)


def _count(max_features: Any, d: int) -> int:
    """How many of d features a node looks at."""
    if max_features is None:
        return d
    if isinstance(max_features, str):
        how = _check.choice("max_features", max_features, ("sqrt", "log2"))
        return max(1, math.isqrt(d) if how == "sqrt" else int(math.log2(d)))
    if isinstance(max_features, numbers.Integral) and not isinstance(max_features, bool):
        if not 1 <= max_features <= d:
            raise ValueError(f"max_features must lie in 1..{d} if an integer: got {max_features}")
        return int(max_features)
    if isinstance(max_features, numbers.Real) and 0 < float(max_features) <= 1:
        return max(1, int(float(max_features) * d))
    raise ValueError(
        f'max_features must be "sqrt", "log2", a number, a share in (0, 1] or None: '
        f"got {max_features!r}"
    )


@partial(
    jax.jit,
    static_argnames=(
        "B", "criterion", "max_depth", "max_features", "n_classes", "n_bins", "weighted",
        "bootstrap",
    ),
)  # fmt: skip
def _fit(
    X: Rows,
    y: Array,
    s: Column,
    key: Key,
    least: Scalar,
    decrease: Scalar,
    *,
    B: int,
    criterion: str,
    max_depth: int,
    max_features: int,
    n_classes: int | None,
    n_bins: int,
    weighted: bool,
    bootstrap: bool,
) -> Fit[Params]:
    n, d = X.shape
    s = jax.lax.optimization_barrier(s)  # or a compiler works out every sum of ones itself

    @one_at_a_time
    def grown(codes: Array, thresholds: Array, u: Array, W: Scalar, least: Scalar,
              decrease: Scalar, key: Key) -> _grow.Grown:  # fmt: skip
        return _grow.grow(
            _bins.Bins(codes, thresholds), u, _criteria.CRITERIA[criterion], max_depth=max_depth,
            min_gain=jnp.maximum(decrease * W, _criteria.least_gain(u, criterion)),
            min_mass=jnp.where(least > 1, least, 0.0), max_features=max_features, key=key,
        )  # fmt: skip

    bins = _bins.make(*jax.lax.stop_gradient((X, s)), n_bins=n_bins, weighted=weighted)

    def one(sums: _Sums, keys: Key) -> tuple[_Sums, tree.Params]:
        draw, look = keys
        c = _bootstrap.counts(draw, s) if bootstrap else jnp.ones(n, jnp.int32)
        w = s * c
        W = total(w)
        u, a = _criteria.target_statistics(y, w) if n_classes is None else (
            _criteria.class_statistics(y, w, n_classes), None)  # fmt: skip
        fixed = jax.lax.stop_gradient((*bins, u, W, least, decrease))
        found, leaf = grown(*fixed, look)
        m = len(found.feature)
        if a is None:
            value, before, after = tree.shares(leaf, u, W, m, criterion)
        else:
            value, before, after = tree.means(leaf, y, w, u, a, W, m)
        gained = found.gain / jnp.where(W > 0, W, 1.0)
        gained = by_node(jnp.maximum(found.feature, 0), gained[:, None], d)[:, 0]
        change = jnp.abs(before - after - jnp.sum(gained)) / jnp.where(before > 0, before, 1.0)
        votes, unseen = value[leaf], c == 0
        sums = _Sums(
            sums.all + votes,
            sums.unseen + jnp.where(_beside(unseen, votes), votes, 0.0),
            sums.count + unseen,
            jnp.maximum(sums.residual, jax.lax.stop_gradient(change)),
        )
        return sums, tree.Params(found.feature, found.threshold, value, gained)

    none = jnp.zeros((n,) if n_classes is None else (n, n_classes), X.dtype)
    start = _Sums(none, none, jnp.zeros(n, jnp.int32), jnp.zeros((), X.dtype))
    sums, trees = jax.lax.scan(one, start, jax.random.split(key, (B, 2)))
    seen_by_all = sums.count == 0
    mean = sums.unseen / _beside(jnp.maximum(sums.count, 1), none).astype(X.dtype)
    held_out = ~seen_by_all.all()
    judged = jnp.where(held_out, mean, sums.all / B)
    wrong = (judged - y) ** 2 if n_classes is None else jnp.argmax(judged, axis=1) != y
    weight = jnp.where(held_out & seen_by_all, 0.0, s)
    flags = input_flags(X, y if n_classes is None else s, s, jnp.max(X) - jnp.min(X))
    if n_classes is not None:
        flags = (*flags, (Code.BAD_LABELS, (y < 0).any()))
    fit = certify(
        trees,
        objective=weighted_mean(wrong.astype(X.dtype), weight),
        residual=sums.residual,
        tol=float(jnp.finfo(X.dtype).eps) ** 0.5,
        n_iter=B,
        flags=tuple(flag for flag in flags if flag[0] is not Code.DIVERGED),
        unmet=Code.ILL_CONDITIONED,
    )
    # Beside the certificate: a row in every bag has no prediction, which is no failure.
    unknown = seen_by_all | (fit.info.code >= Code.DIVERGED)
    return Fit(Params(fit.params, jnp.where(_beside(unknown, none), jnp.nan, mean)), fit.info)


class _Sums(NamedTuple):
    """What is added up over the trees."""

    all: Array  # predictions of each row
    unseen: Array  # of the trees that have not seen it
    count: Int[Array, " n"]  # how many these are
    residual: Scalar  # the largest


def _beside(row: Bool[Array, " n"], values: Array) -> Array:
    """One entry per row, as a column beside values (n, k)."""
    return row.reshape(-1, *[1] * (values.ndim - 1))


def _values(params: Params, X: ArrayLike) -> Array:
    """f(x), NaN for a traced row with NaN or inf."""
    X = _check.finite("X", _check.rows(X, d=params.trees.decrease.shape[1]))
    return _mean(params.trees, X)


@jax.jit
def _mean(trees: tree.Params, X: Rows) -> Array:
    def add(f: Array, one: tree.Params) -> tuple[Array, None]:
        return f + one.value[tree.apply(one, X)], None

    none = jnp.zeros((X.shape[0], *trees.value.shape[2:]), X.dtype)
    known = jnp.isfinite(X).all(axis=1)
    f = jax.lax.scan(add, none, trees)[0] / len(trees.value)
    return jnp.where(_beside(known, f), f, jnp.nan)


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
    if value.ndim == 1:
        return value
    known = ~jnp.isnan(value).any(axis=1)
    return jnp.where(known, jnp.argmax(value, axis=1), -1).astype(jnp.int32)


def feature_importances(params: Params) -> Float[Array, " d"]:
    """Return the mean over the trees of the share of each feature in the decrease of impurity.

    They sum to 1; trees of a single leaf are left out, and 0 is returned if there are no others.
    scikit-learn: feature_importances_. Biased to features of many values; permutation importances
    on held-out rows are not.
    """
    shares = jax.vmap(tree.feature_importances)(params.trees)
    whole = jnp.sum(shares)
    return jnp.sum(shares, axis=0) / jnp.where(whole > 0, whole, 1.0)
