"""The three naive Bayes models as one table, with seeded problems and scikit-learn's twins."""

import functools
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from sklearn import naive_bayes

from jaxml.bayes import bernoulli, gaussian, multinomial
from tests.fits import agree, code, host

__all__ = ["FAMILY", "K", "Member", "agree", "code", "each", "host", "problem"]

K = 3


class Member(NamedTuple):
    """One model, its smoothing at a value that is no default, and what plays its part elsewhere."""

    label: str
    verbs: ModuleType
    smoothing: tuple[str, float]
    prior: str
    peer: Any

    def fit(self, X: Any, y: Any, **other: Any) -> Any:
        """Fit with that smoothing, or others."""
        return self.verbs.fit(
            X, y, **{"n_classes": K, self.smoothing[0]: self.smoothing[1], **other}
        )

    @functools.cache
    def jitted(self) -> Any:
        """The fit of (X, y, sample_weight), jitted from outside."""
        return jax.jit(lambda X, y, s: self.fit(X, y, sample_weight=s))

    @functools.cache
    def vmapped(self) -> Any:
        """The same, over a leading axis of all three."""
        return jax.jit(jax.vmap(lambda X, y, s: self.fit(X, y, sample_weight=s)))

    def statistics(self, X: Any, y: Any, s: Any) -> Any:
        """The sufficient statistics."""
        return self.verbs.statistics(X, y, n_classes=K, sample_weight=s)

    def from_statistics(self, found: Any) -> Any:
        """The fit from them."""
        return self.verbs.from_statistics(found, **dict([self.smoothing]))

    def theirs(self, X: Any, y: Any, s: Any = None, **other: Any) -> Any:
        """scikit-learn's model."""
        return self.peer(**{self.smoothing[0]: self.smoothing[1], **other}).fit(X, y, s)


FAMILY = (
    Member("gaussian", gaussian, ("var_smoothing", 1e-2), "priors", naive_bayes.GaussianNB),
    Member("multinomial", multinomial, ("alpha", 0.3), "class_prior", naive_bayes.MultinomialNB),
    Member("bernoulli", bernoulli, ("alpha", 0.3), "class_prior", naive_bayes.BernoulliNB),
)


def problem(
    member: Member, n: int = 24, d: int = 3, *, dtype: Any = "float64", seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (X, y, sample_weight), each class present at least twice."""
    rng = np.random.default_rng([seed, n, d])
    y = rng.integers(0, K, n)
    y[: 2 * K] = np.tile(np.arange(K), 2)
    if member.label == "gaussian":
        X = rng.normal(size=(n, d)) * rng.uniform(0.5, 2, d) + rng.normal(size=(K, d))[y] + 1
    else:
        X = rng.poisson(rng.uniform(0.3, 3.0, size=(K, d))[y]).astype(float)
    return X.astype(dtype), y, rng.uniform(0.5, 2.0, n).astype(dtype)


def each(test: Any) -> Any:
    """Parametrize a test over the members."""
    return pytest.mark.parametrize("member", FAMILY, ids=lambda m: m.label)(test)
