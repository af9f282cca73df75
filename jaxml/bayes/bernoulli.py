"""Bernoulli naive Bayes: features that are on or off, independent given the class.

    log p(c, x) = log pi_c + sum_j [b_j log P_cj + (1 - b_j) log Q_cj],   b_j = [x_j > binarize]
    pi_c = N_c / N,   P_cj = (T_cj + alpha) / (T_cj + U_cj + 2 alpha),   Q_cj = 1 - P_cj
    T_cj = sum_i s_i b_ij,   U_cj = sum_i s_i (1 - b_ij),   N_c = sum_i s_i = T_cj + U_cj

with sums over the rows of class c, and 0 log 0 = 0.

Symbols: s_i = sample_weight[i], 1 if None; N = sum_c N_c. alpha is that of a Beta prior on P_cj:
Beta(alpha + 1, alpha + 1), of which P_cj is the mode. scikit-learn: BernoulliNB(alpha,
force_alpha=True, binarize).
Reference: Manning, Raghavan, Schuetze (2008), Introduction to Information Retrieval, section 13.3.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check, _groups
from jaxml._loop import Code, Fit
from jaxml._typing import Array, ArrayLike, Column, Float, Int, Labels, Real, Rows, Scalar
from jaxml.bayes import _classes, _counts
from jaxml.bayes._classes import Flags, Given

__all__ = [
    "Params", "Statistics", "fit", "from_statistics", "log_joint", "merge", "predict",
    "predict_proba", "statistics",
]  # fmt: skip


class Params(NamedTuple):
    """Class priors and the probability of each feature being on, or off, in each class."""

    prior: Float[Array, " k"]  # pi_c, 0 for a class without rows
    probability: Float[Array, "k d"]  # P_cj
    complement: Float[Array, "k d"]  # Q_cj, kept apart: 1 - P_cj would lose the digits of a small Q
    binarize: Scalar  # the threshold above which a feature is on


class Statistics(NamedTuple):
    """What is kept of the rows; zeros stand for no rows at all."""

    mass: Float[Array, " k"]  # N_c
    on: Float[Array, "k d"]  # T_cj
    off: Float[Array, "k d"]  # U_cj


def _on(X: Rows, binarize: Scalar) -> Rows:
    """b_ij. NaN and inf become NaN, for the sums to tell of them."""
    return jnp.where(jnp.isfinite(X), jnp.greater(X, binarize).astype(X.dtype), jnp.nan)


def _sums(X: Rows, y: Labels, s: Column, binarize: Scalar, k: int) -> Statistics:
    def terms(X: Rows, s: Column, binarize: Scalar) -> tuple[Array, ...]:
        on = _on(X, binarize)
        return s[:, None], s[:, None] * on, s[:, None] * (1 - on)

    y, s = _classes.valid(y, s)
    mass, on, off = _groups.sums(terms, y, k, X, s, about=(binarize,))
    return Statistics(mass[:, 0], on, off)


def statistics(
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_classes: int,
    binarize: Real = 0.0,
    sample_weight: ArrayLike | None = None,
) -> Statistics:
    """Return the sufficient statistics of some rows, to be merged with those of others.

    A label out of range or a negative weight turns them into NaN under a trace.

    Args:
      X: Features (n, d).
      y: Labels (n,), integers 0..n_classes-1; classes may be missing.
      n_classes: k, static.
      binarize: A feature is on above this threshold, traced; the same for all that is merged.
      sample_weight: s_i >= 0, not all zero.

    Raises:
      ValueError: Shapes disagree, or a concrete array holds NaN, inf, or a label out of range.

    Example:
      >>> X, y = jnp.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), jnp.array([0, 0, 1])
      >>> statistics(X, y, n_classes=2).on.tolist()
      [[2.0, 1.0], [0.0, 1.0]]
    """
    X, y, s, k = _classes.inputs(X, y, sample_weight, n_classes)
    binarize = _check.at_least("binarize", binarize, -jnp.inf, dtype=X.dtype)
    found = _statistics(X, y, s, binarize, n_classes=k)
    return _classes.sound(found, X, found.on)


@partial(jax.jit, static_argnames="n_classes")
def _statistics(X: Rows, y: Labels, s: Column, binarize: Scalar, *, n_classes: int) -> Statistics:
    stray = _classes.stray(y, s)
    found = _sums(X, y, s, binarize, n_classes)
    return jax.tree.map(lambda leaf: jnp.where(stray, jnp.nan, leaf), found)


def merge(a: Statistics, b: Statistics) -> Statistics:
    """Return the statistics of the rows of both; zeros are neutral, to start a stream with."""
    return Statistics(a.mass + b.mass, a.on + b.on, a.off + b.off)


def from_statistics(
    statistics: Statistics,
    *,
    alpha: Real = 1.0,
    binarize: Real = 0.0,
    fit_prior: bool = True,
    class_prior: ArrayLike | None = None,
) -> Fit[Params]:
    """Return what fit returns for all rows behind the statistics.

    NONFINITE_INPUT: the statistics hold NaN or inf. The rest is as in fit; binarize is that of the
    statistics, kept in the parameters.
    """
    dtype, k = statistics.on.dtype, statistics.mass.shape[0]
    alpha = _check.at_least("alpha", alpha, 0, dtype=dtype)
    binarize = _check.at_least("binarize", binarize, -jnp.inf, dtype=dtype)
    pi = _classes.given_prior("class_prior", class_prior, k, dtype)
    found = _from_statistics(statistics, alpha, binarize, pi, fit_prior=bool(fit_prior))
    return _check.raise_for(found, statistics)


@partial(jax.jit, static_argnames="fit_prior")
def _from_statistics(
    statistics: Statistics, alpha: Scalar, binarize: Scalar, given: Given, *, fit_prior: bool
) -> Fit[Params]:
    broken = ~jnp.isfinite(jnp.sum(statistics.mass) + jnp.max(statistics.on + statistics.off))
    flags = ((Code.NONFINITE_INPUT, broken),)
    return _finish(statistics, alpha, binarize, given, flags, fit_prior)


def fit(
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_classes: int,
    alpha: Real = 1.0,
    binarize: Real = 0.0,
    fit_prior: bool = True,
    class_prior: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Fit[Params]:
    """Maximize the posterior of the parameters, in one pass over the data.

    Args:
      X: Features (n, d); integers become the default float.
      y: Labels (n,), integers 0..n_classes-1. A class without rows gets prior 0; one class will do.
      n_classes: k, static.
      alpha: Pseudo-count of on and of off, >= 0, traced; 0 is maximum likelihood.
      binarize: A feature is on above this threshold, traced; it is kept for predict.
      fit_prior: Static; False gives every class the prior 1/k.
      class_prior: pi (k,), positive, summing to 1, traced; None is N_c / N.
      sample_weight: s_i >= 0, not all zero.

    Returns:
      Params, and Info with objective = minus the mean log-likelihood and residual = how far the
      derivatives of the log-posterior are from the multipliers of its constraints, the sums of
      probabilities held at 1: max over c, j of |(T_cj + alpha) / (P_cj lambda_cj) - 1|, the same
      of U_cj and Q_cj, lambda_cj = T_cj + U_cj + 2 alpha, and of |N pi_c / N_c - 1|.
      Derivatives with respect to sample_weight, alpha and class_prior are those of the closed
      form, taken directly; with respect to X they are 0, since only thresholds are passed.

    Raises:
      ValueError: Shapes disagree, a label or hyperparameter is out of range, or a concrete array
        holds NaN or inf.
      TypeError: An array is not numeric.

    Example:
      >>> X, y = jnp.array([[1, 1, 0], [0, 1, 0], [0, 1, 1], [1, 0, 1]]), jnp.array([0, 0, 0, 1])
      >>> P = fit(X, y, n_classes=2).params.probability[0]  # (T + 1) / (3 + 2)
      >>> [round(float(p), 4) for p in P]
      [0.4, 0.8, 0.4]
    """
    X, y, s, k = _classes.inputs(X, y, sample_weight, n_classes)
    alpha = _check.at_least("alpha", alpha, 0, dtype=X.dtype)
    binarize = _check.at_least("binarize", binarize, -jnp.inf, dtype=X.dtype)
    pi = _classes.given_prior("class_prior", class_prior, k, X.dtype)
    found = _fit(X, y, s, alpha, binarize, pi, n_classes=k, fit_prior=bool(fit_prior))
    return _check.raise_for(found, X, y, s)


@partial(jax.jit, static_argnames=("n_classes", "fit_prior"))
def _fit(
    X: Rows, y: Labels, s: Column, alpha: Scalar, binarize: Scalar, given: Given, *,
    n_classes: int, fit_prior: bool,
) -> Fit[Params]:  # fmt: skip
    sums = _sums(X, y, s, binarize, n_classes)
    flags = _classes.flags(X, y, s, sums.on + sums.off)
    return _finish(sums, alpha, binarize, given, flags, fit_prior)


def _finish(
    sums: Statistics, alpha: Scalar, binarize: Scalar, given: Given, flags: Flags, fit_prior: bool
) -> Fit[Params]:
    count, on, off = sums
    pi, impossible = _classes.prior(count, given, uniform=not fit_prior)
    multiplier = on + off + 2 * alpha  # lambda_cj
    P, Q = (_counts.mode(T, alpha, multiplier, 0.5) for T in (on, off))
    return _counts.certified(
        Params(pi, P, Q, jnp.asarray(binarize)), count, ((on, P), (off, Q)), alpha, multiplier,
        sums=P + Q, estimated=given is None and fit_prior, impossible=impossible,
        flags=(*flags, (Code.DEGENERATE, impossible)),
    )  # fmt: skip


def log_joint(params: Params, X: ArrayLike) -> Float[Array, "n k"]:
    """Return log p(c, x), -inf where class c cannot have produced x.

    Raises:
      ValueError: X has another number of columns, or a concrete X holds NaN or inf.
    """
    return _classes.scores(_log_joint, params, X, params.probability.shape[1])


@jax.jit
def _log_joint(params: Params, X: Rows) -> Float[Array, "n k"]:
    pi, P, Q, binarize = params
    on = _on(X, binarize)
    return _classes.log(pi)[None, :] + _counts.log_likelihood((on, P), (1 - on, Q))


def predict_proba(params: Params, X: ArrayLike) -> Float[Array, "n k"]:
    """Return p(c | x) of each row and class; rows sum to 1. The prior if none is possible."""
    return _classes.posterior(log_joint(params, X), params.prior)


def predict(params: Params, X: ArrayLike) -> Int[Array, " n"]:
    """Return the likeliest class, ties to the lowest; a traced NaN row gives 0."""
    return jnp.argmax(predict_proba(params, X), axis=1).astype(jnp.int32)
