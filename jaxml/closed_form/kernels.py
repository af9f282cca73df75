"""Kernels by hand: derivatives, explicit features, factors. Letters as in jaxml.kernels."""

import itertools
import math
from functools import partial

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Column, Float, Real, Rows, Scalar

__all__ = [
    "laplacian", "laplacian_factor", "linear", "polynomial", "polynomial_features", "rbf",
    "rbf_features",
]  # fmt: skip

Vector = Float[Array, " d"]
dot = partial(jnp.dot, precision=Precision.HIGHEST)


def linear(x: Vector, z: Vector) -> Vector:
    """Return dk/dx."""
    # k = sum_j x_j z_j  =>  dk/dx_j = z_j
    del x
    return z


def polynomial(
    theta: tuple[Real, Real, Vector], z: Vector, *, degree: Real
) -> tuple[Scalar, Scalar, Vector]:
    """Return dk/d(gamma, coef0, x), for theta = (gamma, coef0, x)."""
    # k = u^p, u = gamma x'z + c  =>  dk = p u^(p-1) (x'z dgamma + dc + gamma z'dx)
    gamma, coef0, x = theta
    slope = degree * (gamma * dot(x, z) + coef0) ** (degree - 1)
    return slope * dot(x, z), slope, slope * gamma * z


def rbf(theta: tuple[Real, Vector], z: Vector) -> tuple[Scalar, Vector]:
    """Return dk/d(gamma, x), for theta = (gamma, x)."""
    # k = exp(-gamma r'r), r = x - z  =>  dk/dgamma = -r'r k,  dk/dx = -2 gamma r k; 0 at x = z
    gamma, x = theta
    r = x - z
    k = jnp.exp(-gamma * dot(r, r))
    return -dot(r, r) * k, -2.0 * gamma * k * r


def laplacian(theta: tuple[Real, Vector], z: Vector) -> tuple[Scalar, Vector]:
    """Return dk/d(gamma, x), for theta = (gamma, x); the subgradient 0 where x_j = z_j."""
    # k = exp(-gamma sum_j |r_j|)  =>  dk/dgamma = -sum_j |r_j| k,  dk/dx_j = -gamma sign(r_j) k
    gamma, x = theta
    r = x - z
    size = jnp.where(r > 0, r, -r)
    k = jnp.exp(-gamma * size.sum())
    side = jnp.where(r > 0, 1.0, jnp.where(r < 0, -1.0, 0.0)).astype(r.dtype)
    return -size.sum() * k, -gamma * k * side


def polynomial_features(
    X: Rows, *, degree: int, gamma: Real, coef0: Real
) -> Float[Array, "n monomials"]:
    """Return phi(x) with phi(x)'phi(z) = (gamma x'z + coef0)^degree."""
    # With a = (gamma^1/2 x, c^1/2): (a'b)^p = sum over k, |k| = p, of p!/(k_0! .. k_d!) a^k b^k
    # => one feature per monomial of degree p: sqrt(p! / prod_j k_j!) prod_j a_j^k_j
    n, d = X.shape
    A = jnp.concatenate([jnp.sqrt(gamma) * X, jnp.sqrt(coef0) * jnp.ones((n, 1), X.dtype)], axis=1)
    columns = []
    for chosen in itertools.combinations_with_replacement(range(d + 1), degree):
        ways = math.factorial(degree)
        for j in set(chosen):
            ways //= math.factorial(chosen.count(j))
        monomial = jnp.ones(n, X.dtype)
        for j in chosen:
            monomial = monomial * A[:, j]
        columns.append(math.sqrt(ways) * monomial)
    return jnp.stack(columns, axis=1)


def rbf_features(x: Column, *, gamma: Real, terms: int) -> Float[Array, "n terms"]:
    """Return features of points on a line whose inner products are exp(-gamma (x - z)^2)."""
    # exp(-g (x-z)^2) = exp(-g x^2) exp(-g z^2) sum_k (2g)^k / k! x^k z^k
    # => phi_k(x) = exp(-g x^2) sqrt((2g)^k / k!) x^k,  from phi_(k-1) by a factor x sqrt(2g / k)
    columns = [jnp.exp(-gamma * x**2)]
    for k in range(1, terms):
        columns.append(columns[-1] * x * jnp.sqrt(2.0 * gamma / k))
    return jnp.stack(columns, axis=1)


def laplacian_factor(x: Column, *, gamma: Real) -> Float[Array, "n n"]:
    """Return L, lower triangular, with LL' = exp(-gamma |x_i - x_j|), for x in ascending order."""
    # A stationary Markov chain: f_1 = e_1, f_j = r_j f_(j-1) + sqrt(1 - r_j^2) e_j with
    # r_j = exp(-g (x_j - x_(j-1))) has E f_i f_j = exp(-g |x_i - x_j|)
    # => f = L e, L_ij = exp(-g (x_i - x_j)) sqrt(1 - r_j^2) for j <= i, r_1 = 0
    r = jnp.concatenate([jnp.zeros(1, x.dtype), jnp.exp(-gamma * (x[1:] - x[:-1]))])
    gaps = x[:, None] - x[None, :]
    i = jnp.arange(x.shape[0])
    below = i[:, None] >= i[None, :]
    return jnp.where(below, jnp.exp(-gamma * gaps) * jnp.sqrt(1.0 - r**2)[None, :], 0.0)
