"""Several classes by binary machines: one against the rest, or one against another.

    one vs rest: k fits, y_i = 1 in class c, else -1; predict argmax_c f_c(x)
    one vs one: k (k - 1) / 2 fits on the rows of two classes each; predict by votes

All fits are lanes of one vmapped call. A class that a fit leaves out has weight 0 there, so that
the rows, and what a kernel makes of them, are shared.

Reference: Hsu, Lin (2002), A comparison of methods for multiclass support vector machines.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._loop import Fit
from jaxml._typing import Array, ArrayLike, Float, Int

__all__ = [
    "one_vs_one", "one_vs_one_predict", "one_vs_rest", "one_vs_rest_predict", "pairs",
]  # fmt: skip

Scores = Callable[[Any, Any], Array]  # decision_function of the binary model


def one_vs_rest(
    fit: Callable[..., Fit[Any]],
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_classes: int,
    sample_weight: ArrayLike | None = None,
    **hyper: Any,
) -> Fit[Any]:
    """Fit class c against the others, for every c.

    Args:
      fit: A binary fit of labels in {-1, 1}: svm.dual.fit, svm.primal.fit, or one's own.
      X: Features (n, d), or a precomputed kernel (n, n).
      y: Labels (n,) in 0..n_classes-1.
      n_classes: Static.
      sample_weight: s_i >= 0.
      hyper: Passed on to fit.

    Returns:
      A Fit whose leaves have a leading axis of n_classes; read it with one_vs_rest_predict.

    Raises:
      ValueError: As fit; labels outside 0..n_classes-1.
    """
    X, y, s = _rows(X, y, sample_weight, n_classes)
    signs = jnp.where(jnp.arange(n_classes)[:, None] == y[None, :], 1, -1).astype(X.dtype)
    known = jnp.where(y >= 0, signs, 0)  # 0 is no label: a traced one that is none shows in code
    return jax.vmap(lambda t: fit(X, t, sample_weight=s, **hyper))(known)


def one_vs_rest_predict(decision_function: Scores, params: Any, X: ArrayLike) -> Int[Array, " n"]:
    """Return the class with the largest f_c(x); of equal ones the first."""
    scores = jax.vmap(lambda params: decision_function(params, X))(params)
    return jnp.argmax(scores, axis=0).astype(jnp.int32)


def pairs(n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the second class of each fit: (0, 1), (0, 2), .., (1, 2), .."""
    return np.triu_indices(n_classes, 1)


def one_vs_one(
    fit: Callable[..., Fit[Any]],
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_classes: int,
    sample_weight: ArrayLike | None = None,
    **hyper: Any,
) -> Fit[Any]:
    """Fit every pair of classes, the first as 1; arguments as one_vs_rest.

    Returns:
      A Fit whose leaves have a leading axis of n_classes (n_classes - 1) / 2, in the order of
      pairs(n_classes); read it with one_vs_one_predict.
    """
    X, y, s = _rows(X, y, sample_weight, n_classes)

    def one(first: Array, second: Array) -> Fit[Any]:
        taken = (y == first) | (y == second)
        signs = jnp.where(y == first, 1, -1).astype(X.dtype)
        signs = jnp.where(y >= 0, signs, 0)
        return fit(X, signs, sample_weight=jnp.where(taken, s, 0.0), **hyper)

    return jax.vmap(one)(*(jnp.asarray(c) for c in pairs(n_classes)))


def one_vs_one_predict(
    decision_function: Scores, params: Any, X: ArrayLike, *, n_classes: int
) -> Int[Array, " n"]:
    """Return the class with most wins; among equals the one with the larger sum of scores.

    A sum of scores is squeezed into (-1/3, 1/3), so that it only ever decides between equals.
    """
    scores = jax.vmap(lambda params: decision_function(params, X))(params)
    first, second = pairs(n_classes)
    classes = np.arange(n_classes)
    sides = (classes[:, None] == first[None, :]) * 1.0 - (classes[:, None] == second[None, :])
    sides = jnp.asarray(sides, scores.dtype)
    wins = jnp.matmul(sides, jnp.where(scores > 0, 1.0, -1.0).astype(scores.dtype)) / 2
    sums = jnp.matmul(sides, scores, precision="highest")
    squeezed = sums / (3 * (jnp.abs(sums) + 1))
    return jnp.argmax(wins + squeezed, axis=0).astype(jnp.int32)


def _rows(X: Any, y: Any, s: Any, n_classes: int) -> tuple[Array, Array, Float[Array, " n"]]:
    n_classes = _check.integer("n_classes", n_classes, 2)
    X = _check.finite("X", _check.array("X", X, ndim=2))
    return X, _check.labels(y, X.shape[0], n_classes=n_classes), _check.weights(s, X)
