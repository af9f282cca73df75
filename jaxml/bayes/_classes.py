"""What the naive Bayes models share: sums over the rows of each class, priors, posteriors.

    N_c = sum_i s_i [y_i = c],    pi_c = N_c / N,    p(c | x) = p(c, x) / sum_c' p(c', x)

A row that no class can have produced (log p(c, x) = -inf for all c) gets the prior.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxml import _check
from jaxml._loop import Code, input_flags
from jaxml._typing import Array, ArrayLike, Bool, Column, Float, Labels, Rows, Scalar

__all__ = [
    "Flags", "Given", "flags", "given_prior", "inputs", "log", "mean_log", "posterior", "prior",
    "scores", "sound", "stray", "valid",
]  # fmt: skip

Given = Float[Array, " k"] | None  # priors that the user gave
Flags = tuple[tuple[Code, Array], ...]


def inputs(
    X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, n_classes: int
) -> tuple[Rows, Labels, Column, int]:
    """Return (X, y, s, k) checked; classes may be missing from y, and one class will do."""
    k = _check.integer("n_classes", n_classes, 1)
    X = _check.array("X", X, ndim=2)
    y = _check.labels(y, X.shape[0], n_classes=k)
    return X, y, jnp.asarray(_check.weights(sample_weight, X)), k


def valid(y: Labels, s: Column) -> tuple[Labels, Column]:
    """(y, s), a row without a class counted in none: only a trace can hold one."""
    return jnp.maximum(y, 0), jnp.where(y >= 0, s, 0.0)


def flags(X: Rows, y: Labels, s: Column, witness: Array) -> Flags:
    """Codes that the inputs earn; witness is a sum over X that is not finite if X is not."""
    return (*input_flags(X, s, s, witness), (Code.BAD_LABELS, (y < 0).any()))


def stray(y: Labels, s: Column) -> Bool[Array, ""]:
    """Whether a label is out of range or a weight negative, for statistics to turn into NaN."""
    return (y < 0).any() | (s < 0).any()


def given_prior(name: str, value: Any, k: int, dtype: Any) -> Given:
    """Return priors (k,) given by the user; concrete ones must be positive and sum to 1."""
    if value is None:
        return None
    value = _check.array(name, value, ndim=1, dtype=dtype)
    if value.shape != (k,):
        raise ValueError(f"{name} needs one entry per class: expected {k}, got {value.shape[0]}")
    if _check.is_concrete(value):
        host = np.asarray(value, np.float64)
        if not ((host > 0).all() and abs(host.sum() - 1) <= 1e-6 * k):
            raise ValueError(f"{name} must be positive and sum to 1: got {host.tolist()}")
    return value


def prior(
    count: Float[Array, " k"], given: Given, *, uniform: bool = False
) -> tuple[Float[Array, " k"], Bool[Array, ""]]:
    """Return pi, and whether there is none: no weight at all, or an impossible one was given."""
    N = jnp.sum(count)
    nothing = ~(N > 0)
    if given is not None:
        off = jnp.abs(jnp.sum(given) - 1) > 1e-6 * given.shape[0]
        return given, nothing | ~(given > 0).all() | off
    if uniform:
        return jnp.full_like(count, 1 / count.shape[0]), nothing
    return count / jnp.where(nothing, 1.0, N), nothing


def log(p: Float[Array, "..."]) -> Float[Array, "..."]:
    """Log p, -inf at 0 with a derivative of 0 there."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), jnp.where(p == 0, -jnp.inf, p))


def posterior(joint: Float[Array, "n k"], pi: Float[Array, " k"]) -> Float[Array, "n k"]:
    """p(c | x) from log p(c, x)."""
    top = jnp.max(joint, axis=1, keepdims=True)
    possible = top != -jnp.inf
    e = jnp.exp(jnp.where(possible, joint - jnp.where(possible, top, 0.0), log(pi)[None, :]))
    return e / jnp.sum(e, axis=1, keepdims=True)


def scores(f: Callable[[Any, Rows], Array], params: Any, X: ArrayLike, d: int) -> Array:
    """f(params, X) at the public boundary; f gives -inf, but no NaN, on finite rows."""
    X = _check.rows(X, d=d)
    z = f(params, X)
    if _check.is_concrete(X, z) and np.isnan(np.asarray(z)).any():
        _check.finite("X", X)
    return z


def mean_log(pi: Float[Array, " k"], count: Float[Array, " k"]) -> Scalar:
    """sum_c N_c / N log pi_c over the classes that have rows."""
    N = jnp.sum(count)
    weight = count / jnp.where(N > 0, N, 1.0)
    return jnp.sum(jnp.where(count > 0, weight * log(jnp.where(count > 0, pi, 1.0)), 0.0))


def sound(found: Any, X: Rows, witness: Array) -> Any:
    """Return statistics, or raise ValueError if NaN or inf in a concrete X spoiled them."""
    if _check.is_concrete(witness) and not np.isfinite(np.asarray(witness)).all():
        _check.finite("X", X)
    return found
