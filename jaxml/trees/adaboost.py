"""AdaBoost: trees that vote, each fitted to the rows that those before it got wrong.

    F(x) = sum_m alpha_m g_m(x),    g_mk = 1 for the class that tree m votes for, else -1/(K - 1)
    L(F) = 1/s sum_i s_i exp(-y_i'F(x_i) / K),    y coded like g

Stagewise descent of L: w_i = s_i exp(-y_i'F(x_i) / K); a tree is fitted to the weights w; eps is its
weighted error; alpha = (K - 1)^2 / K [ln((1 - eps) / eps) + ln(K - 1)] is the argmin of L along it,
and then its weighted error becomes 1 - 1/K. For two classes alpha = 1/2 ln((1 - eps) / eps),
y'F/K is the margin y F with y in {-1, 1}, and L is the mean of e^(-y F).

Symbols: K = n_classes, 2 if None; s_i = sample_weight[i], 1 if None, s their sum.
scikit-learn: its estimator_weights_ are alpha K / (K - 1)^2; the same trees where bins hold one
value each, the same decision_function, other probabilities.

Reference: Freund, Schapire (1997); Friedman, Hastie, Tibshirani (2000), Additive logistic
regression; Zhu, Zou, Rosset, Hastie (2009), Multi-class AdaBoost (SAMME).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._loop import Code, Fit, certify, input_flags
from jaxml._numerics import total, weighted_mean
from jaxml._typing import Array, ArrayLike, Column, Float, Int, Labels, Rows, Scalar
from jaxml.trees import _bins, _stumps
from jaxml.trees._histogram import histogram

__all__ = [
    "Params", "decision_function", "feature_importances", "fit", "loss", "predict",
    "predict_proba", "staged_decision_function",
]  # fmt: skip


class Params(NamedTuple):
    """m trees as complete binary heaps of depth D: children of node i are 2i + 1 and 2i + 2."""

    weights: Float[Array, " m"]  # alpha_m; 0 after the fit has stopped
    feature: Int[Array, "m s"]  # which column a node looks at, s = 2^D - 1
    threshold: Float[Array, "m s"]  # rows with x <= threshold go left
    value: Array  # g of each leaf: (m, 2^D) in {-1, 1}, or (m, 2^D, k) in {1, -1/(K - 1)}
    gain: Float[Array, "m s"]  # share of the weight of all rows by which a split lowers impurity


class Round(NamedTuple):
    """What a round leaves behind."""

    alpha: Scalar
    gap: Scalar  # |weighted error of the tree after the update - (1 - 1/K)|
    feature: Int[Array, " s"]
    bin: Int[Array, " s"]
    vote: Int[Array, " l"]
    gain: Float[Array, " s"]


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
    y = _signs(y, X) if k is None else _check.labels(y, X.shape[0], n_classes=k)
    s = jnp.asarray(_check.weights(sample_weight, X))
    static = {
        "m": _check.integer("n_estimators", n_estimators, 1),
        "depth": _check.integer("max_depth", max_depth, 1),
        "bins": _check.integer("n_bins", n_bins, 2),
        "weighted": sample_weight is not None,
    }
    return _check.raise_for(_fit(X, y, s, k=k, **static), X, y, s)


def _signs(y: Any, X: Rows) -> Labels:
    """-1 and 1 as the classes 0 and 1; -1 where a traced label is neither."""
    y = _check.array("y", y, ndim=1, dtype=X.dtype)
    if y.shape != X.shape[:1]:
        raise ValueError(f"y needs one label per row of X: expected {X.shape[0]}, got {y.shape[0]}")
    if _check.is_concrete(_check.finite("y", y)):
        host = np.asarray(y)
        if (wrong := host[np.abs(host) != 1]).size:
            raise ValueError(
                f"y must hold the labels -1 and 1: got {wrong[0]:g}; or give n_classes"
            )
    return jnp.where(jnp.abs(y) == 1, y > 0, -1).astype(jnp.int32)


@partial(jax.jit, static_argnames=("k", "m", "depth", "bins", "weighted"))
def _fit(
    X: Rows, y: Labels, s: Column, *, k: int | None, m: int, depth: int, bins: int, weighted: bool
) -> Fit[Params]:
    s = jax.lax.optimization_barrier(s)  # or a compiler works out every sum of ones itself
    K = k or 2
    q = max(K - 1, 1)
    eps_0 = jnp.finfo(X.dtype).eps
    bin_of, thresholds = _bins.make(X, s, n_bins=bins, weighted=weighted)
    seen = jnp.maximum(y, 0)
    # One threshold more: what has no split lies to the left of it.
    edges = jnp.pad(thresholds, ((0, 0), (0, 1)), constant_values=jnp.inf)
    learn = _stump_learner(bin_of, seen, bins, K) if depth == 1 else None

    def one(log_w: Column) -> tuple[Column, Round, Array]:
        w = _weights(log_w)
        feature, bin, vote, gain, voted = learn(w)
        wrong = voted != seen
        error = total(jnp.where(wrong, w, 0.0))
        perfect = error <= eps_0
        worthless = ~perfect & (error >= 1 - 1 / K - 64 * eps_0)
        eps = jnp.clip(error, eps_0, max(1 - 1 / K, eps_0))
        alpha = q**2 / K * (jnp.log1p(-eps) - jnp.log(eps) + jnp.log(float(q)))
        alpha = jnp.where(worthless, 0.0, alpha)
        log_w = log_w + jnp.where(wrong, alpha / q**2, -alpha / q)
        after = total(jnp.where(wrong, _weights(log_w), 0.0))
        gap = jnp.where(perfect | worthless, 0.0, jnp.abs(after - (1 - 1 / K)))
        return log_w, Round(alpha, gap, feature, bin, vote, gain), perfect | worthless

    def step(state: tuple[Column, Array], _: None) -> tuple[tuple[Column, Array], Round]:
        log_w, done = state
        nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(one, log_w)[1])
        log_w, found, done = jax.lax.cond(
            done, lambda log_w: (log_w, nothing, jnp.array(True)), one, log_w
        )
        return (log_w, done), found

    # Weights of 1e-263 and products of many rounds are ordinary numbers as logarithms.
    start = jnp.where(s > 0, jnp.log(jnp.where(s > 0, s, 1.0)), -jnp.inf)
    (log_w, _), rounds = jax.lax.scan(step, (start, jnp.array(False)), None, length=m)
    objective = jnp.exp(jax.nn.logsumexp(log_w) - jax.nn.logsumexp(start))
    code = jax.nn.one_hot(rounds.vote, K, dtype=X.dtype) * ((q + 1) / q) - 1 / q
    params = Params(
        rounds.alpha,
        rounds.feature,
        edges[rounds.feature, rounds.bin],
        code if k is not None else code[..., 1],
        rounds.gain,
    )
    return certify(
        params,
        objective=objective,
        residual=jnp.max(rounds.gap),
        tol=jnp.finfo(X.dtype).eps ** 0.5,
        n_iter=jnp.sum(rounds.alpha > 0),
        flags=(
            *input_flags(X, s, s, jnp.max(jnp.abs(X), axis=0)),
            (Code.BAD_LABELS, (y < 0).any()),
        ),
        unmet=Code.ILL_CONDITIONED,
    )


def _weights(log_w: Column) -> Column:
    """w / sum w from log w + any constant."""
    w = jnp.exp(log_w - jax.lax.stop_gradient(jnp.max(log_w)))
    return w / total(w)


def _stump_learner(codes: Array, y: Labels, bins: int, K: int) -> Any:
    """w -> the best tree of one split: feature, bin, votes, gain, and each row's vote."""

    def learn(w: Column) -> tuple[Array, ...]:
        # Classes take the place of nodes: one scalar is written for each row and feature.
        def one(code: Array) -> Array:
            return histogram(code, y, w[:, None], n_slots=K, n_bins=bins)[..., 0]

        H = jax.lax.map(one, codes)
        j, b, sides, gain = _stumps.best(H)
        votes = _stumps.heaviest(sides)
        voted = jnp.where(codes[j].astype(jnp.int32) <= b, votes[0], votes[1])
        return j[None], b[None], votes, gain[None], voted

    return learn


