"""Gaussian naive Bayes: normal features, independent given the class.

    log p(c, x) = log pi_c - 1/2 sum_j [log(2 pi v_cj) + (x_j - m_cj)^2 / v_cj]
    pi_c = N_c / N,   m_cj = 1/N_c sum_i s_i x_ij,   v_cj = 1/N_c sum_i s_i (x_ij - m_cj)^2 + e

with sums over the rows of class c, and e = var_smoothing * max_j var(x_j) over all rows.

Symbols: s_i = sample_weight[i], 1 if None; N_c = sum of s_i in class c; N = sum_c N_c.
scikit-learn: GaussianNB; there e comes of the unweighted rows.   Reference: Chan, Golub, LeVeque
(1983), Algorithms for computing the sample variance, eq. (1.7), and eq. (2.1) for merge.
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._loop import Code, Fit
from jaxml._typing import Array, ArrayLike, Column, Float, Int, Labels, Real, Rows, Scalar
from jaxml.bayes import _classes, _moments
from jaxml.bayes._classes import Given
from jaxml.bayes._moments import Params, Statistics

__all__ = [
    "Params", "Statistics", "fit", "from_statistics", "log_joint", "merge", "predict",
    "predict_proba", "statistics",
]  # fmt: skip


def statistics(
    X: ArrayLike, y: ArrayLike, *, n_classes: int, sample_weight: ArrayLike | None = None
) -> Statistics:
    """Return the sufficient statistics of some rows, to be merged with those of others.

    A label out of range or a negative weight turns them into NaN under a trace.

    Args:
      X: Features (n, d).
      y: Labels (n,), integers 0..n_classes-1; classes may be missing.
      n_classes: k, static.
      sample_weight: s_i >= 0, not all zero.

    Raises:
      ValueError: Shapes disagree, or a concrete array holds NaN, inf, or a label out of range.

    Example:
      >>> X, y = jnp.array([[0.0], [2.0], [5.0]]), jnp.array([0, 0, 1])
      >>> statistics(X, y, n_classes=2).scatter.tolist()
      [[2.0], [0.0]]
    """
    X, y, s, k = _classes.inputs(X, y, sample_weight, n_classes)
    found = _statistics(X, y, s, n_classes=k)
    return _classes.sound(found, X, found.scatter)


@partial(jax.jit, static_argnames="n_classes")
def _statistics(X: Rows, y: Labels, s: Column, *, n_classes: int) -> Statistics:
    stray = _classes.stray(y, s)
    found = _moments.reduced(_moments.by_class(X, y, s, n_classes))
    return jax.tree.map(lambda leaf: jnp.where(stray, jnp.nan, leaf), found)


def merge(a: Statistics, b: Statistics) -> Statistics:
    """Return the statistics of the rows of both; associative and commutative to rounding.

    Statistics of zeros are neutral, to start a stream with. Means are stored to a unit in their
    last place, u; a merge of features far from 0 may so be off by u^2 in a variance.

    Reference: Chan, Golub, LeVeque (1983), eq. (2.1).
    """
    count = a.mass + b.mass
    share = (b.mass / jnp.where(count > 0, count, 1.0))[:, None]
    step = b.mean - a.mean
    scatter = a.scatter + b.scatter + a.mass[:, None] * share * step**2
    # From the side with more rows, so that equal means stay as they are.
    mean = jnp.where(share > 0.5, b.mean - (1 - share) * step, a.mean + share * step)
    return Statistics(count, mean, scatter)


def from_statistics(
    statistics: Statistics, *, var_smoothing: Real = 1e-9, priors: ArrayLike | None = None
) -> Fit[Params]:
    """Return what fit returns for all rows behind the statistics, certified as far as these tell.

    NONFINITE_INPUT: the statistics hold NaN or inf. The rest is as in fit.
    """
    dtype, k = statistics.mean.dtype, statistics.mass.shape[0]
    e = _check.at_least("var_smoothing", var_smoothing, 0, dtype=dtype)
    pi = _classes.given_prior("priors", priors, k, dtype)
    return _check.raise_for(_from_statistics(statistics, e, pi), statistics)


@jax.jit
def _from_statistics(statistics: Statistics, smoothing: Scalar, given: Given) -> Fit[Params]:
    count, mean, scatter = statistics
    weight = jnp.where(count > 0, count, 1.0)[:, None]
    sums = _moments.Sums(count, mean, jnp.zeros_like(mean), scatter / weight)
    broken = ~jnp.isfinite(jnp.max(scatter) + jnp.max(jnp.abs(mean)) + jnp.sum(count))
    return _moments.certified(sums, smoothing, given, ((Code.NONFINITE_INPUT, broken),))


def fit(
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_classes: int,
    var_smoothing: Real = 1e-9,
    priors: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Fit[Params]:
    """Maximize the likelihood, in two passes over the data.

    Args:
      X: Features (n, d), float32 or float64; integers become the default float.
      y: Labels (n,), integers 0..n_classes-1. A class without rows gets prior 0; one class will do.
      n_classes: k, static.
      var_smoothing: The part of the largest variance that is added to all, >= 0, traced.
      priors: pi (k,), positive, summing to 1, traced; None is N_c / N.
      sample_weight: s_i >= 0, not all zero; only their ratios matter.

    Returns:
      Params, and Info with objective = minus the mean log-likelihood and residual = how far its
      derivatives are from 0, the sum of the priors held at 1, each relative to the terms that
      cancel in it: max over c, j of |N pi_c / N_c - 1|, |1/N_c sum_i s_i (x_ij - m_cj)| /
      sqrt(v_cj) and |1/N_c sum_i s_i (x_ij - m_cj)^2 + e - v_cj| / v_cj.
      ILL_CONDITIONED: the features lie so far from 0 that the means cannot be stored to tol.
      DEGENERATE: a class has no variance in a feature, after smoothing: its likelihood has no
      maximum. There eps times the variance over all rows is used, and a feature that is constant
      over all rows has no say. Derivatives with respect to X, sample_weight, var_smoothing and
      priors are those of the closed form, taken directly.

    Raises:
      ValueError: Shapes disagree, a label or hyperparameter is out of range, or a concrete array
        holds NaN or inf.
      TypeError: An array is not numeric.

    Example:
      >>> X, y = jnp.array([[0.0], [2.0], [5.0], [7.0]]), jnp.array([0, 0, 1, 1])
      >>> fit(X, y, n_classes=2, var_smoothing=0.0).params.mean.tolist()
      [[1.0], [6.0]]
    """
    X, y, s, k = _classes.inputs(X, y, sample_weight, n_classes)
    e = _check.at_least("var_smoothing", var_smoothing, 0, dtype=X.dtype)
    pi = _classes.given_prior("priors", priors, k, X.dtype)
    return _check.raise_for(_fit(X, y, s, e, pi, n_classes=k), X, y, s)


@partial(jax.jit, static_argnames="n_classes")
def _fit(
    X: Rows, y: Labels, s: Column, smoothing: Scalar, given: Given, *, n_classes: int
) -> Fit[Params]:
    sums = _moments.by_class(X, y, s, n_classes)
    return _moments.certified(sums, smoothing, given, _classes.flags(X, y, s, sums.second))


def log_joint(params: Params, X: ArrayLike) -> Float[Array, "n k"]:
    """Return log p(c, x) of each row and class, -inf where pi_c = 0.

    Raises:
      ValueError: X has another number of columns, or a concrete X holds NaN or inf.
    """
    return _classes.scores(_log_joint, params, X, params.mean.shape[1])


@jax.jit
def _log_joint(params: Params, X: Rows) -> Float[Array, "n k"]:
    pi, m, v = params
    # Differences and no product: it would cancel for features far from 0.
    z = (X[:, None, :] - m[None, :, :]) ** 2 / v[None, :, :]
    return (_classes.log(pi) - 0.5 * jnp.sum(jnp.log(2 * jnp.pi * v), axis=1))[None, :] - (
        0.5 * jnp.sum(z, axis=2)
    )


def predict_proba(params: Params, X: ArrayLike) -> Float[Array, "n k"]:
    """Return p(c | x) of each row and class; rows sum to 1."""
    return _classes.posterior(log_joint(params, X), params.prior)


def predict(params: Params, X: ArrayLike) -> Int[Array, " n"]:
    """Return the class of the largest p(c, x), ties to the lowest; a traced NaN row gives 0."""
    return jnp.argmax(log_joint(params, X), axis=1).astype(jnp.int32)
