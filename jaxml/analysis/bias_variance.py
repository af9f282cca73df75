"""The expected squared error of a fit, taken apart into bias, variance and noise.

    F_rj = prediction at x_j after a fit to data set r,  f_j = E[y | x_j],  m_j = 1/R sum_r F_rj
    bias2 = 1/m sum_j (m_j - f_j)^2,   variance = 1/(R m) sum_rj (F_rj - m_j)^2
    1/(R m) sum_rj (F_rj - f_j)^2 = bias2 + variance                     exactly, for any R
    error = 1/(R m) sum_rj (F_rj - y_rj)^2 = bias2 + variance + noise    in expectation

The mean over the drawn data sets is the population here: E bias2 = bias^2 + v/R and
E variance = v (1 - 1/R), v being the variance over all data sets. The estimates without that bias,
bias2 - variance/(R - 1) and variance R/(R - 1), add up to the same.

Reference: Geman, Bienenstock, Doursat (1992), Neural Computation 4; Hastie et al., ESL (2009),
eq. (7.9) and (15.1); Domingos (2000) for resampled data.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._loop import Code, Fit
from jaxml._typing import Array, ArrayLike, Float, Key, PyTree, Real, Rows, Scalar
from jaxml.analysis._squared_error import (
    Average,
    Decomposition,
    Estimate,
    average,
    measure,
    measured,
    noise_of,
    targets,
)

__all__ = ["Average", "Decomposition", "Estimate", "average", "bootstrap", "decompose", "measure"]


def decompose(
    fit: Callable[[Any, Any], Any],
    predict: Callable[[Any, Any], Any],
    draw: Callable[[Key], tuple[Any, Any]],
    X_test: ArrayLike,
    f_test: ArrayLike,
    *,
    key: Key,
    n_datasets: int,
    noise_variance: Real | Float[Array, " m"] = 0.0,
    batch_size: int | None = None,
) -> Decomposition:
    """Fit to drawn data sets and decompose the squared error at test points.

    Args:
      fit: fit(X, y) -> Fit, or any tree of parameters. Compiled, like predict and draw, once per
        function object: name it instead of writing a new lambda at every call.
      predict: predict(params, X_test) -> (m,).
      draw: draw(key) -> (X, y), one data set, of one shape whatever the key.
      X_test: Test points (m, d).
      f_test: f_j, the mean response there (m,).
      key: Seeds the data sets and the test responses.
      n_datasets: R >= 2, static.
      noise_variance: Var(y | x_j) >= 0, one number or (m,); traced. The error is measured against
        normal responses with this variance, drawn afresh for each data set.
      batch_size: How many data sets are fitted at a time, static; None: all.

    Returns:
      Decomposition. bias2 + variance is the mean of (F - f)^2 to rounding; the error differs from
      bias2 + variance + noise within its standard error. If a fit ends DEGENERATE or worse, every
      term is NaN, and code says why.

    Raises:
      ValueError: Shapes disagree, n_datasets < 2, a negative noise_variance, or concrete values
        are not finite.

    Example:
      >>> def draw(key):  # six observations of 1 with standard deviation 1, and no feature
      ...     return jnp.zeros((6, 1)), 1.0 + jax.random.normal(key, 6)
      >>> def fit(X, y):
      ...     return y.mean() / 2  # half the mean: bias^2 = 1/4, variance = 1/24
      >>> terms = decompose(fit, lambda half, X: half[None], draw, [[0.0]], [1.0],
      ...                   key=jax.random.key(0), n_datasets=4000, noise_variance=1.0)
      >>> [round(float(t.value), 2) for t in (terms.bias2, terms.variance, terms.noise)]
      [0.25, 0.04, 1.0]
    """
    X = _check.finite("X_test", _check.array("X_test", X_test, ndim=2))
    f = targets("f_test", f_test, X)
    noise = noise_of(noise_variance, X)
    n_datasets = _check.integer("n_datasets", n_datasets, 2)
    if batch_size is not None:
        batch_size = _check.integer("batch_size", batch_size, 1)
    return _decompose(
        X, f, noise, key,
        fit=fit, predict=predict, draw=draw, n_datasets=n_datasets, batch_size=batch_size,
    )  # fmt: skip


def bootstrap(
    fit: Callable[..., Any],
    predict: Callable[[Any, Any], Any],
    X: ArrayLike,
    y: Any,
    X_test: ArrayLike,
    y_test: ArrayLike,
    *,
    key: Key,
    n_datasets: int,
    noise_variance: Real = 0.0,
    batch_size: int | None = None,
) -> Decomposition:
    """Decompose the squared error on real test rows over resampled training rows.

    A data set is n rows drawn with replacement, given to the fit as integer weights. Where f is
    unknown, (m_j - y_j)^2 holds bias^2 and noise: what is known of the noise is subtracted, so that
    error = bias2 + variance + noise exactly.

    Args:
      fit: fit(X, y, sample_weight=...) -> Fit, or any tree of parameters.
      predict: predict(params, X_test) -> (m,).
      X: Training features (n, d).
      y: Training targets (n,).
      X_test: Test features (m, d).
      y_test: Responses there (m,).
      key: Seeds the resampling.
      n_datasets: R >= 2, static.
      noise_variance: Var(y | x) if it is known; 0 leaves the noise in bias2.
      batch_size: As in decompose.

    Returns:
      Decomposition. The standard errors hold what the choice of test rows adds to that of data
      sets; those of bias2 and variance over data sets are of resampling from these rows, no more.

    Raises:
      ValueError: As decompose.
    """
    Z = _check.finite("X", _check.array("X", X, ndim=2))
    y = jnp.asarray(y)
    if y.shape != Z.shape[:1]:
        raise ValueError(f"y needs one entry per row of X: expected {Z.shape[0]}, got {y.shape}")
    X_test = _check.finite("X_test", _check.array("X_test", X_test, ndim=2, dtype=Z.dtype))
    t = targets("y_test", y_test, X_test)
    noise = _check.at_least("noise_variance", noise_variance, 0, dtype=Z.dtype)
    n_datasets = _check.integer("n_datasets", n_datasets, 2)
    if batch_size is not None:
        batch_size = _check.integer("batch_size", batch_size, 1)
    return _bootstrap(
        Z, y, X_test, t, noise, key,
        fit=fit, predict=predict, n_datasets=n_datasets, batch_size=batch_size,
    )  # fmt: skip


def _fitted(fitted: Any) -> tuple[PyTree, Array]:
    if isinstance(fitted, Fit):
        return fitted.params, fitted.info.code
    return fitted, jnp.int32(Code.CONVERGED)


@partial(jax.jit, static_argnames=("fit", "predict", "draw", "n_datasets", "batch_size"))
def _decompose(
    X: Rows, f: Array, noise: Array, key: Key,
    *, fit: Callable, predict: Callable, draw: Callable, n_datasets: int, batch_size: int | None,
) -> Decomposition:  # fmt: skip
    def one(key: Key) -> tuple[Array, Array]:
        params, code = _fitted(fit(*draw(key)))
        return _shaped(predict(params, X), X), code

    for_data, for_noise = jax.random.split(key)
    F, code = _each(one, jax.random.split(for_data, n_datasets), batch_size)
    eps = jax.random.normal(for_noise, F.shape, F.dtype)
    return measured(F, f, f[None, :] + jnp.sqrt(noise)[None, :] * eps, noise, jnp.max(code))


@partial(jax.jit, static_argnames=("fit", "predict", "n_datasets", "batch_size"))
def _bootstrap(
    X: Rows, y: Array, X_test: Rows, t: Array, noise: Scalar, key: Key,
    *, fit: Callable, predict: Callable, n_datasets: int, batch_size: int | None,
) -> Decomposition:  # fmt: skip
    n, m = X.shape[0], X_test.shape[0]

    def one(key: Key) -> tuple[Array, Array]:
        counts = jnp.bincount(jax.random.randint(key, (n,), 0, n), length=n)
        params, code = _fitted(fit(X, y, sample_weight=counts.astype(X.dtype)))
        return _shaped(predict(params, X_test), X_test), code

    F, code = _each(one, jax.random.split(key, n_datasets), batch_size)
    found = measured(F, t, jnp.broadcast_to(t, F.shape), jnp.zeros_like(t), jnp.max(code))
    # (m_j - y_j)^2, its spread over resamples apart, varies over the test rows as well.
    rows = {
        "bias2": found.bias**2,
        "variance": found.spread,
        "error": found.bias**2 + found.spread,
    }
    terms = {}
    for name, values in rows.items():
        value, over_data = getattr(found, name)
        terms[name] = Estimate(value, jnp.hypot(over_data, jnp.std(values) / jnp.sqrt(1.0 * m)))
    bias2 = terms["bias2"]._replace(value=terms["bias2"].value - noise)
    return found._replace(**{**terms, "bias2": bias2}, noise=Estimate(noise, jnp.zeros_like(noise)))


def _each(one: Callable, keys: Key, batch_size: int | None) -> tuple[Array, Array]:
    if batch_size is None:
        return jax.vmap(one)(keys)
    return jax.lax.map(one, keys, batch_size=batch_size)


def _shaped(z: Any, X: Rows) -> Array:
    z = jnp.asarray(z, X.dtype)
    if z.shape != X.shape[:1]:
        raise ValueError(f"predict must return shape ({X.shape[0]},): got {z.shape}")
    return z
