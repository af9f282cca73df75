"""Logistic regression, and class weights."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _lapack
from jaxml._typing import Array
from jaxml.closed_form.linear import logistic as hand
from jaxml.linear import logistic
from jaxml.linear.logistic import Params
from jaxml.verify.case import HESSIAN, ITERATED, ROUNDING, SOLVE, Case, Point, point
from jaxml.verify.domains import Domain, Generator, Numbers, away_from, design, labels, vector

__all__ = ["CASES"]

TOPIC = ("logistic",)
SHAPES = ((14, 3), (6, 1))
ESL = "Hastie et al., ESL (2009), "
IMPLICIT = ITERATED._replace(stencil=1e-6)


def _classified(rng: Generator, n: int, d: int) -> tuple[Numbers, Numbers, Numbers]:
    return design(rng, n, d), labels(rng, n, 2), rng.uniform(0.5, 2.0, size=n)


def _at_params(rng: Generator, n: int, d: int) -> Point:
    X, y, s = _classified(rng, n, d)
    params = Params(away_from(vector(rng, d), (0.0,)), vector(rng, 1)[0])
    penalties = {"l1": rng.uniform(0.1, 1.0), "l2": rng.uniform(0.1, 1.0)}
    return point(params, X, y, **penalties, sample_weight=s)


def _data(rng: Generator, n: int, d: int) -> Point:
    X, y, s = _classified(rng, n, d)
    return point(X, y, l2=rng.uniform(0.05, 0.5), sample_weight=s)


def _l2_first(rng: Generator, n: int, d: int) -> tuple[Numbers, ...]:
    return rng.uniform(0.3, 0.8), *_classified(rng, n, d)


AT_PARAMS, DATA, L2_FIRST = (Domain(f, SHAPES) for f in (_at_params, _data, _l2_first))


def _fitted(X: Array, y: Array, **kw: Any) -> Params:
    return logistic.fit(X, y, **kw).params


def _along_l2(l2: Array, X: Array, y: Array, s: Array) -> Params:
    return _fitted(X, y, l2=l2, sample_weight=s)


def _derivative(l2: Array, X: Array, y: Array, s: Array) -> tuple:
    params = hand.solution(X, y, l2=l2, sample_weight=s)
    return hand.derivative_l2(params, X, y, l2=l2, sample_weight=s)


def _at_minimum(f: Callable, X: Array, y: Array, **kw: Any) -> tuple:
    params = hand.solution(X, y, **kw)
    return f(params, X, y, **kw)


def _spreads(X: Array, y: Array, **kw: Any) -> Params:
    return logistic.standard_errors(_fitted(X, y, **kw), X, y, **kw)


def _eigenvalues(params: Params, X: Array, y: Array, **kw: Any) -> Array:
    H = jax.hessian(lambda w: logistic.loss(params._replace(coef=w), X, y, **kw))(params.coef)
    return _lapack.eigvalsh(H)


def _shifted(
    params: tuple, X: Array, y: Array, *, l1: Array, l2: Array, sample_weight: Array
) -> Array:
    H = hand.hessian(params, X, y, l1=l1, l2=0.0, sample_weight=sample_weight)[0][0]
    return _lapack.eigvalsh(H) + l2


# -- class weights: 4 rows of one class, 8 of the other: n/(K n_c) is 3/2 and 3/4, that is 2 : 1
MINORITY, MAJORITY = 4, 8


def _unbalanced(rng: Generator, d: int) -> tuple[Numbers, Numbers]:
    y = np.repeat(np.array([1, 0], np.int32), [MINORITY, MAJORITY])
    return design(rng, MINORITY + MAJORITY, d), y


def _balanced(y: Array) -> Array:
    n_c = jnp.where(y == 1, (y == 1).sum(), (y == 0).sum())
    return y.size / (2.0 * n_c)


def _replicated(X: Array, y: Array) -> tuple[Array, Array, Array]:
    # 3/2 : 3/4 = 2 : 1, so each row of the minority stands twice
    twice = np.repeat(np.arange(MINORITY + MAJORITY), np.where(np.arange(12) < MINORITY, 2, 1))
    return X[twice], y[twice], jnp.ones(twice.size, X.dtype)


def _weighted_gradient(X: Array, y: Array) -> Params:
    params = Params(jnp.cos(jnp.arange(X.shape[1], dtype=X.dtype)), jnp.asarray(0.3, X.dtype))
    weights = _balanced(y).astype(X.dtype)
    return jax.grad(logistic.loss)(params, X, y, l2=0.2, sample_weight=weights)


def _replicated_gradient(X: Array, y: Array) -> tuple:
    params = jnp.cos(jnp.arange(X.shape[1], dtype=X.dtype)), jnp.asarray(0.3, X.dtype)
    X, y, s = _replicated(X, y)
    return hand.gradient(params, X, y, l1=0.0, l2=0.2, sample_weight=s)


def _weighted_fit(X: Array, y: Array) -> Params:
    return _fitted(X, y, l2=0.2, sample_weight=_balanced(y).astype(X.dtype))


def _replicated_solution(X: Array, y: Array) -> tuple:
    X, y, s = _replicated(X, y)
    return hand.solution(X, y, l2=0.2, sample_weight=s)


def _unweighted_solution(X: Array, y: Array) -> tuple:
    return hand.solution(X, y, l2=0.2, sample_weight=jnp.ones_like(X[:, 0]))


UNBALANCED = Domain(_unbalanced, ((3,), (1,)))


CASES = (
    Case("linear.logistic/likelihood", TOPIC, "identity",
         logistic.loss, hand.likelihood, AT_PARAMS, ROUNDING, ESL + "eq. (4.20)"),
    Case("linear.logistic/gradient", (*TOPIC, "l1-l2"), "gradient",
         jax.grad(logistic.loss), hand.gradient, AT_PARAMS, ROUNDING, ESL + "eq. (4.21)",
         logistic.loss),
    Case("linear.logistic/hessian", TOPIC, "hessian",
         jax.hessian(logistic.loss), hand.hessian, AT_PARAMS, HESSIAN, ESL + "eq. (4.25)",
         logistic.loss),
    Case("linear.logistic/fit", TOPIC, "solution",
         _fitted, hand.solution, DATA, ITERATED, ESL + "eq. (4.26), Newton's method"),
    Case("linear.logistic/fit-derivative", TOPIC, "jacobian",
         jax.jacrev(_along_l2), _derivative, L2_FIRST, IMPLICIT,
         "implicit function theorem: dw = -H^-1 w", _along_l2),
    Case("linear.logistic/standard-errors", TOPIC, "identity",
         _spreads, partial(_at_minimum, hand.standard_errors), DATA, ITERATED, ESL + "eq. (4.29)"),
    Case("linear.logistic/eigenvalues", ("strong-convexity", "logistic"), "identity",
         _eigenvalues, _shifted, AT_PARAMS, SOLVE, "(H + l2 I) v = (lambda + l2) v"),
    Case("linear.logistic/class-weight-gradient", ("class-weight",), "identity",
         _weighted_gradient, _replicated_gradient, UNBALANCED, ROUNDING,
         "King, Zeng (2001), eq. (17): n/(K n_c)"),
    Case("linear.logistic/class-weight-fit", ("class-weight",), "solution",
         _weighted_fit, _replicated_solution, UNBALANCED, ITERATED,
         "King, Zeng (2001), eq. (17): n/(K n_c)", mutants=(_unweighted_solution,)),
)  # fmt: skip
