"""Naive Bayes: estimates against the Lagrangian, posteriors against products of likelihoods."""

from functools import partial
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.bayes import bernoulli, gaussian, multinomial
from jaxml.closed_form.bayes import bernoulli as hand_bernoulli
from jaxml.closed_form.bayes import gaussian as hand_gaussian
from jaxml.closed_form.bayes import multinomial as hand_multinomial
from jaxml.verify.case import ROUNDING, Case, Point, Tolerance, point
from jaxml.verify.domains import Domain, Generator, design, labels

__all__ = ["CASES", "SPECIAL"]

TOPIC = ("naive-bayes",)
SHAPES = ((14, 3), (10, 2))
K = 3
FIXED = {"n_classes": K}
STATIONARY = Tolerance(1e-12, 1e-4, "terms of size 1 that cancel", scale=1.0)
MRS = "Manning, Raghavan, Schuetze (2008), "
LAGRANGE = "Lagrange multipliers, by autodiff"


def _rows(rng: Generator, n: int, d: int) -> Point:
    y = labels(rng, n, K)
    # Twice each class, so that no variance is 0.
    y[: 2 * K] = np.tile(np.arange(K), 2)
    X = design(rng, n, d) + rng.standard_normal((K, d))[y]
    return point(X, y, sample_weight=rng.uniform(0.5, 2.0, size=n))


def _counts(rng: Generator, n: int, d: int) -> Point:
    _, y = _rows(rng, n, d).args
    X = rng.poisson(2.0, size=(n, d)).astype(float)
    return point(X, y, sample_weight=rng.uniform(0.5, 2.0, size=n))


def _switches(rng: Generator, n: int, d: int) -> Point:
    at = _counts(rng, n, d)
    return point((at.args[0] > 1).astype(float), *at.args[1:], **at.kwargs)


ROWS, COUNTS = Domain(_rows, SHAPES), Domain(_counts, SHAPES)
SWITCHES = Domain(_switches, SHAPES)


def _fitted(model: ModuleType, X: Array, y: Array, **kw: Any) -> tuple[Array, ...]:
    params = model.fit(X, y, **FIXED, **kw).params
    return tuple(params)[: 3 if model is gaussian else 2]


def _log_likelihood(model: ModuleType, leaves: Any, X: Array, y: Array, s: Array) -> Array:
    """sum_i s_i log p(y_i, x_i), from the library's joint density."""
    if model is bernoulli:
        leaves = (*leaves, 1 - leaves[1], jnp.zeros((), X.dtype))
    joint = model.log_joint(model.Params(*leaves), X)
    return (s * jnp.take_along_axis(joint, y[:, None], axis=1)[:, 0]).sum()


def _lagrangian(model: ModuleType, X: Array, y: Array, *, sample_weight: Array, alpha: float):
    """Gradient of the Lagrangian over N at the estimates; multipliers from the derivation."""
    s, N = sample_weight, sample_weight.sum()
    smoothing = {"var_smoothing": 0.0} if model is gaussian else {"alpha": alpha}
    leaves = _fitted(model, X, y, sample_weight=s, **smoothing)

    def value(leaves: Any) -> Array:
        total = _log_likelihood(model, leaves, X, y, s) + N * (1 - leaves[0].sum())
        if model is multinomial:
            T = jnp.stack([(jnp.where(y == c, s, 0.0)[:, None] * X).sum(axis=0) for c in range(K)])
            sums = (T + alpha).sum(axis=1)
            total = total + alpha * jnp.log(leaves[1]).sum()
            total = total + (sums * (1 - leaves[1].sum(axis=1))).sum()
        elif model is bernoulli:
            total = total + alpha * (jnp.log(leaves[1]) + jnp.log(1 - leaves[1])).sum()
        return total / N

    return jax.grad(value)(leaves)


def _nothing(model: ModuleType, X: Array, y: Array, *, sample_weight: Array) -> Any:
    del y, sample_weight
    one = jnp.zeros((K, X.shape[1]), X.dtype)
    return (jnp.zeros(K, X.dtype), one, one)[: 3 if model is gaussian else 2]


def _proba(model: ModuleType, X: Array, y: Array, **kw: Any) -> Array:
    smoothing = {"var_smoothing": 0.1} if model is gaussian else {"alpha": 0.5}
    return model.predict_proba(model.fit(X, y, **FIXED, **smoothing, **kw).params, X)


def _product(model: ModuleType, X: Array, y: Array, **kw: Any) -> Array:
    smoothing = {"var_smoothing": 0.1} if model is hand_gaussian else {"alpha": 0.5}
    return model.posterior(model.estimates(X, y, **FIXED, **smoothing, **kw), X)


def _at_params(rng: Generator, n: int, d: int) -> Point:
    m, v = rng.standard_normal((K, d)), rng.uniform(0.5, 2.0, size=(K, d))
    return point(rng.standard_normal((n, d)), rng.dirichlet(np.ones(K)), m, v)


def _log_first(X: Array, *leaves: Array) -> Array:
    """sum_i log p(0 | x_i)."""
    joint = gaussian.log_joint(gaussian.Params(*leaves), X)
    return (joint[:, 0] - jax.scipy.special.logsumexp(joint, axis=1)).sum()


def _streamed(X: Array, y: Array, *, sample_weight: Array) -> tuple[Array, ...]:
    half = X.shape[0] // 2
    parts = [
        gaussian.statistics(X[rows], y[rows], sample_weight=sample_weight[rows], **FIXED)
        for rows in (slice(0, half), slice(half, None))
    ]
    return tuple(gaussian.merge(*parts))


