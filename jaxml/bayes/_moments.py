"""The estimates of Gaussian naive Bayes from sums by class, and what certifies them.

    N_c = sum_i s_i,   m_cj = 1/N_c sum_i s_i x_ij,   v_cj = 1/N_c sum_i s_i (x_ij - m_cj)^2 + e

Sums run over the rows of class c; letters as in jaxml.bayes.gaussian.
Reference: Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance, eq. (1.7).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _groups
from jaxml._loop import Code, Fit, certify
from jaxml._numerics import default_tol
from jaxml._sums import sample_mean
from jaxml._typing import Array, Column, Float, Labels, Rows, Scalar
from jaxml.bayes import _classes
from jaxml.bayes._classes import Flags, Given

__all__ = ["Params", "Statistics", "Sums", "by_class", "certified", "reduced"]


class Params(NamedTuple):
    """Class priors and the normal density of each feature in each class."""

    prior: Float[Array, " k"]  # pi_c, 0 for a class without rows
    mean: Float[Array, "k d"]  # m_cj
    variance: Float[Array, "k d"]  # v_cj > 0, e included


class Statistics(NamedTuple):
    """What is kept of the rows; zeros stand for no rows at all."""

    mass: Float[Array, " k"]  # N_c
    mean: Float[Array, "k d"]  # m_cj
    scatter: Float[Array, "k d"]  # sum_i s_i (x_ij - m_cj)^2


class Sums(NamedTuple):
    """Moments about means that rounding has left a little off."""

    mass: Float[Array, " k"]
    about: Float[Array, "k d"]  # a_cj
    first: Float[Array, "k d"]  # 1/N_c sum_i s_i (x_ij - a_cj)
    second: Float[Array, "k d"]  # 1/N_c sum_i s_i (x_ij - a_cj)^2


def by_class(X: Rows, y: Labels, s: Column, k: int) -> Sums:
    """Two passes: the means, then the moments about them, where nothing cancels."""
    y, s = _classes.valid(y, s)
    c = jax.lax.stop_gradient(sample_mean(X, s))  # any center will do: it cancels

    def first_pass(X: Rows, s: Column, c: Array) -> tuple[Array, ...]:
        return s[:, None], s[:, None] * (X - c[None, :])

    count, total = _groups.sums(first_pass, y, k, X, s, about=(c,))
    count = count[:, 0]
    weight = jnp.where(count > 0, count, 1.0)[:, None]
    about = jnp.where(count[:, None] > 0, c[None, :] + total / weight, 0.0)

    def second_pass(X: Rows, s: Column, y: Labels, about: Array) -> tuple[Array, ...]:
        A = X - about[y]
        sA = s[:, None] * A
        return sA, sA * A

    first, second = _groups.sums(second_pass, y, k, X, s, y, about=(about,))
    return Sums(count, about, first / weight, second / weight)


def reduced(sums: Sums) -> Statistics:
    count, about, first, second = sums
    return Statistics(count, about + first, count[:, None] * jnp.maximum(second - first**2, 0.0))


def certified(
    sums: Sums,
    smoothing: Scalar,
    given: Given,
    flags: Flags,
) -> Fit[Params]:
    count, mean, scatter = reduced(sums)
    N, present = jnp.sum(count), (count > 0)[:, None]
    weight, all_weight = jnp.where(present, count[:, None], 1.0), jnp.where(N > 0, N, 1.0)
    pi, impossible = _classes.prior(count, given)
    v = _above_rounding(scatter / weight, mean)
    share = (count / all_weight)[:, None]
    center = jnp.sum(share * mean, axis=0)
    between = _above_rounding(jnp.sum(share * (mean - center[None, :]) ** 2, axis=0), center)
    overall = jnp.sum(share * v, axis=0) + between  # var(x_j)
    e = smoothing * jnp.max(overall)
    least = jnp.finfo(v.dtype).eps * overall
    floor = jnp.broadcast_to(jnp.where(least > 0, least, 1.0)[None, :], v.shape)
    flat = ~(v + e > 0)
    variance = jnp.where(flat, floor, v + e)
    params = Params(pi, mean, variance)
    moved = mean - sums.about  # what is stored, against what was summed
    off_mean = sums.first - moved
    spread = sums.second - 2 * sums.first * moved + moved**2
    mistakes = [jnp.abs(off_mean) / jnp.sqrt(variance)]
    mistakes += [jnp.where(flat, 0.0, jnp.abs(spread + e - variance) / variance)]
    residual = jnp.max(jnp.where(present, jnp.maximum(*mistakes), 0.0))
    if given is None:
        off = jnp.abs(all_weight * pi / weight[:, 0] - 1)
        residual = jnp.maximum(residual, jnp.max(jnp.where(present[:, 0], off, 0.0)))
    scaled = (spread / variance) + jnp.log(2 * jnp.pi * variance)
    objective = 0.5 * jnp.sum(jnp.where(present, share * scaled, 0.0))
    return certify(
        params,
        objective=objective - _classes.mean_log(pi, count),
        residual=residual,
        tol=default_tol(mean.dtype),
        n_iter=1,
        flags=(*flags, (Code.DEGENERATE, impossible | (flat & present).any())),
        unmet=Code.ILL_CONDITIONED,
    )


def _above_rounding(v: Array, mean: Array) -> Array:
    """v, 0 where a spread of one unit in the last place of the mean explains it."""
    return jnp.where(v <= (jnp.finfo(v.dtype).eps * mean) ** 2, 0.0, v)
