"""Gaussian mixtures, fitted by expectation-maximization.

    p(x) = sum_j pi_j N(x; mu_j, Sigma_j),    L = (1/s) sum_i s_i log p(x_i),    s = sum_i s_i

Symbols: x_i = X[i]; s_i = sample_weight[i], 1 if None; pi, mu, Sigma = weights, means, covariances.
L is scikit-learn's score: a mean, which may be positive, since p is a density. Each step of EM
raises L (up to what reg_covar adds); where it ends depends on the start.

Rows and means are taken about the mean of the data while fitting, and products are in full
precision, so that an offset costs float32 no digits.

Reference: Bishop (2006), Pattern recognition and machine learning, section 9.2; McLachlan, Peel
(2000), Finite mixture models.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxml import _check, _lapack
from jaxml._implicit import differentiable
from jaxml._lanes import one_at_a_time
from jaxml._loop import Fit
from jaxml._numerics import matmul
from jaxml._sums import weighted_mean
from jaxml._typing import Array, ArrayLike, Column, Float, Key, Real, Rows, Scalar, Weights
from jaxml.latent import _covariance, _em, _restarts, _seeding
from jaxml.latent._em import Params
from jaxml.latent._mixture import (
    aic,
    bic,
    elbo,
    joint,
    log_likelihood,
    predict,
    responsibilities,
    sample,
    score,
)

__all__ = [
    "Params", "aic", "bic", "elbo", "em_step", "fit", "log_likelihood", "predict",
    "responsibilities", "sample", "score", "trace",
]  # fmt: skip


def em_step(
    params: Params, X: ArrayLike, *, reg_covar: Real = 1e-6, sample_weight: Weights = None
) -> Params:
    """Return the params after one step of EM, which maximize the ELBO at q = r.

    The maximum is exact for reg_covar = 0. A component without weight keeps mean and covariance.
    """
    X = _check.rows(X, d=params.means.shape[1])
    s = _check.weights(sample_weight, X)
    return _em_step(params, (X, s, _check.at_least("reg_covar", reg_covar, 0, dtype=X.dtype)))


@jax.jit
def _em_step(params: Params, theta: Any) -> Params:
    X, s, reg = theta
    return _em.step(params, _covariance.whitener(params.covariances), X, s, reg)[1]


def trace(
    params: Params, X: ArrayLike, *, n_steps: int, reg_covar: Real = 1e-6,
    sample_weight: Weights = None,
) -> Float[Array, " n_steps+1"]:  # fmt: skip
    """Return L at params and after each of n_steps (static) steps of EM."""
    X = _check.rows(X, d=params.means.shape[1])
    s = _check.weights(sample_weight, X)
    reg = _check.at_least("reg_covar", reg_covar, 0, dtype=X.dtype)
    return _trace(params, X, s, reg, n_steps=_check.integer("n_steps", n_steps, 0))


@partial(jax.jit, static_argnames="n_steps")
def _trace(params: Params, X: Rows, s: Column, reg: Scalar, *, n_steps: int) -> Array:
    def once(params: Params, _: None) -> tuple[Params, Scalar]:
        L, params = _em.step(params, _covariance.whitener(params.covariances), X, s, reg)
        return params, L

    return jax.lax.scan(once, params, None, length=n_steps + 1)[1]


def fit(
    X: ArrayLike,
    *,
    n_components: int,
    key: Key | None = None,
    init: Params | None = None,
    n_init: int = 1,
    covariance_type: str = "full",
    reg_covar: Real = 1e-6,
    sample_weight: ArrayLike | None = None,
    tol: Real = 1e-3,
    max_iter: int = 100,
) -> Fit[Params]:
    """Find a local maximum of L by expectation-maximization.

    Args:
      X: Rows (n, d), float32 or float64; integers become the default float.
      n_components: k, static, at most n.
      key: A random key, required without init: k-means++ and Lloyd steps give hard labels, from
        which the first parameters are estimated.
      init: Where to start.
      n_init: Static; how many starts are tried, the best finite one being kept. 1 with init.
      covariance_type: Static: full, tied, diag or spherical. Covariances have shape (k, d, d),
        (1, d, d), (k, d) or (k,); every verb knows the type by it.
      reg_covar: >= 0, traced; added to every variance, in the square of the units of X.
      sample_weight: s_i >= 0, not all zero; only ratios matter. With the same init, integer weights
        are repeated rows.
      tol: What the residual must not exceed, >= 0, traced.
      max_iter: Static bound on the steps of each start; 0 returns the start.

    Returns:
      Params, and Info with objective = L and residual = the change of L by one more step.
      SINGULAR_COVARIANCE: a component collapsed onto too few places; the params before that are
      returned. Derivatives with respect to X, sample_weight and reg_covar are those of the fixed
      point of EM, which params meet up to tol; they solve a dense system in all p parameters after
      p products, and have meaning at a strict local maximum. ``trace`` shows L step by step.

    Raises:
      ValueError: n_components > n, neither key nor init, shapes disagree, an unknown type, or a
        concrete array holds NaN or inf.
      TypeError: An array is not numeric, key is not a random key, init is no Params.

    Example:
      >>> X = jnp.array([[0.0], [1.0], [10.0], [11.0]])
      >>> mixture = fit(X, n_components=2, key=jax.random.key(0)).params
      >>> sorted(round(float(m), 3) for m in mixture.means[:, 0])
      [0.5, 10.5]
    """
    X = _check.array("X", X, ndim=2)
    k = _check.integer("n_components", n_components, 1)
    if k > X.shape[0]:
        raise ValueError(f"n_components must be at most the {X.shape[0]} rows of X: got {k}")
    s = _check.weights(sample_weight, X)
    kind = _check.choice("covariance_type", covariance_type, _covariance.TYPES)
    n_init = _check.integer("n_init", n_init, 1)
    tol, reg = (
        _check.at_least(name, v, 0, dtype=X.dtype)
        for name, v in (("tol", tol), ("reg_covar", reg_covar))
    )
    impl = ""
    if init is not None:
        if n_init != 1:
            raise ValueError(f"n_init must be 1 with init, which is one start: got {n_init}")
        d = X.shape[1]
        shapes = (k,), (k, d), _covariance.shape(kind, k, d)
        begin: Any = _check.like("init", init, Params(*map(jnp.zeros, shapes)), X.dtype)
    elif key is None:
        raise ValueError("key is missing: expected a random key, or init to start from")
    else:
        begin, impl = _seeding.key_numbers("key", key)
    max_iter = _check.integer("max_iter", max_iter, 0)
    static = {"k": k, "kind": kind, "n_init": n_init, "max_iter": max_iter, "impl": impl}
    return _check.raise_for(_fit(X, s, reg, begin, tol, **static), X, s)


@partial(jax.jit, static_argnames=("k", "kind", "n_init", "max_iter", "impl"))
def _fit(X: Rows, s: Column, reg: Scalar, begin: Any, tol: Scalar, **static: Any) -> Fit[Params]:
    def objective(params: Params, theta: Any) -> Scalar:
        X, s, _ = theta
        return weighted_mean(_em.posterior(joint(params, X))[0], s)

    def optimality(params: Params, theta: Any) -> Params:
        return jax.tree.map(jnp.subtract, params, _em_step(params, theta))

    def inverse(params: Params, theta: Any):
        flat, unravel = ravel_pytree(params)

        def along(e: Array) -> Array:
            return ravel_pytree(
                jax.jvp(lambda P: optimality(P, theta), (params,), (unravel(e),))[1]
            )[0]

        columns = jax.lax.map(along, jnp.eye(flat.size, dtype=flat.dtype))
        J_inv = _lapack.inverse(columns.T)
        return lambda F: unravel(matmul(J_inv, ravel_pytree(F)[0]))

    derived = differentiable(
        one_at_a_time(partial(_restarts.solve, **static)),
        objective=objective, optimality=optimality, inverse=inverse,
    )  # fmt: skip
    return derived((X, s, reg), (begin, tol))
