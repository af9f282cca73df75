"""Derivatives of solutions, from the condition they satisfy instead of the path taken to them.

    F(x, theta) = 0 at x = x*(theta)   =>   dx* = -(dF/dx)^-1 (dF/dtheta) dtheta

The rule is written forward (``custom_jvp``) and is linear in dtheta, so that JAX transposes it:
forward mode, reverse mode and vmap all follow from one rule.

Reference: Krantz, Parks (2002), The Implicit Function Theorem; Blondel et al. (2022), Efficient and
modular implicit differentiation, eq. (2).
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._loop import Fit, Info
from jaxml._typing import Array, PyTree

__all__ = ["differentiable", "solve_by_cg"]

P = TypeVar("P")


def differentiable(
    solve: Callable[[Any, Any], Fit[P]],
    *,
    objective: Callable[[P, Any], Array],
    optimality: Callable[[P, Any], P],
    inverse: Callable[[P, Any], Callable[[P], P]],
) -> Callable[[Any, Any], Fit[P]]:
    """Return solve with derivatives by the implicit function theorem.

    Args:
      solve: (theta, how) -> Fit, by any means; it is never differentiated. how holds what guides
        the path but not the answer: tolerances, a warm start. It has zero derivative.
      objective: (params, theta) -> J, so that info.objective has a derivative too.
      optimality: (params, theta) -> F, a tree like params, zero at the solution.
      inverse: (params, theta) -> a linear function that applies (dF/dparams)^-1 to a tree.

    Returns:
      (theta, how) -> Fit. Neither may be closed over, since rules cannot see closed-over tracers.
      Codes, counts and residuals have zero derivative.
    """

    @jax.custom_jvp
    def solution(theta: Any, how: Any) -> Fit[P]:
        return solve(theta, how)

    @solution.defjvp
    def _(primals: tuple, tangents: tuple) -> tuple:
        (theta, how), (dtheta, _) = primals, tangents
        fit = solution(theta, how)
        params, info = fit
        _, dF = jax.jvp(lambda theta: optimality(params, theta), (theta,), (dtheta,))
        dparams = jax.tree.map(jnp.negative, inverse(params, theta)(dF))
        _, dJ = jax.jvp(objective, (params, theta), (dparams, dtheta))
        none: Any = np.zeros(np.shape(info.code), jax.dtypes.float0)
        still = jax.tree.map(jnp.zeros_like, (info.residual, info.gap))
        return fit, Fit(dparams, Info(none, none, dJ, *still))

    return solution


def solve_by_cg(apply: Callable[[PyTree], PyTree], *, tol: float) -> Callable[[PyTree], PyTree]:
    """Return b -> A^-1 b by conjugate gradients, for A symmetric positive definite and large."""

    def cg(matvec: Callable[[PyTree], PyTree], b: PyTree) -> PyTree:
        return jax.scipy.sparse.linalg.cg(matvec, b, tol=tol)[0]

    return lambda b: jax.lax.custom_linear_solve(apply, b, cg, symmetric=True)
