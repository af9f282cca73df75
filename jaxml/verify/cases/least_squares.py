"""Least squares and ridge: derivatives, solutions by other factorizations, and diagnostics."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml import _lapack
from jaxml._typing import Array
from jaxml.closed_form.linear import least_squares as hand_ls
from jaxml.closed_form.linear import ridge as hand_ridge
from jaxml.linear import least_squares, ridge
from jaxml.verify.case import HESSIAN, ROUNDING, SOLVE, Case, Point, point
from jaxml.verify.domains import Domain, Generator, Numbers, regression, vector

__all__ = ["CASES", "SPECIAL"]

NE, NE_L2, STRONG = ("normal-equation",), ("normal-equation", "l1-l2"), ("strong-convexity",)
SHAPES = ((12, 3), (5, 1))
IMPLICIT = SOLVE._replace(stencil=1e-7)
ESL = "Hastie et al., ESL (2009), "


def _at_params(rng: Generator, n: int, d: int) -> Point:
    X, y, s = regression(rng, n, d)
    params = least_squares.Params(vector(rng, d), vector(rng, 1)[0])
    return point(params, X, y, sample_weight=s)


def _at_params_l2(rng: Generator, n: int, d: int) -> Point:
    at = _at_params(rng, n, d)
    return point(*at.args, l2=rng.uniform(0.1, 1.0), **at.kwargs)


def _data(rng: Generator, n: int, d: int) -> Point:
    X, y, s = regression(rng, n, d)
    return point(X, y, sample_weight=s)


def _data_l2(rng: Generator, n: int, d: int) -> Point:
    at = _data(rng, n, d)
    return point(*at.args, l2=rng.uniform(0.1, 1.0), **at.kwargs)


def _l2_first(rng: Generator, n: int, d: int) -> tuple[Numbers, ...]:
    return rng.uniform(0.3, 1.0), *regression(rng, n, d)


def _collinear(rng: Generator, n: int, d: int) -> Point:
    X, y, s = regression(rng, n, d)
    X[:, -1] = 2.0 * X[:, 0]  # exact in every dtype
    return point(X, y, sample_weight=s)


def _design_only(rng: Generator, n: int, d: int) -> tuple[Numbers]:
    return (regression(rng, n, d)[0],)


AT_PARAMS, AT_PARAMS_L2 = Domain(_at_params, SHAPES), Domain(_at_params_l2, SHAPES)
DATA, DATA_L2 = Domain(_data, SHAPES), Domain(_data_l2, (*SHAPES, (4, 6)))
COLLINEAR, WIDE = Domain(_collinear, ((12, 4),)), Domain(_data, ((4, 6),))
DESIGN = Domain(_design_only, SHAPES)
DESIGN_L2 = Domain(
    lambda rng, n, d: point(*_design_only(rng, n, d), l2=rng.uniform(0.1, 1.0)), SHAPES
)


def _fitted(model: Any, X: Array, y: Array, **kw: Any) -> Any:
    return model.fit(X, y, **kw).params


def _ridge_along_l2(l2: Array, X: Array, y: Array, s: Array) -> Any:
    return ridge.fit(X, y, l2=l2, sample_weight=s).params


def _gram_condition(X: Array) -> Array:
    """cond(X'X) of the Gram matrix that is the Hessian of the loss (n times it, without b)."""

    def loss(w: Array) -> Array:
        params = least_squares.Params(w, jnp.zeros((), X.dtype))
        return least_squares.loss(params, X, jnp.zeros_like(X[:, 0]))

    values = _lapack.eigvalsh(jax.hessian(loss)(jnp.zeros_like(X[0])))
    return values[-1] / values[0]


def _streamed(X: Array, y: Array, *, sample_weight: Array) -> Any:
    half = X.shape[0] // 2
    parts = [
        least_squares.statistics(X[rows], y[rows], sample_weight=sample_weight[rows])
        for rows in (slice(0, half), slice(half, None))
    ]
    return least_squares.from_statistics(least_squares.merge(*parts)).params


def _diagnosed(field: str, X: Array, y: Array, *, sample_weight: Array) -> Any:
    params = least_squares.fit(X, y, sample_weight=sample_weight).params
    found = least_squares.diagnostics(params, X, y, sample_weight=sample_weight)
    return getattr(found, field)


def _by_hand(f: Callable, X: Array, y: Array, *, sample_weight: Array) -> Any:
    params = hand_ls.solution(X, y, sample_weight=sample_weight)
    return f(params, X, y, sample_weight=sample_weight)


def _shrunk(X: Array, *, l2: Array) -> Array:
    """Ridge over least squares along each principal direction of centered X."""
    V = _lapack.svd(X - X.mean(axis=0)[None, :])[2]
    y = jnp.matmul(X, jnp.ones_like(X[0])) + jnp.cos(jnp.arange(X.shape[0], dtype=X.dtype))
    free, bound = (_fitted(ridge, X, y, l2=c).coef for c in (0.0, l2))
    return jnp.matmul(V, bound) / jnp.matmul(V, free)


def _eigenvalues(params: least_squares.Params, X: Array, y: Array, **kw: Any) -> Array:
    H = jax.hessian(lambda w: ridge.loss(params._replace(coef=w), X, y, **kw))(params.coef)
    return _lapack.eigvalsh(H)


def _shifted(params: Any, X: Array, y: Array, *, l2: Array, sample_weight: Array) -> Array:
    # (H_0 + l2 I) v = (lambda + l2) v for every eigenvector v of H_0
    H = hand_ls.hessian(params, X, y, sample_weight=sample_weight)[0][0]
    return _lapack.eigvalsh(H) + l2


def _without_intercept_column(X: Array, *, sample_weight: Array | None = None) -> Array:
    """A wrong inflation: 1/(1 - R_j^2) with R_j^2 of uncentered columns."""
    del sample_weight
    return jnp.diag(_lapack.inverse(X.T @ X)) * (X**2).sum(axis=0)


CASES = (
    Case("linear.least_squares/gradient", NE, "gradient",
         jax.grad(least_squares.loss), hand_ls.gradient, AT_PARAMS, ROUNDING, ESL + "eq. (3.4)",
         least_squares.loss),
    Case("linear.least_squares/hessian", NE, "hessian",
         jax.hessian(least_squares.loss), hand_ls.hessian, AT_PARAMS, HESSIAN, ESL + "eq. (3.4)",
         least_squares.loss),
    Case("linear.least_squares/fit", NE, "solution",
         partial(_fitted, least_squares), hand_ls.solution, DATA, SOLVE, ESL + "eq. (3.6)"),
    Case("linear.least_squares/streamed", NE, "solution",
         _streamed, hand_ls.solution, Domain(_data, ((12, 3),)), SOLVE,
         "ESL eq. (3.6) from merged moments; Chan, Golub, LeVeque (1983), eq. (2.1)"),
    Case("linear.least_squares/gram-condition", NE, "identity",
         _gram_condition, hand_ls.gram_condition, DESIGN, SOLVE, "cond(X'X) = cond(X)^2, by SVD"),
    Case("linear.least_squares/variance-inflation", NE, "identity",
         partial(_diagnosed, "variance_inflation"),
         lambda X, y, sample_weight: hand_ls.variance_inflation(X, sample_weight=sample_weight),
         DATA, SOLVE, "Marquardt (1970); 1/(1 - R_j^2)",
         mutants=(lambda X, y, **kw: _without_intercept_column(X),)),
    Case("linear.least_squares/standard-errors", NE, "identity",
         partial(_diagnosed, "standard_errors"), partial(_by_hand, hand_ls.standard_errors), DATA,
         SOLVE, ESL + "eq. (3.8)"),
    Case("linear.least_squares/r-squared", NE, "identity",
         partial(_diagnosed, "r_squared"), partial(_by_hand, hand_ls.r_squared), DATA,
         SOLVE, "1 - RSS/TSS"),
    Case("linear.ridge/gradient", NE_L2, "gradient",
         jax.grad(ridge.loss), hand_ridge.gradient, AT_PARAMS_L2, ROUNDING, ESL + "eq. (3.43)",
         ridge.loss),
    Case("linear.ridge/hessian", (*NE_L2, "strong-convexity"), "hessian",
         jax.hessian(ridge.loss), hand_ridge.hessian, AT_PARAMS_L2, HESSIAN, ESL + "eq. (3.43)",
         ridge.loss),
    Case("linear.ridge/fit", NE_L2, "solution",
         partial(_fitted, ridge), hand_ridge.solution, DATA_L2, SOLVE, ESL + "eq. (3.44), (3.47)"),
    Case("linear.ridge/fit-derivative", NE_L2, "jacobian",
         jax.jacrev(_ridge_along_l2),
         lambda l2, X, y, s: hand_ridge.derivative_l2(X, y, l2=l2, sample_weight=s),
         Domain(_l2_first, SHAPES), IMPLICIT, ESL + "eq. (3.47), differentiated", _ridge_along_l2),
    Case("linear.ridge/shrinkage", ("l1-l2",), "identity",
         _shrunk, hand_ridge.shrinkage, DESIGN_L2, SOLVE, ESL + "eq. (3.47)"),
    Case("linear.ridge/eigenvalues", STRONG, "identity",
         _eigenvalues, _shifted, AT_PARAMS_L2, SOLVE, "(H + l2 I) v = (lambda + l2) v"),
)  # fmt: skip
SPECIAL = (
    Case("linear.least_squares/fit@collinear", NE, "solution",
         partial(_fitted, least_squares), hand_ls.solution, COLLINEAR, SOLVE,
         "Golub, Van Loan, section 5.5.2: least norm"),
    Case("linear.least_squares/fit@wide", NE, "solution",
         partial(_fitted, least_squares), hand_ls.solution, WIDE, SOLVE,
         "Golub, Van Loan, section 5.5.2: least norm"),
    Case("linear.ridge/fit@collinear", NE_L2, "solution",
         lambda X, y, **kw: _fitted(ridge, X, y, l2=0.3, **kw),
         lambda X, y, **kw: hand_ridge.solution(X, y, l2=0.3, **kw), COLLINEAR, SOLVE,
         ESL + "eq. (3.44): l2 restores the rank"),
)  # fmt: skip
