"""The condition that a proximal solution meets: it certifies it, and differentiates it.

    J(w) = f(w) + g(w), both convex, is least where  F(w) = w - prox(w - grad f(w), 1) = 0
    residual = max |F| / max(1, |J|),     dw = -A^-1 (dF/dtheta) dtheta,    A = dF/dw

theta is a triple: what f, prox and g depend on besides w. A need not be symmetric.

Reference: Parikh, Boyd (2014), Proximal algorithms, section 4.2.1.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxml import _lapack
from jaxml._numerics import matmul
from jaxml._typing import Array, PyTree, Scalar
from jaxml.optim import _problem

__all__ = ["Problem", "certificate", "dot", "inverse", "optimality", "sub", "total"]


class Problem(NamedTuple):
    """f, prox and g as functions of the parameters and of the arrays that each depends on."""

    f: Callable
    prox: Callable
    g: Callable


def sub(x: PyTree, y: PyTree) -> PyTree:
    return jax.tree.map(jnp.subtract, x, y)


def dot(x: PyTree, y: PyTree) -> Scalar:
    products = jax.tree.map(lambda x, y: jnp.sum(x * y), x, y)
    return jax.tree.reduce(jnp.add, products)


def optimality(problem: Problem, params: PyTree, theta: tuple) -> PyTree:
    """Return F(w), zero at the solution."""
    gradient = jax.grad(problem.f)(params, *theta[0])
    return sub(params, problem.prox(sub(params, gradient), jnp.ones_like(dot(params, params)),
                                    *theta[1]))  # fmt: skip


def total(problem: Problem, params: PyTree, theta: tuple) -> Scalar:
    """Return J(w)."""
    J = problem.f(params, *theta[0])
    return J + problem.g(params, *theta[2]).astype(J.dtype)


def certificate(problem: Problem, params: PyTree, theta: tuple) -> tuple[Scalar, Scalar]:
    """Return J and the residual."""
    J = total(problem, params, theta)
    return J, _problem.relative(optimality(problem, params, theta), J)


def inverse(problem: Problem, params: PyTree, theta: tuple) -> Callable[[PyTree], PyTree]:
    """Return b -> A^-1 b."""
    w, unravel = ravel_pytree(params)

    def condition(w: Array) -> Array:
        return ravel_pytree(optimality(problem, unravel(w), theta))[0]

    if w.size <= _problem.DENSE:
        A_inv = _lapack.inverse(jax.jacfwd(condition)(w))
        return lambda b: unravel(matmul(A_inv, ravel_pytree(b)[0]))
    tol = float(jnp.finfo(w.dtype).eps) ** 0.75

    def iterative(apply: Callable, b: Array) -> Array:
        return jax.scipy.sparse.linalg.bicgstab(apply, b, tol=tol)[0]

    def solve(b: Array) -> Array:
        return jax.lax.custom_linear_solve(
            lambda v: jax.jvp(condition, (w,), (v,))[1], b, iterative, transpose_solve=iterative
        )

    return lambda b: unravel(solve(ravel_pytree(b)[0]))
