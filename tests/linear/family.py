"""The six fits of the linear family as one table, with seeded problems for each."""

import functools
import importlib
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from tests.fits import agree, code, host

__all__ = [
    "CLASSIFIERS", "FAMILY", "ITERATIVE", "REGRESSORS", "Member", "agree", "code", "each", "host",
    "overlapping", "problem", "wide",
]  # fmt: skip


class Member(NamedTuple):
    """One fit, with hyperparameters that make its problem well posed."""

    label: str
    module: str
    hyper: tuple[tuple[str, Any], ...]
    n_classes: int  # 0 for regression

    @property
    def verbs(self) -> ModuleType:
        """The module."""
        return importlib.import_module(f"jaxml.linear.{self.module}")

    @property
    def real(self) -> dict[str, float]:
        """The real-valued hyperparameters."""
        return dict(self.hyper)

    @property
    def keywords(self) -> dict[str, Any]:
        """All hyperparameters."""
        return {**self.real, **({"n_classes": 3} if self.module == "softmax" else {})}

    def fit(self, X: Any, y: Any, **other: Any) -> Any:
        """Fit with these hyperparameters, or others."""
        return self.verbs.fit(X, y, **{**self.keywords, **other})

    def loss(self, params: Any, X: Any, y: Any, **other: Any) -> Any:
        """J with these hyperparameters, or others."""
        return self.verbs.loss(params, X, y, **{**self.real, **other})

    def scores(self, params: Any, X: Any) -> Any:
        """z = X w + b."""
        verb = self.verbs.decision_function if self.n_classes else self.verbs.predict
        return verb(params, X)

    @functools.cache
    def jitted(self) -> Any:
        """The fit of (X, y, sample_weight), jitted from outside; one object, one cache."""
        return jax.jit(lambda X, y, s: self.fit(X, y, sample_weight=s))

    @functools.cache
    def vmapped(self) -> Any:
        """The same, over a leading axis of all three."""
        return jax.jit(jax.vmap(lambda X, y, s: self.fit(X, y, sample_weight=s)))


FAMILY = (
    Member("least_squares", "least_squares", (), 0),
    Member("ridge", "ridge", (("l2", 0.3),), 0),
    Member("lasso", "lasso", (("l1", 0.1),), 0),
    Member("elastic_net", "elastic_net", (("l1", 0.05), ("l2", 0.2)), 0),
    Member("logistic", "logistic", (("l2", 0.1),), 2),
    Member("logistic_l1", "logistic", (("l1", 0.03), ("l2", 0.02)), 2),
    Member("softmax", "softmax", (("l2", 0.1),), 3),
    Member("softmax_l1", "softmax", (("l1", 0.03), ("l2", 0.02)), 3),
)
REGRESSORS = tuple(m for m in FAMILY if not m.n_classes)
CLASSIFIERS = tuple(m for m in FAMILY if m.n_classes)
ITERATIVE = tuple(m for m in FAMILY if m.module not in ("least_squares", "ridge"))


def problem(
    member: Member, n: int = 24, d: int = 3, *, dtype: Any = "float64", seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (X, y, sample_weight): correlated columns, noisy targets or overlapping classes."""
    rng = np.random.default_rng([seed, n, d, member.n_classes])
    X = rng.normal(size=(n, d)) @ (np.eye(d) + 0.4 * rng.uniform(size=(d, d))) + rng.normal(size=d)
    s = rng.uniform(0.5, 2.0, n)
    k = max(member.n_classes - 1, 1)
    z = (X - X.mean(0)) @ rng.normal(size=(d, k)) + 0.3
    if not member.n_classes:
        y = (z[:, 0] + rng.normal(size=n)).astype(dtype)
    else:
        noisy = np.concatenate([np.zeros((n, 1)), z], axis=1) + rng.gumbel(size=(n, k + 1)) * 1.5
        y = noisy.argmax(axis=1)
        y[: 2 * (k + 1)] = np.tile(np.arange(k + 1), 2)  # no class is missing
    return X.astype(dtype), y, s.astype(dtype)


def overlapping(
    rng: np.random.Generator, n: int = 60, d: int = 3, k: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Return (X, y): labels that no plane parts, none of them missing."""
    X = rng.normal(size=(n, d))
    y = np.argmax(X @ rng.normal(size=(d, k)) + rng.gumbel(size=(n, k)), axis=1)
    y[:k] = np.arange(k)
    return X, y


def wide(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return (X, y): many columns, of which five count."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + 3.0
    return X, X[:, :5].sum(1) + rng.normal(size=n)


def each(members: tuple[Member, ...]) -> pytest.MarkDecorator:
    """Parametrize a test over members."""
    return pytest.mark.parametrize("member", members, ids=lambda m: m.label)
