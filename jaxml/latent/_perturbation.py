"""Derivatives of the leading eigenpairs of a covariance S, from how S changes.

    S v_i = lambda_i v_i,    dlambda_i = v_i'dS v_i
    dv_i = sum_(j != i) v_j (v_j'dS v_i) / (lambda_i - lambda_j)

Symbols as in pca. A pair of equal eigenvalues has no derivatives of its own, only its span has; the
terms 1 / 0 are left out, which is exact for all that depends on that span alone.

Reference: Magnus, Neudecker (2019), Matrix Differential Calculus, chapter 8.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._loop import Fit, Info
from jaxml._numerics import matmul
from jaxml._scatter import Statistics
from jaxml._typing import Array, Column, Float, Rows, Scalar
from jaxml.latent import _spectrum
from jaxml.latent._principal import Params, covariance, degrees, rounding

__all__ = ["Change", "of_rows", "of_statistics", "with_derivative"]


class Change(NamedTuple):
    """What the derivatives of the eigenpairs are made of."""

    B: Float[Array, "d k"]  # dS V'
    trace: Scalar  # tr dS
    values: Float[Array, " r"]  # of all eigenpairs of S that can be positive
    vectors: Float[Array, "r d"]
    mean: Float[Array, " d"]  # dm


def with_derivative(
    solve: Callable[[Any, Any], Fit[Params]], change: Callable[[Params, Any, Any], Change]
) -> Callable[[Any, Any], Fit[Params]]:
    """(theta, how) -> Fit as solve does it, with the derivatives in theta of the rule of pca.fit.

    Args:
      solve: Finds the eigenpairs of S(theta).
      change: (params, theta, dtheta) -> how S changes.
    """

    @jax.custom_jvp
    def solution(theta: Any, how: Any) -> Fit[Params]:
        return solve(theta, how)

    @solution.defjvp
    def _(primals: tuple, tangents: tuple) -> tuple:
        found = solution(*primals)
        dparams, dlost = _derivative(found.params, change(found.params, primals[0], tangents[0]))
        none: Any = np.zeros(np.shape(found.info.code), jax.dtypes.float0)
        return found, Fit(dparams, Info(none, none, dlost, jnp.zeros_like(found.info.residual)))

    return solution


def of_rows(params: Params, theta: tuple[Rows, Column], dtheta: tuple[Rows, Column]) -> Change:
    """From the rows and their weights, without dS itself."""
    (X, s), (dX, ds) = theta, dtheta
    mean, V, _, _ = params
    mass = jnp.sum(s)
    dof = degrees(mass)
    A = X - mean[None, :]
    A_s = s[:, None] * A
    scores = matmul(A, V.T)
    # dS = [sum_i ds_i a_i a_i' + s_i (dx_i a_i' + a_i dx_i') - dM S] / (M - 1)
    B = matmul(A.T, ds[:, None] * scores) + matmul(dX.T, s[:, None] * scores)
    B = B + matmul(A_s.T, matmul(dX, V.T)) - jnp.sum(ds) * matmul(A_s.T, scores) / dof
    trace = jnp.sum(ds * jnp.sum(A * A, axis=1)) + 2 * jnp.sum(A_s * dX)
    trace = trace - jnp.sum(ds) * jnp.sum(A_s * A) / dof
    root = jnp.sqrt(jnp.where(s > 0, s, 0.0) / dof)
    every, U = _spectrum.full(root[:, None] * A)
    dmean = (matmul(ds, A) + matmul(s, dX)) / jnp.where(mass > 0, mass, 1.0)
    return Change(B / dof, trace / dof, every, U, dmean)


def of_statistics(params: Params, sums: Statistics, dsums: Statistics) -> Change:
    """dS = [dT - dM S] / (M - 1), of the columns that vary, T the scatter matrix."""
    S, _, dof, _ = covariance(sums)
    alive = jnp.diag(S) > 0
    dS = jnp.where(alive[:, None] & alive[None, :], (dsums.scatter - dsums.mass * S) / dof, 0.0)
    dS = (dS + dS.T) / 2  # of a scatter matrix that is not symmetric, the symmetric part counts
    every = _spectrum.by_covariance(S, len(S))
    B = matmul(dS, params.components.T)
    return Change(B, jnp.trace(dS), every.values, every.vectors, dsums.mean)


def _derivative(params: Params, change: Change) -> tuple[Params, Scalar]:
    """Tangents of the parameters and of the lost variance, by the rule of pca.fit."""
    _, V, values, _ = params
    B, trace, every, U, dmean = change
    k, d = V.shape
    dvalues = jnp.sum(V.T * B, axis=0)
    dlost = trace - jnp.sum(dvalues) if k < d else jnp.zeros_like(trace)
    outside = jnp.arange(every.shape[0])[:, None] >= k
    C = jnp.where(outside, matmul(U, B), 0.0)
    gap = rounding(values[0], d)
    dV = matmul(_over(C, values[None, :] - every[:, None], gap).T, U)
    among = matmul(V, B)
    half = jnp.finfo(V.dtype).eps ** 0.5 * values[0]
    dV = dV + matmul(_over(among, values[None, :] - values[:, None], half).T, V)
    if U.shape[0] < d:  # what no row reaches has eigenvalue 0
        beyond = B - matmul(U.T, matmul(U, B))
        dV = dV + _over(beyond, jnp.broadcast_to(values[None, :], beyond.shape), gap).T
    return Params(dmean, dV, dvalues, dlost / max(d - k, 1)), dlost


def _over(C: Array, gap: Array, least: Scalar) -> Array:
    apart = jnp.abs(gap) > least
    return jnp.where(apart, C / jnp.where(apart, gap, 1.0), 0.0)
