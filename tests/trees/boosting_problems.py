"""A problem for the tests of boosting, and its fit in the shape that most of them share."""

import numpy as np

from jaxml.trees import boosting
from tests.fits import code

__all__ = ["code", "fit", "problem"]

SETTINGS = {"n_estimators": 4, "max_depth": 3, "learning_rate": 0.3}


def problem(n=40, d=3, seed=0, dtype="float64"):
    """Return (X, y, sample_weight): two classes by the sign of a product."""
    rng = np.random.default_rng([seed, n])
    X = rng.normal(size=(n, d))
    y = (X[:, 0] * X[:, 1] + 0.3 * rng.normal(size=n) > 0).astype(int)
    return X.astype(dtype), y, rng.uniform(0.5, 2.0, n).astype(dtype)


def fit(X, y, s=None, **other):
    """Fit with the settings that most tests share, or others."""
    return boosting.fit(X, y, sample_weight=s, **{**SETTINGS, **other})