def _manning(key: Any, dtype: Any) -> tuple[Array, Array]:
    """The example of the reference: four documents, six words."""
    del key
    rows = ["110000", "010010", "010100", "011001"]
    X = jnp.array([[int(c) for c in row] for row in rows], dtype)
    return X, jnp.array([0, 0, 0, 1], jnp.int32)


def _manning_fit(X: Array, y: Array) -> tuple[Array, ...]:
    params = bernoulli.fit(X, y, n_classes=2).params
    odds = jnp.exp(bernoulli.log_joint(params, X[3:]))[0]
    return params.prior, params.probability, odds


def _manning_book(X: Array, y: Array) -> tuple[Array, ...]:
    del y
    P = [[2 / 5, 4 / 5, 1 / 5, 2 / 5, 2 / 5, 1 / 5], [1 / 3, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 2 / 3]]
    odds = [3 / 4 * 4 / 5 * 1 / 5 * 1 / 5 * (3 / 5) ** 3, 1 / 4 * (2 / 3) ** 6]
    return tuple(jnp.array(leaf, X.dtype) for leaf in ([3 / 4, 1 / 4], P, odds))


def _impossible(key: Any, dtype: Any) -> tuple[Array, Array]:
    del key
    return jnp.array([[1, 0], [1, 1]], dtype), jnp.array([0, 1], jnp.int32)


def _unsmoothed(X: Array, y: Array) -> Array:
    return multinomial.predict_proba(multinomial.fit(X, y, n_classes=2, alpha=0.0).params, X)


CASES = (
    Case("bayes.gaussian/fit", TOPIC, "solution",
         partial(_fitted, gaussian, var_smoothing=0.1),
         partial(hand_gaussian.estimates, **FIXED, var_smoothing=0.1), ROWS, ROUNDING,
         "Lagrange multipliers; Chan, Golub, LeVeque (1983), eq. (1.7)"),
    Case("bayes.gaussian/stationary", TOPIC, "identity",
         partial(_lagrangian, gaussian, alpha=0.0), partial(_nothing, gaussian), ROWS, STATIONARY,
         LAGRANGE),
    Case("bayes.gaussian/likelihood", TOPIC, "identity",
         lambda X, y, sample_weight: _log_likelihood(
             gaussian, _fitted(gaussian, X, y, sample_weight=sample_weight, var_smoothing=0.1),
             X, y, sample_weight),
         lambda X, y, sample_weight: hand_gaussian.likelihood(
             hand_gaussian.estimates(
                 X, y, sample_weight=sample_weight, **FIXED, var_smoothing=0.1),
             X, y, sample_weight=sample_weight),
         ROWS, ROUNDING, "the density written out row by row"),
    Case("bayes.gaussian/posterior", TOPIC, "identity",
         partial(_proba, gaussian), partial(_product, hand_gaussian), ROWS, ROUNDING,
         "Bayes' rule on the product of densities"),
    Case("bayes.gaussian/posterior-gradient", TOPIC, "gradient",
         jax.grad(_log_first),
         lambda X, *leaves: hand_gaussian.log_posterior_gradient(leaves, X),
         Domain(_at_params, ((4, 3), (2, 2))), ROUNDING, "chain rule through log p(c, x)",
         _log_first),
    Case("bayes.gaussian/merge", TOPIC, "identity",
         _streamed, partial(hand_gaussian.merged, **FIXED), ROWS, ROUNDING,
         "Chan, Golub, LeVeque (1983), eq. (2.1)"),
    Case("bayes.multinomial/fit", TOPIC, "solution",
         partial(_fitted, multinomial, alpha=0.5),
         partial(hand_multinomial.estimates, **FIXED, alpha=0.5), COUNTS, ROUNDING,
         MRS + "eq. (13.7)"),
    Case("bayes.multinomial/stationary", TOPIC, "identity",
         partial(_lagrangian, multinomial, alpha=0.5), partial(_nothing, multinomial), COUNTS,
         STATIONARY, LAGRANGE),
    Case("bayes.multinomial/posterior", TOPIC, "identity",
         partial(_proba, multinomial), partial(_product, hand_multinomial), COUNTS, ROUNDING,
         MRS + "eq. (13.3)"),
    Case("bayes.bernoulli/fit", TOPIC, "solution",
         partial(_fitted, bernoulli, alpha=0.5),
         partial(hand_bernoulli.estimates, **FIXED, alpha=0.5), SWITCHES, ROUNDING,
         MRS + "figure 13.3"),
    Case("bayes.bernoulli/stationary", TOPIC, "identity",
         partial(_lagrangian, bernoulli, alpha=0.5), partial(_nothing, bernoulli), SWITCHES,
         STATIONARY, LAGRANGE),
    Case("bayes.bernoulli/posterior", TOPIC, "identity",
         partial(_proba, bernoulli), partial(_product, hand_bernoulli), SWITCHES, ROUNDING,
         MRS + "section 13.3"),
)  # fmt: skip
SPECIAL = (
    Case("bayes.bernoulli/fit@manning", TOPIC, "solution",
         _manning_fit, _manning_book, _manning, ROUNDING, MRS + "example 13.2, fractions by hand"),
    Case("bayes.multinomial/posterior@alpha-0", TOPIC, "identity",
         _unsmoothed, lambda X, y: jnp.array([[2 / 3, 1 / 3], [0, 1]], X.dtype), _impossible,
         ROUNDING, "0 log 0 = 0: 1/2 against 1/2 1/2, and class 0 never has the second kind"),
)  # fmt: skip
