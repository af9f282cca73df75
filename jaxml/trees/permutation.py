"""Permutation importances: what a score loses when the values of one feature are dealt anew.

    importance_j = S(X, y) - S(X^(j), y),    X^(j) = X with column j in random order

For any model, on any rows: on rows held out it is what the model gains there by knowing x_j, beside
the other features; of features that tell the same, none may be missed. Unlike the decrease of
impurity it does not favor features of many values.

Reference: Breiman (2001), Random forests, section 10.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._typing import Array, ArrayLike, Float, Key, Rows, Scalar

__all__ = ["importances"]


def importances(
    score: Callable[[Rows, Array], Scalar],
    X: ArrayLike,
    y: ArrayLike,
    *,
    key: Key,
    n_repeats: int = 5,
) -> Float[Array, "d r"]:
    """Return how much lower the score is with each feature permuted, r times.

    Args:
      score: (X, y) -> scalar, the higher the better; of any model, traceable by JAX.
      X: Rows (n, d).
      y: What the score compares with.
      key: A random key; the same one gives the same permutations.
      n_repeats: r, static. Their mean is the estimate, their spread its error.

    Raises:
      ValueError: X is concrete and holds NaN or inf, n_repeats < 1, or key is a batch of keys.
      TypeError: key is not a random key, or X is not numeric.

    Example:
      >>> X = jnp.array([[0.0, 5.0], [1.0, 6.0], [2.0, 7.0], [3.0, 8.0]])
      >>> score = lambda X, y: -jnp.mean((X[:, 0] - y) ** 2)  # a model that reads column 0 only
      >>> found = importances(score, X, X[:, 0], key=jax.random.key(0), n_repeats=3)
      >>> found.shape, bool((found[0] > 0).all()), found[1].tolist()
      ((2, 3), True, [0.0, 0.0, 0.0])
    """
    X = _check.finite("X", _check.array("X", X, ndim=2))
    y, key = jnp.asarray(y), _check.key("key", key)
    r = _check.integer("n_repeats", n_repeats, 1)
    best, d = score(X, y), X.shape[1]

    def lost(at: tuple[Array, Key]) -> Scalar:
        j, key = at
        column = jax.random.permutation(key, X[:, j])
        return best - score(X.at[:, j].set(column), y)

    # One at a time: the memory of one score.
    found = jax.lax.map(lost, (jnp.repeat(jnp.arange(d), r), jax.random.split(key, d * r)))
    return found.reshape(d, r)
