"""Second-order boosting: each tree takes a Newton step of any twice-differentiable loss.

    J(z) = sum_i s_i l(z_i, y_i),   z_i = b + sum_t learning_rate w_t(leaf of x_i in tree t)
    round t: min over trees  sum_i s_i [g_i w + h_i w^2 / 2] + sum over leaves (l2/2) w^2
    => w = -G/(H + l2),   gain of a split = 1/2 [G_L^2/(H_L + l2) + G_R^2/(H_R + l2) - G^2/(H + l2)]

g_i and h_i are the derivatives of l(z_i, y_i) in z_i, by autodiff. b is the constant of least loss.
Missing values (NaN) go to the side that gains more, learned for each split; where a split saw none,
to the larger side.

Symbols: s_i = sample_weight[i], 1 if None; G, H = sums of s_i g_i and s_i h_i over a leaf.
XGBoost: eta = learning_rate, lambda = l2, gamma = 2 min_split_gain (its gain lacks the 1/2), and
min_child_weight = 0 unless given; its multiclass curvature is twice the one here.
Reference: Chen, Guestrin (2016), XGBoost: a scalable tree boosting system, section 2.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check, losses
from jaxml._lanes import one_at_a_time
from jaxml._loop import Code, Fit, certify
from jaxml._typing import Array, ArrayLike, Bool, Column, Float, Int, Key, Real, Rows, Scalar
from jaxml.trees import _bins, _boost, _ensemble, _grow, _inputs, _leaves, _newton
from jaxml.trees._newton import leaf_weight, split_gain

__all__ = [
    "Params", "decision_function", "feature_importances", "fit", "leaf_weight", "predict",
    "predict_proba", "split_gain",
]  # fmt: skip


class Params(NamedTuple):
    """T rounds of k trees, each a heap of m nodes; k = 1 but for losses of several scores."""

    base: Float[Array, " k"]  # b
    feature: Int[Array, "T k m"]  # j, -1 at a leaf
    threshold: Float[Array, "T k m"]  # rows with x_j <= t go left
    missing_left: Bool[Array, "T k m"]  # whether rows without x_j go left
    value: Float[Array, "T k m"]  # learning_rate w at leaves
    gain: Float[Array, " d"]  # of all splits, by feature
    loss: Any  # a tree without leaves that holds the loss, so that predict knows it


def fit(
    X: ArrayLike,
    y: ArrayLike,
    *,
    loss: Callable[[Any, Any], Scalar] = losses.logistic,
    n_estimators: int = 100,
    learning_rate: Real = 0.1,
    max_depth: int = 6,
    l2: Real = 1.0,
    min_split_gain: Real = 0.0,
    n_bins: int = 256,
    sample_weight: ArrayLike | None = None,
    n_classes: int | None = None,
    min_child_weight: Real = 0.0,
    subsample: Real = 1.0,
    colsample: Real = 1.0,
    key: Key | None = None,
    base_score: ArrayLike | None = None,
    X_val: ArrayLike | None = None,
    y_val: ArrayLike | None = None,
    patience: int | None = None,
) -> Fit[Params]:
    """Boost trees, all rounds in one compiled loop.

    Args:
      X: Features (n, d), NaN where a value is missing; integers become the default float.
      y: Labels 0/1 for losses.logistic, -1/1 for the exponential and hinge losses, 0..k-1 for
        losses.softmax_cross_entropy, else targets.
      loss: (z, y) -> loss of one row, twice differentiable; static, so pass the same function.
        Where it has a slope but no curvature, the largest curvature of all rows is taken, or 1.
      n_estimators: T, static.
      learning_rate: In (0, 1], traced.
      max_depth: Static, >= 0.
      l2: >= 0, traced.
      min_split_gain: A split needs more, traced.
      n_bins: 2..256, static; one is kept for missing values.
      sample_weight: s_i >= 0, not all zero; bins are weighted too.
      n_classes: k, static, for a loss of k scores: z is (k,), and each round has k trees on the
        diagonal of the Hessian. None is one score, or max(y) + 1 for softmax_cross_entropy.
      min_child_weight: H that each side of a split needs, traced.
      subsample: Share of rows that a round sees, in (0, 1], traced; each is drawn by itself.
      colsample: Share of features that a round sees, rounded to at least one, traced.
      key: Random key, required where a share may be below 1.
      base_score: b, a number or (k,), traced; None is the constant of least loss.
      X_val: Rows (m, d) that tell which round is best: later ones are taken back.
      y_val: Their targets.
      patience: Static; stop after so many rounds without a better one. None runs all.

    Returns:
      Params, and Info with objective = the mean training loss, n_iter = rounds kept, and residual
      = the largest difference between the scores summed up in the rounds and those of
      decision_function, over 256 rows, relative to the largest score. ILL_CONDITIONED if they
      differ; DIVERGED if the scores are not finite. Derivatives of a fit are 0 by definition;
      decision_function has those in base and value.

    Raises:
      ValueError: Shapes disagree, an option is out of range, labels are not those of the loss, key
        is missing, or a concrete array holds inf, or NaN outside X.
      TypeError: An array is not numeric, or a static argument is no integer.

    Example:
      >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 0, 1, 1])
      >>> params = fit(X, y, n_estimators=5, max_depth=1).params
      >>> predict(params, [[0.5], [2.5], [jnp.nan]]).tolist()
      [0, 1, 0]
    """
    X = _check.array("X", X, ndim=2)
    dtype, n = X.dtype, X.shape[0]
    if n_classes is not None or loss is losses.softmax_cross_entropy:
        n_classes = _inputs.classes(y, n_classes)
    y = _inputs.targets("y", y, n, loss, n_classes, dtype)
    s = _check.weights(sample_weight, X)
    options = _inputs.options(
        learning_rate=learning_rate, l2=l2, min_split_gain=min_split_gain,
        min_child_weight=min_child_weight, subsample=subsample, colsample=colsample,
        key=key, dtype=dtype,
    )  # fmt: skip
    found = _fit(
        X, y, s, options, _inputs.base(base_score, n_classes or 1, dtype), key,
        _inputs.validation(X_val, y_val, patience, X, loss, n_classes),
        loss=loss,
        n_estimators=_check.integer("n_estimators", n_estimators, 1),
        max_depth=_grow.depth(_check.integer("max_depth", max_depth, 0), n),
        n_bins=_inputs.bin_count(n_bins, n + 1),
        n_classes=n_classes,
        patience=None if patience is None else _check.integer("patience", patience, 1),
        weighted=sample_weight is not None,
    )  # fmt: skip
    if _check.is_concrete(found.info.code, X) and int(np.max(found.info.code)) >= Code.BAD_LABELS:
        _inputs.known("X", X)
    return _check.raise_for(found, y, s) if _check.is_concrete(X) else found


@partial(
    jax.jit,
    static_argnames=(
        "loss", "n_estimators", "max_depth", "n_bins", "n_classes", "patience", "weighted",
    ),
)  # fmt: skip
def _fit(
    X: Rows, y: Array, s: Column, options: _inputs.Options, base: Float[Array, " k"] | None,
    key: Key | None, validation: _inputs.Validation | None, *, loss: Callable, n_bins: int,
    n_classes: int | None, weighted: bool, **how: Any,
) -> Fit[Params]:  # fmt: skip
    X, y, s, options, base, validation = jax.lax.stop_gradient((X, y, s, options, base, validation))
    labels = jnp.issubdtype(y.dtype, jnp.integer)
    stray = (y < 0).any() if labels else jnp.isnan(y).any()
    bins = _bins.make(X, s, n_bins=n_bins, weighted=weighted, missing=True)
    # One class has scores (1,), where one score by itself is a number.
    of_row = (lambda z, y: loss(z[None], y)) if n_classes == 1 else loss
    b = _newton.constant(of_row, y, s, n_classes or 1) if base is None else base
    run = one_at_a_time(partial(_boost.run, loss=of_row, **how))
    rounds = run(bins, y, s, b, options, key, validation)
    tree, value = _boost.kept(rounds)
    gain = _leaves.by_feature(tree.feature, tree.gain, X.shape[1])
    code = Code.BAD_LABELS if labels or loss in _inputs.LABELS else Code.NONFINITE_INPUT
    return certify(
        Params(b, *tree[:3], value, gain, jax.tree_util.Partial(loss)),
        objective=_newton.mean_loss(of_row, rounds.best, y, s),
        residual=_boost.drift(rounds, b, X),
        tol=float(jnp.finfo(X.dtype).eps) ** 0.5,
        n_iter=rounds.kept,
        flags=_inputs.flags(jnp.where(jnp.isnan(X), 0.0, X), s, s, (code, stray)),
        unmet=Code.ILL_CONDITIONED,
    )


def decision_function(params: Params, X: ArrayLike) -> Array:
    """Return the scores z (n,), or (n, k) of a loss of k scores; NaN in X is a missing value.

    Raises:
      ValueError: X has another number of columns, or a concrete X holds inf. A traced row with inf
        gets NaN.
    """
    X = _inputs.known("X", _check.rows(X, d=len(params.gain)))
    z = _ensemble.scores(*params[:5], X)
    z = jnp.where(jnp.isinf(X).any(axis=1)[:, None], jnp.nan, z)
    return z[:, 0] if len(params.base) == 1 else z


def predict_proba(params: Params, X: ArrayLike) -> Array:
    """Return P(y = 1) (n,) for the logistic loss, or P(y = c) (n, k) for the softmax.

    Raises:
      ValueError: The loss of the fit is another: it has no probabilities.
    """
    z, loss = decision_function(params, X), params.loss.func
    if loss is losses.logistic:
        return jax.nn.sigmoid(z)
    if loss is losses.softmax_cross_entropy:
        return jax.nn.softmax(z, axis=1) if z.ndim == 2 else jnp.ones((len(z), 1), z.dtype)
    raise ValueError("the loss of the fit has no probabilities: expected logistic or softmax")


def predict(params: Params, X: ArrayLike) -> Array:
    """Return the label by the sign of the score or the largest of them, or the score itself.

    Labels for the losses that have them, of equal scores the lower one, -1 for a traced row with
    inf (0 for labels -1, 1); scores for any other loss.
    """
    z, loss = decision_function(params, X), params.loss.func
    if loss is losses.softmax_cross_entropy:
        return _leaves.commonest(z if z.ndim == 2 else z[:, None])
    if loss not in _inputs.LABELS:
        return z
    low, high = _inputs.LABELS[loss]
    label = jnp.where(z > 0, high, low)
    return jnp.where(jnp.isnan(z), low - 1 if low == 0 else 0, label).astype(jnp.int32)


def feature_importances(params: Params) -> Float[Array, " d"]:
    """Return the share of each feature in the gains of all splits; they sum to 1, or are all 0.

    XGBoost: importance_type="total_gain", normalized.
    """
    return _leaves.importances(params.gain)
