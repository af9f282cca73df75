"""A problem for the tests of AdaBoost, and its fit in the shape that most of them share."""

from typing import Any

import numpy as np

from jaxml.trees import adaboost
from tests.fits import code

__all__ = ["D", "M", "N", "code", "fit", "problem"]

N, D, M = 40, 3, 6  # one shape for most tests: one compilation per dtype and mode


def problem(K=3, seed=0, dtype="float64"):
    """Return (X, y, sample_weight): K classes, none of them missing."""
    rng = np.random.default_rng([seed, K])
    X = rng.standard_normal((N, D))
    y = (np.digitize(X[:, 0] + 0.6 * rng.standard_normal(N), [-0.5, 0.5]) % K).astype(int)
    y[:K] = np.arange(K)
    return X.astype(dtype), y, rng.uniform(0.5, 2.0, N).astype(dtype)


def fit(X, y, s, K: Any = 3, **other):
    """Fit as many rounds as most tests share."""
    return adaboost.fit(X, y, n_classes=K, n_estimators=M, sample_weight=s, **other)
