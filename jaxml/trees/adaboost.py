"""AdaBoost: trees that vote, each fitted to the rows that those before it got wrong.

    F(x) = sum_m alpha_m g_m(x),    g_mk = 1 for the class that tree m votes for, else -1/(K - 1)
    L(F) = 1/s sum_i s_i exp(-y_i'F(x_i) / K),    y coded like g

Stagewise descent of L: w_i = s_i exp(-y_i'F(x_i) / K); a tree is grown on the weights w; eps is its
weighted error; alpha = (K - 1)^2 / K [ln((1 - eps) / eps) + ln(K - 1)] is the argmin of L along its
votes, and then its weighted error becomes 1 - 1/K. For two classes alpha = 1/2 ln((1 - eps) / eps),
y'F/K is the margin y F with y in {-1, 1}, and L is the mean of e^(-y F).

Symbols: K = n_classes, 2 if None; s_i = sample_weight[i], 1 if None, s their sum.
scikit-learn: AdaBoostClassifier, whose estimator_weights_ are alpha K / (K - 1)^2; the same trees
where bins hold one value each. Its decision_function is the same for K > 2, twice this for K = 2;
its probabilities are others.

Reference: Freund, Schapire (1997), A decision-theoretic generalization of on-line learning;
Friedman, Hastie, Tibshirani (2000), Additive logistic regression; Zhu et al. (2009), Multi-class
AdaBoost.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._loop import Code, Fit, certify
from jaxml._sums import weighted_mean
from jaxml._typing import Array, ArrayLike, Column, Float, Int, Labels, Rows, Scalar
from jaxml.trees import _bins, _ensemble, _grow, _inputs, _leaves, _reweighting, tree

__all__ = [
    "Params", "decision_function", "feature_importances", "fit", "loss", "predict",
    "predict_proba", "staged_decision_function",
]  # fmt: skip


class Params(NamedTuple):
    """Trees and how much the votes of each weigh."""

    weights: Float[Array, " m"]  # alpha_m; 0 after the fit has stopped
    trees: tree.Params  # leading axis m; value is g: (m, v) in {-1, 1}, or (m, v, k)


def fit(
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_estimators: int = 50,
    max_depth: int = 1,
    n_classes: int | None = None,
    n_bins: int = 256,
    sample_weight: ArrayLike | None = None,
) -> Fit[Params]:
    """Add trees one by one, each with the weight that lowers the exponential loss most.

    Args:
      X: Features (n, d), float32 or float64; integers become the default float.
      y: Labels (n,): -1 and 1, or with n_classes the integers 0..n_classes-1. One class will do.
      n_estimators: The most trees, static.
      max_depth: Depth of each, static; 1 is a stump.
      n_classes: K, static; None is two classes with labels in {-1, 1}.
      n_bins: Static; how many values of a feature are told apart at most.
      sample_weight: s_i >= 0, not all zero; only their ratios matter, however small they are.

    Returns:
      Params, and Info with objective = L(F), n_iter = trees of positive weight, and residual = the
      largest |error - (1 - 1/K)| of a tree under the weights after its round, which is 0 where
      dL/dalpha is.
      Stops after a tree with weighted error <= eps of the dtype, which counts as that eps, so that
      alpha is finite; and before a tree with weighted error >= 1 - 1/K, up to 64 eps, whose votes
      are worth nothing. Trees vote for the heaviest class of a leaf, the lowest of equals.
      Splits and votes are constant almost everywhere: the derivatives of alpha with respect to
      sample_weight are those at fixed trees.

    Raises:
      ValueError: Shapes disagree, a label or hyperparameter is out of range, or a concrete array
        holds NaN or inf.
      TypeError: An array is not numeric.

    Example:
      >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([-1, -1, -1, 1])
      >>> predict(fit(X, y).params, X).tolist()
      [-1, -1, -1, 1]
    """
    k = None if n_classes is None else _check.integer("n_classes", n_classes, 1)
    X = _check.array("X", X, ndim=2)
    y = _inputs.signs(y, X) if k is None else _check.labels(y, X.shape[0], n_classes=k)
    s = jnp.asarray(_check.weights(sample_weight, X))
    static = {
        "m": _check.integer("n_estimators", n_estimators, 1),
        "depth": _grow.depth(_check.integer("max_depth", max_depth, 1), X.shape[0]),
        "n_bins": _inputs.bin_count(n_bins, X.shape[0]),
        "weighted": sample_weight is not None,
    }
    return _check.raise_for(_fit(X, y, s, k=k, **static), X, y, s)


@partial(jax.jit, static_argnames=("k", "m", "depth", "n_bins", "weighted"))
def _fit(
    X: Rows, y: Labels, s: Column, *, k: int | None, m: int, depth: int, n_bins: int, weighted: bool
) -> Fit[Params]:
    s = jax.lax.optimization_barrier(s)  # or a compiler works out every sum of ones itself
    bins = _bins.make(*jax.lax.stop_gradient((X, s)), n_bins=n_bins, weighted=weighted)
    K, labels = k or 2, jnp.maximum(y, 0)
    rounds, log_loss = _reweighting.run(bins, labels, s, K=K, m=m, depth=depth)
    code = (rounds.vote[:, :, None] == jnp.arange(K)[None, None, :]).astype(X.dtype)
    g = code - (1 - code) / max(K - 1, 1)
    value = g if k is not None else g[..., 1]
    trees = tree.Params(rounds.feature, rounds.threshold, value, rounds.decrease)
    return certify(
        Params(rounds.alpha, trees),
        objective=jnp.exp(log_loss),
        residual=jax.lax.stop_gradient(jnp.max(rounds.gap)),
        tol=float(jnp.finfo(X.dtype).eps) ** 0.5,
        n_iter=jnp.sum(rounds.alpha > 0),
        flags=_inputs.flags(X, s, s, (Code.BAD_LABELS, (y < 0).any())),
        unmet=Code.ILL_CONDITIONED,
    )


def _checked(f: Callable[..., Array], params: Params, X: ArrayLike) -> Array:
    X = _check.rows(X, d=params.trees.decrease.shape[1])
    return _check.scores(X, f(*params, X))


def decision_function(params: Params, X: ArrayLike) -> Array:
    """Return F(x) / sum_m alpha_m, the mean of the votes: 1 for a class that all trees vote for.

    Returns:
      (n,) for labels in {-1, 1}; (n, k) with rows that sum to 0 else. 0 if no tree counts.

    Raises:
      ValueError: A concrete X holds NaN or inf, or has other features than the fit's.
    """
    F, A = _checked(_ensemble.votes, params, X), jnp.sum(params.weights)
    return F / jnp.where(A > 0, A, 1.0)


def loss(
    params: Params, X: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> Scalar:
    """Return L(F), differentiable in params.weights; NaN for a traced label out of range.

    Raises:
      ValueError: Shapes disagree, or a concrete array holds NaN, inf, or a label out of range.
    """
    X = _check.rows(X, d=params.trees.decrease.shape[1])
    value = params.trees.value
    k = value.shape[2] if value.ndim == 3 else None
    y = _inputs.signs(y, X) if k is None else _check.labels(y, X.shape[0], n_classes=k)
    s = _check.weights(sample_weight, X)
    return _check.scores(X, _loss(params, X, y, s))


@jax.jit
def _loss(params: Params, X: Rows, y: Labels, s: Column) -> Scalar:
    F = _ensemble.votes(*params, X)
    if F.ndim == 1:
        margin = jnp.where(y == 1, F, -F)
    else:  # y'F / K = [F_y - (0 - F_y) / (K - 1)] / K, since F sums to 0
        margin = jnp.take_along_axis(F, y[:, None], axis=1)[:, 0] / max(F.shape[1] - 1, 1)
    return weighted_mean(jnp.where(y >= 0, jnp.exp(-margin), jnp.nan), s)


def predict_proba(params: Params, X: ArrayLike) -> Array:
    """Return p(y | x) = softmax(F / (K - 1)), the p for which F is the argmin of the mean of L.

    Returns:
      (n,), p(y = 1 | x) = sigma(2 F), for labels in {-1, 1}; (n, k) else. With F summed over many
      rounds these are extreme: calibrate before use as frequencies.
    """
    F = _checked(_ensemble.votes, params, X)
    if F.ndim == 1:
        return jax.nn.sigmoid(2 * F)
    return jax.nn.softmax(F / max(F.shape[1] - 1, 1), axis=1)


def predict(params: Params, X: ArrayLike) -> Int[Array, " n"]:
    """Return the class of largest F, ties to the lowest; a traced NaN row gives -1."""
    F = _checked(_ensemble.votes, params, X)
    if F.ndim == 1:
        return jnp.where(F > 0, 1, -1).astype(jnp.int32)
    return _leaves.commonest(F)


def staged_decision_function(params: Params, X: ArrayLike) -> Float[Array, "m ..."]:
    """Return decision_function of the first 1, 2, ..., m trees, stacked."""
    return _checked(_ensemble.stages, params, X)


def feature_importances(params: Params) -> Float[Array, " d"]:
    """Return the shares of the features in the decrease of impurity, the mean over trees by alpha.

    They sum to 1, or are 0 if no tree that counts has a split. scikit-learn: feature_importances_.
    """
    shares = jax.vmap(tree.feature_importances)(params.trees)
    return _leaves.importances(jnp.sum(params.weights[:, None] * shares, axis=0))
