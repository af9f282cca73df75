"""Counts and their probabilities: what multinomial and Bernoulli naive Bayes share.

    p = (T + alpha) / lambda,    lambda = the sum of T + alpha over the p that sum to 1
    log p(x | c) = sum_j x_j log p_cj,    0 log 0 = 0

T holds counts by class (k, d), and stands in a pair with its p: (T, theta) is the one pair of the
multinomial model, (T, P) and (U, Q) are the two of the Bernoulli model. p is the mode of a
posterior: there (T + alpha) / p, the derivative of its logarithm, is lambda, the multiplier of the
constraint that p sums to 1.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._loop import Code, Fit, certify
from jaxml._numerics import default_tol, matmul
from jaxml._typing import Array, Bool, Float, Labels, Rows, Scalar
from jaxml.bayes import _classes
from jaxml.bayes._classes import Flags

__all__ = ["certified", "log_likelihood", "mode", "not_negative", "refuse"]

Pair = tuple[Float[Array, "..."], Float[Array, "k d"]]


def mode(T: Float[Array, "k d"], alpha: Scalar, multiplier: Array, otherwise: float) -> Array:
    """p, and otherwise where lambda = 0: alpha = 0, and nothing was counted."""
    empty = ~(multiplier > 0)
    return jnp.where(empty, otherwise, (T + alpha) / jnp.where(empty, 1.0, multiplier))


def certified(
    params: Any,
    count: Float[Array, " k"],
    pairs: tuple[Pair, ...],
    alpha: Scalar,
    multiplier: Array,
    *,
    sums: Array,
    estimated: bool,
    impossible: Bool[Array, ""],
    flags: Flags,
) -> Fit[Any]:
    """Return the fit, its residual taken over the classes that have rows.

    Args:
      params: What was learned, with ``prior``.
      count: N_c.
      pairs: (T, p) each.
      alpha: The pseudo-count.
      multiplier: lambda, (k, 1) or (k, d).
      sums: The sums of p that should be 1, of the shape of lambda.
      estimated: Whether pi is N_c / N, and |N pi_c / N_c - 1| belongs to the residual.
      impossible: Whether there are no priors.
      flags: Codes and what sets them.
    """
    mistakes = [_ratio(T + alpha, p * multiplier) for T, p in pairs] + [sums - 1]
    if estimated:
        mistakes += [_ratio(count, jnp.sum(count) * params.prior)[:, None]]
    worst = jnp.stack([jnp.max(jnp.abs(mistake), axis=1) for mistake in mistakes]).max(axis=0)
    N = jnp.where(impossible, 1.0, jnp.sum(count))
    inner = sum(jnp.sum(jnp.where(T > 0, T * _classes.log(p), 0.0)) for T, p in pairs)
    return certify(
        params,
        objective=-_classes.mean_log(params.prior, count) - inner / N,
        residual=jnp.max(jnp.where(count > 0, worst, 0.0)),
        tol=default_tol(count.dtype),
        n_iter=1,
        flags=flags,
        unmet=Code.ILL_CONDITIONED,
    )


def _ratio(a: Array, b: Array) -> Array:
    """a / b - 1, 0 where both are 0."""
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1.0) - 1, jnp.where(a == 0, 0.0, jnp.inf))


def log_likelihood(*pairs: Pair) -> Float[Array, "n k"]:
    """log p(x | c) from pairs (x, p), -inf where x holds what p says never comes."""
    never = sum(matmul(jnp.abs(x), (p == 0).astype(x.dtype).T) for x, p in pairs)
    z = sum(matmul(x, _finite_log(p).T) for x, p in pairs)
    return jnp.where(never > 0, -jnp.inf, z)


def _finite_log(p: Float[Array, "..."]) -> Float[Array, "..."]:
    """Log p, 0 at 0: what is impossible is counted apart."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), jnp.where(p == 0, 0.0, p))


def refuse(fit: Fit, X: Rows, y: Labels, s: Array) -> Fit:
    """Return the fit, or raise ValueError for concrete counts that are negative."""
    if _check.is_concrete(fit.info.code, X, s) and int(fit.info.code) == Code.DEGENERATE:
        not_negative(X, s)
    return _check.raise_for(fit, X, y, s)


def not_negative(X: Rows, s: Array) -> None:
    """Raise ValueError if a row of positive weight holds a negative number."""
    if (np.asarray(X)[np.asarray(s) > 0] < 0).any():
        raise ValueError("X holds negative numbers: expected counts or frequencies >= 0")