def _scores(params: Params, X: Rows) -> Any:
    """Yield F after each round to a scan: (state, step)."""
    columns = X.T

    def leaves(feature: Array, threshold: Array) -> Array:
        node = (columns[feature[0]] > threshold[0]).astype(jnp.int32)
        depth = (feature.shape[0] + 1).bit_length() - 1
        for level in range(1, depth):
            at = node + 2**level - 1
            x = jnp.take_along_axis(columns, feature[at][None, :], axis=0)[0]
            node = 2 * node + (x > threshold[at])
        return node

    def step(F: Array, tree: tuple) -> Array:
        alpha, feature, threshold, value, _ = tree
        return F + alpha * value[leaves(feature, threshold)]

    return jnp.zeros((X.shape[0], *params.value.shape[2:]), X.dtype), step


@jax.jit
def _sum(params: Params, X: Rows) -> Array:
    """F(x)."""
    start, step = _scores(params, X)
    F, _ = jax.lax.scan(lambda F, tree: (step(F, tree), None), start, tuple(params))
    return _missing(F, X)


def _missing(F: Array, X: Rows) -> Array:
    known = jnp.isfinite(X).all(axis=1)
    return jnp.where(known.reshape(-1, *[1] * (F.ndim - 1)), F, jnp.nan)


