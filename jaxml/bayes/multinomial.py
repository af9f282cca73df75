"""Multinomial naive Bayes: counts of d kinds, such as words, drawn independently.

    log p(c, x) = log pi_c + sum_j x_j log theta_cj   (+ a term in x alone, left out)
    pi_c = N_c / N,   theta_cj = (T_cj + alpha) / sum_l (T_cl + alpha),   T_cj = sum_i s_i x_ij

with sums over the rows of class c, and 0 log 0 = 0.

Symbols: s_i = sample_weight[i], 1 if None; N_c = sum of s_i in class c; N = sum_c N_c. alpha is
that of a Dirichlet prior on theta_c: alpha + 1 in each coordinate, of which theta is the mode.
scikit-learn: MultinomialNB(alpha, force_alpha=True).
Reference: Manning, Raghavan, Schuetze (2008), Introduction to Information Retrieval, eq. (13.7).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check, _groups
from jaxml._loop import Code, Fit
from jaxml._typing import Array, ArrayLike, Bool, Column, Float, Int, Labels, Real, Rows, Scalar
from jaxml.bayes import _classes, _counts
from jaxml.bayes._classes import Flags, Given

__all__ = [
    "Params", "Statistics", "fit", "from_statistics", "log_joint", "merge", "predict",
    "predict_proba", "statistics",
]  # fmt: skip


class Params(NamedTuple):
    """Class priors and the probability of each kind in each class."""

    prior: Float[Array, " k"]  # pi_c, 0 for a class without rows
    probability: Float[Array, "k d"]  # theta_cj; rows sum to 1


class Statistics(NamedTuple):
    """What is kept of the rows; zeros stand for no rows at all."""

    mass: Float[Array, " k"]  # N_c
    total: Float[Array, "k d"]  # T_cj


def _sums(X: Rows, y: Labels, s: Column, k: int) -> tuple[Statistics, Bool[Array, ""]]:
    """The statistics, and whether a row that counts holds a negative number."""

    def terms(X: Rows, s: Column) -> tuple[Array, ...]:
        return s[:, None], s[:, None] * X

    y, s = _classes.valid(y, s)
    mass, total = _groups.sums(terms, y, k, X, s)
    least = jnp.min(jnp.where(s > 0, jnp.min(X, axis=1), 0.0))
    return Statistics(mass[:, 0], total), least < 0


def statistics(
    X: ArrayLike, y: ArrayLike, *, n_classes: int, sample_weight: ArrayLike | None = None
) -> Statistics:
    """Return the sufficient statistics of some rows, to be merged with those of others.

    A label out of range, or a negative number, turns them into NaN under a trace.

    Args:
      X: Counts or frequencies (n, d), >= 0.
      y: Labels (n,), integers 0..n_classes-1; classes may be missing.
      n_classes: k, static.
      sample_weight: s_i >= 0, not all zero.

    Raises:
      ValueError: Shapes disagree, or a concrete array holds NaN, inf, negative counts, or a label
        out of range.

    Example:
      >>> X, y = jnp.array([[1.0, 0.0], [2.0, 1.0], [0.0, 5.0]]), jnp.array([0, 0, 1])
      >>> statistics(X, y, n_classes=2).total.tolist()
      [[3.0, 1.0], [0.0, 5.0]]
    """
    X, y, s, k = _classes.inputs(X, y, sample_weight, n_classes)
    found = _statistics(X, y, s, n_classes=k)
    if _check.is_concrete(found) and np.isnan(np.asarray(found.mass)).any():
        _counts.not_negative(X, s)
    return _classes.sound(found, X, found.total)


@partial(jax.jit, static_argnames="n_classes")
def _statistics(X: Rows, y: Labels, s: Column, *, n_classes: int) -> Statistics:
    found, negative = _sums(X, y, s, n_classes)
    stray = _classes.stray(y, s) | negative
    return jax.tree.map(lambda leaf: jnp.where(stray, jnp.nan, leaf), found)


def merge(a: Statistics, b: Statistics) -> Statistics:
    """Return the statistics of the rows of both; zeros are neutral, to start a stream with."""
    return Statistics(a.mass + b.mass, a.total + b.total)


def from_statistics(
    statistics: Statistics,
    *,
    alpha: Real = 1.0,
    fit_prior: bool = True,
    class_prior: ArrayLike | None = None,
) -> Fit[Params]:
    """Return what fit returns for all rows behind the statistics.

    NONFINITE_INPUT: the statistics hold NaN or inf. The rest is as in fit.
    """
    dtype, k = statistics.total.dtype, statistics.mass.shape[0]
    alpha = _check.at_least("alpha", alpha, 0, dtype=dtype)
    pi = _classes.given_prior("class_prior", class_prior, k, dtype)
    found = _from_statistics(statistics, alpha, pi, fit_prior=bool(fit_prior))
    return _check.raise_for(found, statistics)


@partial(jax.jit, static_argnames="fit_prior")
def _from_statistics(
    statistics: Statistics, alpha: Scalar, given: Given, *, fit_prior: bool
) -> Fit[Params]:
    broken = ~jnp.isfinite(jnp.sum(statistics.mass) + jnp.max(jnp.abs(statistics.total)))
    return _finish(statistics, alpha, given, ((Code.NONFINITE_INPUT, broken),), fit_prior)


def fit(
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_classes: int,
    alpha: Real = 1.0,
    fit_prior: bool = True,
    class_prior: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Fit[Params]:
    """Maximize the posterior of the parameters, in one pass over the data.

    Args:
      X: Counts or frequencies (n, d), >= 0; integers become the default float.
      y: Labels (n,), integers 0..n_classes-1. A class without rows gets prior 0; one class will do.
      n_classes: k, static.
      alpha: Pseudo-count of every kind, >= 0, traced; 0 is maximum likelihood.
      fit_prior: Static; False gives every class the prior 1/k.
      class_prior: pi (k,), positive, summing to 1, traced; None is N_c / N.
      sample_weight: s_i >= 0, not all zero.

    Returns:
      Params, and Info with objective = minus the mean log-likelihood and residual = how far the
      derivatives of the log-posterior are from the multipliers of its constraints, the sums of
      probabilities held at 1: max over c, j of |(T_cj + alpha) / (theta_cj lambda_c) - 1|,
      lambda_c = sum_j (T_cj + alpha), where theta_cj > 0, of |sum_j theta_cj - 1|, and of
      |N pi_c / N_c - 1|.
      DEGENERATE: a class has rows but no counts and alpha = 0 (theta_c is then uniform), or X
      holds negative numbers. Derivatives with respect to X, sample_weight, alpha and class_prior
      are those of the closed form, taken directly.

    Raises:
      ValueError: Shapes disagree, a label or hyperparameter is out of range, or a concrete array
        holds NaN, inf or negative counts.
      TypeError: An array is not numeric.

    Example:
      >>> X, y = jnp.array([[1.0, 0.0], [1.0, 1.0]]), jnp.array([0, 1])
      >>> fit(X, y, n_classes=2, alpha=0.0).params.probability.tolist()
      [[1.0, 0.0], [0.5, 0.5]]
    """
    X, y, s, k = _classes.inputs(X, y, sample_weight, n_classes)
    alpha = _check.at_least("alpha", alpha, 0, dtype=X.dtype)
    pi = _classes.given_prior("class_prior", class_prior, k, X.dtype)
    found = _fit(X, y, s, alpha, pi, n_classes=k, fit_prior=bool(fit_prior))
    return _counts.refuse(found, X, y, s)


@partial(jax.jit, static_argnames=("n_classes", "fit_prior"))
def _fit(
    X: Rows, y: Labels, s: Column, alpha: Scalar, given: Given, *, n_classes: int, fit_prior: bool
) -> Fit[Params]:
    sums, negative = _sums(X, y, s, n_classes)
    flags = (*_classes.flags(X, y, s, sums.total), (Code.DEGENERATE, negative))
    return _finish(sums, alpha, given, flags, fit_prior)


def _finish(
    sums: Statistics, alpha: Scalar, given: Given, flags: Flags, fit_prior: bool
) -> Fit[Params]:
    count, total = sums
    pi, impossible = _classes.prior(count, given, uniform=not fit_prior)
    multiplier = jnp.sum(total + alpha, axis=1, keepdims=True)  # lambda_c
    theta = _counts.mode(total, alpha, multiplier, 1 / total.shape[1])
    silent = ~(multiplier[:, 0] > 0) & (count > 0)
    return _counts.certified(
        Params(pi, theta), count, ((total, theta),), alpha, multiplier,
        sums=jnp.sum(theta, axis=1, keepdims=True), estimated=given is None and fit_prior,
        impossible=impossible, flags=(*flags, (Code.DEGENERATE, impossible | silent.any())),
    )  # fmt: skip


def log_joint(params: Params, X: ArrayLike) -> Float[Array, "n k"]:
    """Return log p(c, x) up to a term in x, -inf where class c cannot have produced x.

    Raises:
      ValueError: X has another number of columns, or a concrete X holds NaN or inf.
    """
    return _classes.scores(_log_joint, params, X, params.probability.shape[1])


@jax.jit
def _log_joint(params: Params, X: Rows) -> Float[Array, "n k"]:
    pi, theta = params
    return _classes.log(pi)[None, :] + _counts.log_likelihood((X, theta))


def predict_proba(params: Params, X: ArrayLike) -> Float[Array, "n k"]:
    """Return p(c | x) of each row and class; rows sum to 1. The prior if none is possible."""
    return _classes.posterior(log_joint(params, X), params.prior)


def predict(params: Params, X: ArrayLike) -> Int[Array, " n"]:
    """Return the likeliest class, ties to the lowest; a traced NaN row gives 0."""
    return jnp.argmax(predict_proba(params, X), axis=1).astype(jnp.int32)
