"""Standard errors of a linear score from the Hessian of its objective, by autodiff.

Cov = (s H)^-1;    sandwich: (s H)^-1 [sum_i s_i g_i g_i'] (s H)^-1,  g_i = dl_i/d(w, b)
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxml import _lapack, penalties
from jaxml._numerics import matmul
from jaxml._typing import Array, Column, Float, Rows, Scalar
from jaxml.linear import _affine
from jaxml.linear._affine import Params

__all__ = ["standard_errors"]


@partial(jax.jit, static_argnames=("loss", "fit_intercept", "robust", "gauge"))
def standard_errors(
    loss: Callable,
    params: Params,
    X: Rows,
    y: Array,
    s: Column,
    l2: Scalar,
    *,
    fit_intercept: bool,
    robust: bool,
    gauge: bool = False,
) -> Params:
    """Return the standard error of each parameter.

    Args:
      loss: l(z_i, y_i) for one row.
      params: A minimizer.
      X: Features (n, d).
      y: Targets (n,).
      s: Weights that count observations.
      l2: Penalty on w.
      fit_intercept: Whether b is a parameter.
      robust: The sandwich instead of the inverse Hessian.
      gauge: Whether scores shifted alike in all classes give the same loss (softmax). The errors
        are then those of the parameters with sum 0 over the classes.
    """
    # With centered columns w has the same covariance, and b + m'w is better conditioned than b.
    m = matmul(s / s.sum(), X) if fit_intercept else jnp.zeros(X.shape[1], X.dtype)
    A = X - m[None, :]
    flat, unravel = ravel_pytree(Params(params.coef, params.intercept + matmul(m, params.coef)))

    def row(theta: Array, a: Array, y_i: Array) -> Scalar:
        return loss(_affine.score(unravel(theta), a), y_i)

    def objective(theta: Array) -> Scalar:
        errors = jax.vmap(row, (None, 0, 0))(theta, A, y)
        return jnp.sum(s * errors) + s.sum() * l2 * penalties.l2(unravel(theta).coef)

    H = jax.hessian(objective)(flat)
    like = unravel(flat)
    if gauge:
        # H is flat along shifts: filled in with its own scale there, to be projected out below.
        h = unravel(jnp.diag(H))
        level = ravel_pytree(
            jax.tree.map(lambda h: jnp.broadcast_to(jnp.mean(h, -1, keepdims=True), h.shape), h)
        )[0]
        project = jax.jacobian(
            lambda theta: ravel_pytree(
                jax.tree.map(lambda leaf: leaf - jnp.mean(leaf, -1, keepdims=True), unravel(theta))
            )[0]
        )(flat)
        H = H + level[:, None] * (jnp.eye(flat.shape[0], dtype=H.dtype) - project)
    else:
        project = jnp.eye(flat.shape[0], dtype=H.dtype)
    if not fit_intercept:
        free = ravel_pytree(Params(jnp.ones_like(like.coef), jnp.zeros_like(like.intercept)))[0]
        H = free[:, None] * H * free[None, :] + jnp.diag(1.0 - free)
        project = project * free[None, :] * free[:, None]
    cov = matmul(matmul(project, _inverse(H)), project.T)
    if robust:
        g = jax.vmap(jax.grad(row), (None, 0, 0))(flat, A, y)
        cov = matmul(matmul(cov, matmul(g.T, s[:, None] * g)), cov)
    # Back to b = v - m'w: a linear map of the parameters.
    back = jax.jacobian(
        lambda theta: ravel_pytree(
            Params(unravel(theta).coef, unravel(theta).intercept - matmul(m, unravel(theta).coef))
        )[0]
    )(flat)
    variance = jnp.diag(matmul(matmul(back, cov), back.T))
    return unravel(jnp.sqrt(variance))


def _inverse(H: Float[Array, "q q"]) -> Float[Array, "q q"]:
    """H^-1, NaN where H, its diagonal scaled to 1, is singular to rounding."""
    scale = jnp.sqrt(jnp.where(jnp.diag(H) > 0, jnp.diag(H), 1.0))
    values, V = _lapack.eigh(H / scale[:, None] / scale[None, :])
    regular = values[0] > H.shape[0] * jnp.finfo(H.dtype).eps * values[-1]
    cov = matmul(V / values[None, :], V.T) / scale[:, None] / scale[None, :]
    return jnp.where(regular, cov, jnp.nan)
