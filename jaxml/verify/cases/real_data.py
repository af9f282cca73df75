"""The linear family on real data sets, standardized, with random weights."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import datasets
from jaxml._typing import Array
from jaxml.closed_form.linear import elastic_net as hand_sparse
from jaxml.closed_form.linear import least_squares as hand_ls
from jaxml.closed_form.linear import logistic as hand_logistic
from jaxml.closed_form.linear import ridge as hand_ridge
from jaxml.closed_form.linear import softmax as hand_softmax
from jaxml.linear import lasso, least_squares, logistic, ridge, softmax
from jaxml.verify.case import ITERATED, ROUNDING, SOLVE, Case, Tolerance
from jaxml.verify.domains import Domain, Generator, Numbers

__all__ = ["CASES", "SPECIAL"]

STATIONARY = Tolerance(1e-8, 1e-3, "the residual a fit stops at; y of unit size", scale=1.0)


def _standardized(data: datasets.Dataset) -> tuple[Numbers, Numbers]:
    X = np.asarray(data.X, np.float64)
    return (X - X.mean(axis=0)) / X.std(axis=0), np.asarray(data.y)


def _weighted(load: Callable, columns: int) -> Domain:
    """A data set with its first columns, standardized; what is drawn is the weight of each row."""

    def sample(rng: Generator) -> tuple[Numbers, Numbers, Numbers]:
        X, y = _standardized(load())
        return X[:, :columns], y, rng.uniform(0.5, 2.0, size=len(y))

    return Domain(sample)


DIABETES, CANCER = _weighted(datasets.diabetes, 10), _weighted(datasets.breast_cancer, 8)
IRIS = _weighted(datasets.iris, 4)


def _unit(y: Array) -> Array:
    return (y - y.mean()) / y.std()


def _lasso(X: Array, y: Array, s: Array) -> tuple:
    params = lasso.fit(X, _unit(y), l1=0.1, sample_weight=s).params
    terms = {"l1": 0.1, "l2": 0.0, "sample_weight": s}
    return hand_sparse.violation(params, X, _unit(y), **terms), hand_sparse.gap(
        params, X, _unit(y), **terms
    )


def _softmax(X: Array, y: Array, s: Array) -> tuple:
    params = softmax.fit(X, y, n_classes=3, l2=0.05, sample_weight=s).params
    return hand_softmax.gradient(params, X, y, l1=0.0, l2=0.05, sample_weight=s)


CASES = ()
SPECIAL = (
    Case("linear.least_squares/fit@diabetes", ("normal-equation",), "solution",
         lambda X, y, s: least_squares.fit(X, y, sample_weight=s).params,
         lambda X, y, s: hand_ls.solution(X, y, sample_weight=s), DIABETES, SOLVE,
         "Golub, Van Loan, section 5.5.2"),
    Case("linear.ridge/fit@diabetes", ("normal-equation", "l1-l2"), "solution",
         lambda X, y, s: ridge.fit(X, y, l2=0.1, sample_weight=s).params,
         lambda X, y, s: hand_ridge.solution(X, y, l2=0.1, sample_weight=s), DIABETES, SOLVE,
         "ESL (2009), eq. (3.47)"),
    Case("linear.lasso/optimality@diabetes", ("l1-l2",), "identity",
         _lasso, lambda X, y, s: ((0.0 * X[0], 0.0 * y[0]), 0.0 * y[0]), DIABETES,
         STATIONARY._replace(float64=1e-6), "ESL (2009), eq. (3.56)"),
    Case("linear.logistic/gradient@breast_cancer", ("logistic",), "identity",
         lambda X, y, s: jax.grad(logistic.loss)(
             logistic.Params(0.1 * X[0], X[0, 0]), X, y, l2=0.1, sample_weight=s),
         lambda X, y, s: hand_logistic.gradient(
             (0.1 * X[0], X[0, 0]), X, y, l1=0.0, l2=0.1, sample_weight=s), CANCER,
         ROUNDING, "ESL (2009), eq. (4.21)"),
    Case("linear.logistic/fit@breast_cancer", ("logistic",), "solution",
         lambda X, y, s: logistic.fit(X, y, l2=0.1, sample_weight=s).params,
         lambda X, y, s: hand_logistic.solution(X, y, l2=0.1, sample_weight=s), CANCER,
         ITERATED, "ESL (2009), eq. (4.26)"),
    Case("linear.softmax/fit@iris", ("softmax-regression",), "identity",
         _softmax, lambda X, y, s: (jnp.zeros((4, 3), X.dtype), jnp.zeros(3, X.dtype)), IRIS,
         STATIONARY, "Bishop (2006), eq. (4.109)"),
)  # fmt: skip
