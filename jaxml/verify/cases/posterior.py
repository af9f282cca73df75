"""Penalties as priors: minus the log posterior against the penalized loss, and its mode."""

import jax
import jax.numpy as jnp
from jax.scipy import stats

from jaxml._typing import Array
from jaxml.closed_form.linear import posterior as hand
from jaxml.linear import logistic, ridge
from jaxml.linear.ridge import Params
from jaxml.verify.case import ROUNDING, SOLVE, Case, Point, point
from jaxml.verify.domains import (
    Domain,
    Generator,
    away_from,
    design,
    labels,
    regression,
    vector,
)

__all__ = ["CASES", "SPECIAL"]

TOPIC = ("bayesian-regularization",)
SHAPES = ((11, 3), (5, 1))


def _at_params(rng: Generator, n: int, d: int) -> Point:
    X, y, _ = regression(rng, n, d)
    params = Params(away_from(vector(rng, d), (0.0,)), vector(rng, 1)[0])
    return point(params, X, y, noise=rng.uniform(0.5, 1.5), scale=rng.uniform(0.5, 1.5))


def _at_binary(rng: Generator, n: int, d: int) -> Point:
    params = Params(away_from(vector(rng, d), (0.0,)), vector(rng, 1)[0])
    return point(params, design(rng, n, d), labels(rng, n, 2), scale=rng.uniform(0.5, 1.5))


def _data(rng: Generator, n: int, d: int) -> Point:
    at = _at_params(rng, n, d)
    return point(*at.args[1:], **at.kwargs)


AT_PARAMS, AT_BINARY, DATA = (Domain(f, SHAPES) for f in (_at_params, _at_binary, _data))


def _gaussian(params: Params, X: Array, y: Array, *, noise: Array, scale: Array) -> Array:
    """Minus the log posterior, from the densities."""
    z = ridge.predict(params, X)
    return -stats.norm.logpdf(y, z, noise).sum() - stats.norm.logpdf(params.coef, 0.0, scale).sum()


def _laplace(params: Params, X: Array, y: Array, *, noise: Array, scale: Array) -> Array:
    z = ridge.predict(params, X)
    prior = stats.laplace.logpdf(params.coef, 0.0, scale)
    return -stats.norm.logpdf(y, z, noise).sum() - prior.sum()


def _laplace_logistic(params: Params, X: Array, y: Array, *, scale: Array) -> Array:
    """N J of the library with l1 = 1/(n scale), differing from the density by a constant."""
    return y.size * logistic.loss(params, X, y, l1=1.0 / (y.size * scale))


def _penalized(params: Params, X: Array, y: Array, *, noise: Array, scale: Array) -> Params:
    """The library's ridge, with the map from prior scale to penalty."""
    g = jax.grad(ridge.loss)(params, X, y, l2=hand.to_l2(y.size, noise=noise, scale=scale))
    return jax.tree.map(lambda leaf: y.size / noise**2 * leaf, g)


def _score(params: Params, X: Array, y: Array, *, noise: Array, scale: Array) -> tuple:
    # d/dw [-log N(y; z, noise)] = X'(z - y)/noise^2,  d/dw [-log N(w; 0, scale)] = w/scale^2
    w, b = params
    r = (jnp.matmul(X, w, precision="highest") + b - y) / noise**2
    return jnp.matmul(r, X, precision="highest") + w / scale**2, r.sum()


def _mode(X: Array, y: Array, *, noise: Array, scale: Array) -> Params:
    return ridge.fit(X, y, l2=hand.to_l2(y.size, noise=noise, scale=scale)).params


CASES = (
    Case("posterior.gaussian/gradient", TOPIC, "gradient",
         jax.grad(_gaussian), hand.gaussian_gradient, AT_PARAMS, ROUNDING,
         "Bishop (2006), eq. (3.55)", _gaussian),
    Case("posterior.laplace/gradient", TOPIC, "gradient",
         jax.grad(_laplace), hand.laplace_gradient, AT_PARAMS, ROUNDING,
         "Tibshirani (1996), section 5", _laplace),
    Case("posterior.laplace-logistic/gradient", TOPIC, "gradient",
         jax.grad(_laplace_logistic), hand.laplace_logistic_gradient, AT_BINARY, ROUNDING,
         "Tibshirani (1996), section 5", _laplace_logistic),
    Case("posterior.gaussian/ridge-loss", TOPIC, "identity",
         _penalized, _score, AT_PARAMS, ROUNDING, "Bishop (2006), eq. (3.55)"),
    Case("posterior.gaussian/mode", TOPIC, "solution",
         _mode, hand.mode, DATA, SOLVE, "Rasmussen, Williams (2006), eq. (2.11)"),
)  # fmt: skip
SPECIAL = ()
