"""Gradient descent and momentum on a quadratic, by hand.

    f(theta) = 1/2 e'H e,    e = theta - theta*,    H symmetric with eigenvalues mu <= lambda <= L

H = V diag(lambda) V', so each coordinate c = (V'e)_j moves by itself, with curvature lambda_j.
Reference: Polyak (1964), section 2; Nesterov (2004), Introductory lectures on convex optimization,
sections 1.2.3 and 2.1.5; Goh (2017), Why momentum really works.
"""

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Float, Real, Scalar

Matrix = Float[Array, "d d"]
Vector = Float[Array, " d"]


def _dot(a: Array, b: Array) -> Array:
    return jnp.dot(a, b, precision=Precision.HIGHEST)


def gradient_descent_error(H: Matrix, e_0: Vector, *, learning_rate: Real, t: int) -> Vector:
    """Return e_t, the distance to the minimum after t steps."""
    # grad f = H e,  so  e_{t+1} = e_t - lr H e_t = (I - lr H) e_t
    # => e_t = (I - lr H)^t e_0 = V diag((1 - lr lambda)^t) V'e_0
    lam, V = jnp.linalg.eigh(H)
    return _dot(V, (1 - learning_rate * lam) ** t * _dot(V.T, e_0))


def contraction(smoothness: Scalar, *, learning_rate: Real, t: int) -> Scalar:
    """Return ||e_t|| / ||e_0|| for a start along the eigenvector of L = smoothness."""
    # |1 - lr L|^t: it tends to 0 iff -1 < 1 - lr L < 1, that is iff 0 < lr < 2/L.
    # The other eigenvalues lambda < L only ask for lr < 2/lambda: L decides.
    return jnp.abs(1 - learning_rate * smoothness) ** t


def descent_bound(
    value: Scalar, gradient: Vector, *, smoothness: Real, learning_rate: Real
) -> Scalar:
    """Return what f(theta - lr grad f) cannot exceed, for any f with L-Lipschitz gradient."""
    # Taylor: f(theta + d) <= f(theta) + g'd + L/2 ||d||^2;  d = -lr g
    # => f(theta - lr g) <= f(theta) - lr (1 - lr L/2) ||g||^2      (Nesterov 2004, eq. (1.2.19))
    step = learning_rate * (1 - learning_rate * smoothness / 2)
    return value - step * jnp.sum(gradient**2)


def rate_bound(gap_0: Scalar, *, mu: Real, smoothness: Real, t: int) -> Scalar:
    """Return what f(theta_t) - f* cannot exceed with lr = 1/L and strong convexity mu."""
    # lr = 1/L in the descent bound:  f_{t+1} - f* <= f_t - f* - ||g||^2/(2L)
    # strong convexity:  ||g||^2 >= 2 mu (f - f*)     (minimize the quadratic lower bound at theta)
    # => f_{t+1} - f* <= (1 - mu/L) (f_t - f*),  t times
    return (1 - mu / smoothness) ** t * gap_0


def momentum_error(H: Matrix, e_0: Vector, *, learning_rate: Real, decay: Real, t: int) -> Vector:
    """Return e_t of the heavy ball, v <- decay v + lr g, theta <- theta - v, from v_0 = 0."""
    # e_{t+1} = e_t - lr lambda e_t + decay (e_t - e_{t-1}), for -v_t = e_t - e_{t-1}. As a matrix:
    #   (e_{t+1}, e_t)' = C (e_t, e_{t-1})',  C = [[1 + decay - lr lambda, -decay], [1, 0]]
    # v_0 = 0 says e_{-1} = e_0  =>  (e_t, e_{t-1})' = C^t (1, 1)' e_0 in each eigenvector.
    # Roots r^2 - (1 + decay - lr lambda) r + decay = 0: |r| < 1 iff 0 < lr lambda < 2 (1 + decay).
    lam, V = jnp.linalg.eigh(H)
    one = jnp.ones_like(lam)
    C = _stack(1 + decay - learning_rate * lam, -decay * one, one, 0 * one)
    return _dot(V, _power(C, t)[:, 0, :].sum(axis=-1) * _dot(V.T, e_0))


def nesterov_error(H: Matrix, e_0: Vector, *, learning_rate: Real, decay: Real, t: int) -> Vector:
    """Return e_t of Nesterov's form, v <- decay v + g, theta <- theta - lr (g + decay v)."""
    # v_{t+1} = decay v_t + lambda e_t
    # e_{t+1} = e_t - lr (lambda e_t + decay v_{t+1})
    #         = (1 - lr lambda (1 + decay)) e_t - lr decay^2 v_t
    #   (e_{t+1}, v_{t+1})' = N (e_t, v_t)',  v_0 = 0  =>  e_t = (N^t)_{11} e_0 in each eigenvector
    lam, V = jnp.linalg.eigh(H)
    one = jnp.ones_like(lam)
    top = 1 - learning_rate * lam * (1 + decay), -learning_rate * decay**2 * one
    N = _stack(*top, lam, decay * one)
    return _dot(V, _power(N, t)[:, 0, 0] * _dot(V.T, e_0))


def _stack(a: Vector, b: Vector, c: Vector, d: Vector) -> Float[Array, "d 2 2"]:
    return jnp.stack([jnp.stack([a, b], axis=-1), jnp.stack([c, d], axis=-1)], axis=-2)


def _power(M: Float[Array, "d 2 2"], t: int) -> Float[Array, "d 2 2"]:
    product = jnp.broadcast_to(jnp.eye(2, dtype=M.dtype), M.shape)
    for _ in range(t):
        product = jnp.matmul(product, M, precision=Precision.HIGHEST)
    return product
