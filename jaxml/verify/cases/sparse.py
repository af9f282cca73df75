"""Lasso and elastic net: derivatives off the kinks, optimality on them, and exact solutions."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.linear import elastic_net as hand
from jaxml.closed_form.linear import posterior
from jaxml.linear import elastic_net, lasso
from jaxml.linear.lasso import Params
from jaxml.verify.case import EXACT, ROUNDING, Case, Point, Tolerance, point
from jaxml.verify.domains import Domain, Generator, away_from, regression, vector

__all__ = ["CASES", "SPECIAL"]

TOPIC, MAP = ("l1-l2",), ("l1-l2", "bayesian-regularization")
SHAPES = ((12, 3), (6, 1))
ESL = "Hastie et al., ESL (2009), "
GAP = Tolerance(1e-7, 2e-3, "the root of the gap that a fit leaves", scale=1.0)


def _at_params(rng: Generator, n: int, d: int) -> Point:
    X, y, s = regression(rng, n, d)
    params = Params(away_from(vector(rng, d), (0.0,)), vector(rng, 1)[0])
    return point(params, X, y, l1=rng.uniform(0.1, 0.5), l2=rng.uniform(0.1, 1.0), sample_weight=s)


def _sparse(rng: Generator, n: int, d: int) -> Point:
    """The true coefficients of all columns but the first are 0, and l1 removes most of them."""
    X, _, s = regression(rng, n, d)
    y = 2.0 * X[:, 0] + 0.1 * vector(rng, n)
    return point(X, y, l1=rng.uniform(0.1, 0.4), l2=rng.uniform(0.05, 0.5), sample_weight=s)


def _orthonormal(rng: Generator, n: int, d: int) -> Point:
    Q = np.linalg.qr(np.concatenate([np.ones((n, 1)), rng.standard_normal((n, d))], axis=1))[0]
    X = np.sqrt(n) * Q[:, 1:]  # orthogonal to the constant, X'X/n = I
    y = X @ np.linspace(-1.5, 1.5, d) + 0.3 + 0.1 * vector(rng, n)
    return point(X, y, l1=0.6, l2=rng.uniform(0.1, 0.5))


def _prior(rng: Generator, n: int, d: int) -> Point:
    at = _sparse(rng, n, d)
    return point(*at.args, noise=rng.uniform(0.5, 1.0), scale=rng.uniform(0.1, 0.4))


AT_PARAMS = Domain(_at_params, SHAPES)
SPARSE, SPARSE_ONCE = Domain(_sparse, ((12, 4), (6, 1))), Domain(_sparse, ((12, 4),))
ORTHONORMAL, PRIOR = Domain(_orthonormal, ((12, 4),)), Domain(_prior, ((12, 3),))


def _lasso_loss(params: Params, X: Array, y: Array, *, l2: Array, **kw: Any) -> Array:
    del l2
    return lasso.loss(params, X, y, **kw)


def _lasso_fit(X: Array, y: Array, *, l2: Array | float = 0.0, **kw: Any) -> Params:
    del l2
    return lasso.fit(X, y, **kw).params


def _elastic_fit(X: Array, y: Array, **kw: Any) -> Params:
    return elastic_net.fit(X, y, **kw).params


def _without_l2(f: Callable) -> Any:
    return lambda *args, **kw: f(*args, **{**kw, "l2": 0.0})


def _optimality(fit: Callable, ratio: float, X: Array, y: Array, **kw: Any) -> tuple:
    """The violation of the subgradient condition, and the duality gap, where the fit stops."""
    params = fit(X, y, **kw)
    terms = {**kw, "l2": ratio * kw["l2"]}
    return hand.violation(params, X, y, **terms), hand.gap(params, X, y, **terms)


def _nothing(X: Array, y: Array, **kw: Any) -> tuple:
    return (jnp.zeros_like(X[0]), jnp.zeros_like(y[0])), jnp.zeros_like(y[0])


def _with_zeros(f: Callable) -> Any:
    """Parameters, and which coefficients are exactly 0 instead of merely small."""

    def both(*args: Array, **kw: Any) -> tuple:
        params = f(*args, **kw)
        return params, (params[0] == 0.0).astype(jnp.int32)

    return both


def _mode(X: Array, y: Array, *, noise: Array, scale: Array) -> Params:
    return lasso.fit(X, y, l1=posterior.to_l1(y.size, noise=noise, scale=scale)).params


def _mode_by_hand(X: Array, y: Array, *, noise: Array, scale: Array) -> tuple:
    # -log posterior = n/noise^2 J: the same minimizer, found by its sign pattern
    l1 = posterior.to_l1(y.size, noise=noise, scale=scale)
    return hand.solution(X, y, l1=l1, l2=0.0, sample_weight=jnp.ones_like(y))


CASES = (
    Case("linear.lasso/gradient", TOPIC, "gradient",
         jax.grad(_lasso_loss), _without_l2(hand.gradient), AT_PARAMS, ROUNDING,
         ESL + "eq. (3.52)", _lasso_loss),
    Case("linear.lasso/fit", TOPIC, "solution",
         _with_zeros(_lasso_fit), _with_zeros(_without_l2(hand.solution)), SPARSE, GAP,
         "KKT conditions, by enumeration"),
    Case("linear.lasso/optimality", TOPIC, "identity",
         partial(_optimality, _lasso_fit, 0.0), _nothing, SPARSE_ONCE, GAP,
         ESL + "eq. (3.56); Boyd, Vandenberghe (2004), section 5.2"),
    Case("linear.lasso/orthonormal", TOPIC, "solution",
         lambda X, y, *, l1, l2: _lasso_fit(X, y, l1=l1),
         lambda X, y, *, l1, l2: hand.orthonormal(X, y, l1=l1, l2=0.0), ORTHONORMAL, GAP,
         ESL + "table 3.4"),
    Case("linear.elastic_net/gradient", TOPIC, "gradient",
         jax.grad(elastic_net.loss), hand.gradient, AT_PARAMS, ROUNDING,
         "Zou, Hastie (2005), eq. (3)", elastic_net.loss),
    Case("linear.elastic_net/fit", TOPIC, "solution",
         _with_zeros(_elastic_fit), _with_zeros(hand.solution), SPARSE, GAP,
         "KKT conditions, by enumeration"),
    Case("linear.elastic_net/optimality", TOPIC, "identity",
         partial(_optimality, _elastic_fit, 1.0), _nothing, SPARSE_ONCE, GAP,
         "Zou, Hastie (2005); Boyd, Vandenberghe (2004), section 5.2"),
    Case("linear.elastic_net/orthonormal", TOPIC, "solution",
         _elastic_fit, hand.orthonormal, ORTHONORMAL, GAP, "Zou, Hastie (2005), eq. (6)"),
    Case("posterior.laplace/mode", MAP, "solution",
         _mode, _mode_by_hand, PRIOR, GAP, "Tibshirani (1996), section 5"),
)  # fmt: skip


def _dead(key: Any, dtype: Any) -> Point:
    """The least l1 that removes every coefficient: max |Xc'yc| / n."""
    X = jnp.array([[-1.0, 1.0], [0.0, -2.0], [1.0, 1.0]], dtype)
    y = jnp.array([-1.0, 0.0, 1.0], dtype)
    return point(X, y, l1=jnp.asarray(2 / 3 + 1e-6, dtype), l2=jnp.asarray(0.0, dtype))


SPECIAL = (
    Case("linear.lasso/fit@all-removed", TOPIC, "solution",
         _lasso_fit, lambda X, y, **kw: (0.0 * X[0], y.mean()), _dead,
         EXACT._replace(float64=1e-15, float32=1e-7, scale=1.0), "max |X'y|/n = 2/3"),
)  # fmt: skip
