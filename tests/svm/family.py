"""The machines as one table, with seeded problems, and their certificates in float64 NumPy."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from jaxml import kernels
from jaxml.svm import dual, primal
from tests.fits import code, host

__all__ = [
    "DUALS", "FAMILY", "LINEAR", "Member", "code", "each", "gap", "host", "kernel_matrix",
    "problem",
]  # fmt: skip


class Member(NamedTuple):
    """One fit, with hyperparameters that make its problem well posed."""

    label: str
    module: Any
    keywords: tuple[tuple[str, Any], ...]

    @property
    def hyper(self) -> dict[str, Any]:
        """All hyperparameters."""
        return dict(self.keywords)

    @property
    def squared(self) -> bool:
        """Whether the loss is the squared hinge."""
        return self.hyper.get("squared", False)

    def fit(self, X: Any, y: Any, **other: Any) -> Any:
        """Fit with these hyperparameters, or others."""
        return self.module.fit(X, y, **{**self.hyper, **other})

    def learned(self, fit: Any) -> tuple[Any, Any]:
        """The leaves that a fit learns: the coefficients and the intercept."""
        return fit.params[0], fit.params[1]

    def scores(self, params: Any, X: Any) -> Any:
        """f(x) for each row."""
        return self.module.decision_function(params, X)

    @functools.cache
    def jitted(self) -> Any:
        """The fit of (X, y, sample_weight), jitted from outside."""
        return jax.jit(lambda X, y, s: self.fit(X, y, sample_weight=s))

    @functools.cache
    def vmapped(self) -> Any:
        """The same, over a leading axis of all three."""
        return jax.jit(jax.vmap(lambda X, y, s: self.fit(X, y, sample_weight=s)))


FAMILY = (
    Member("rbf", dual, (("kernel", kernels.RBF(0.3)), ("C", 1.5), ("tol", 1e-6))),
    Member("linear", dual, (("kernel", kernels.Linear()), ("C", 0.5), ("tol", 1e-6))),
    Member("hinge", primal, (("C", 0.5), ("tol", 1e-6))),
    Member("squared_hinge", primal, (("C", 0.5), ("squared", True))),
)
DUALS = FAMILY[:2]
LINEAR = FAMILY[1:]

each = pytest.mark.parametrize("member", FAMILY, ids=lambda m: m.label)


def problem(
    n: int = 24, d: int = 3, *, dtype: Any = "float64", seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (X, y, sample_weight): overlapping classes, of which none is missing."""
    rng = np.random.default_rng([seed, n, d])
    X = rng.normal(size=(n, d)) @ (np.eye(d) + 0.4 * rng.uniform(size=(d, d))) + rng.normal(size=d)
    z = (X - X.mean(0)) @ rng.normal(size=d) + 0.3
    y = np.where(z + rng.normal(size=n) > 0, 1, -1)
    y[:4] = [1, -1, 1, -1]
    return X.astype(dtype), y, rng.uniform(0.5, 2.0, n).astype(dtype)


def kernel_matrix(member: Member, X: np.ndarray, Z: np.ndarray | None = None) -> np.ndarray:
    """K in float64 NumPy, RBF or linear."""
    X = X.astype(np.float64)
    Z = X if Z is None else Z.astype(np.float64)
    if member.label != "rbf":
        return X @ Z.T
    return np.exp(-0.3 * ((X[:, None] - Z[None]) ** 2).sum(-1))


def gap(K: np.ndarray, y: np.ndarray, caps: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return m - M and how far b lies outside its constraints, in float64 NumPy."""
    K, y, caps, b = (np.asarray(a, np.float64) for a in (K, y, caps, b))
    v = y - K @ b
    a = b * y
    up = np.where(y > 0, a < caps, a > 0)
    low = np.where(y > 0, a > 0, a < caps)
    outside = max(-a.min(), (a - caps).max(), 0.0)
    return v[up].max() - v[low].min(), max(outside, abs(b.sum()) / max(np.abs(b).max(), 1e-300))