def _checked(f: Any, params: Params, X: ArrayLike) -> Array:
    X = _check.array("X", X, ndim=2)
    return _check.scores(X, f(params, X))


def decision_function(params: Params, X: ArrayLike) -> Array:
    """Return F(x) / sum_m alpha_m, the mean of the votes: a margin in [-1, 1] if x has one class.

    Returns:
      (n,) for labels in {-1, 1}; (n, k) with rows that sum to 0 else. 0 if no tree counts.

    Raises:
      ValueError: A concrete X holds NaN or inf, or has other features than the fit's.
    """
    A = jnp.sum(params.weights)
    return _checked(lambda params, X: _stumps.share(_sum(params, X), A), params, X)


def loss(
    params: Params, X: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> Scalar:
    """Return L(F), differentiable in params.weights; NaN for a traced label out of range.

    Raises:
      ValueError: Shapes disagree, or a concrete array holds NaN, inf, or a label out of range.
    """
    X = _check.array("X", X, ndim=2)
    k = params.value.shape[2] if params.value.ndim == 3 else None
    y = _signs(y, X) if k is None else _check.labels(y, X.shape[0], n_classes=k)
    s = _check.weights(sample_weight, X)
    return _check.scores(X, _loss(params, X, y, s))


@jax.jit
def _loss(params: Params, X: Rows, y: Labels, s: Column) -> Scalar:
    F = _sum(params, X)
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
    F = _checked(_sum, params, X)
    if F.ndim == 1:
        return jax.nn.sigmoid(2 * F)
    return jax.nn.softmax(F / max(F.shape[1] - 1, 1), axis=1)


def predict(params: Params, X: ArrayLike) -> Int[Array, " n"]:
    """Return the class of largest F, ties to the lowest; a traced NaN row gives the lowest."""
    F = _checked(_sum, params, X)
    if F.ndim == 1:
        return jnp.where(F > 0, 1, -1).astype(jnp.int32)
    return jnp.argmax(jnp.where(jnp.isnan(F), 0.0, F), axis=1).astype(jnp.int32)


def staged_decision_function(params: Params, X: ArrayLike) -> Float[Array, "m ..."]:
    """Return decision_function of the first 1, 2, ..., m trees, stacked."""

    @jax.jit
    def staged(params: Params, X: Rows) -> Array:
        start, step = _scores(params, X)

        def once(F: Array, tree: tuple) -> tuple[Array, Array]:
            F = step(F, tree)
            return F, F

        stages = jax.lax.scan(once, start, tuple(params))[1]
        A = jnp.cumsum(params.weights).reshape(-1, *[1] * (stages.ndim - 1))
        return jax.vmap(_missing, (0, None))(_stumps.share(stages, A), X)

    return _checked(staged, params, X)
