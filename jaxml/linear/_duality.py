"""Duality gaps of L1-penalized problems: certificates that need no knowledge of the minimizer.

    P(w) = f(A w) + l1 ||w||_1 + l2/2 ||w||_2^2,    D(theta) = -f*(-theta) - g*(A'theta)
    g*(u) = sum_j (|u_j| - l1)_+^2 / (2 l2),  for l2 = 0 the condition |u_j| <= l1

Any theta with 1'theta = 0 (a free intercept) bounds the minimum from below. The residuals make
one, scaled into |u_j| <= l1 or, where l2 > 0, as they are; the better bound counts.

Reference: Fercoq, Gramfort, Salmon (2015), Mind the duality gap, section 2; Rockafellar (1970),
theorem 31.1.
"""

import jax.numpy as jnp

from jaxml._numerics import matmul, xlogx
from jaxml._sums import sum_over_rows, total
from jaxml._typing import Array, Column, Float, Real, Rows, Scalar

__all__ = ["logistic_gap", "squared_gap"]


def _shrink(u: Float[Array, " d"], l1: Real) -> Scalar:
    """kappa = min(1, l1 / max_j |u_j|), the scale that brings kappa u into |u_j| <= l1."""
    top = jnp.max(jnp.abs(u))
    return jnp.where(top > l1, l1 / jnp.where(top > 0, top, 1.0), 1.0)


def _excess(u: Float[Array, " d"], l1: Real, l2: Real) -> Scalar:
    """g*(u) for l2 > 0, inf for l2 = 0."""
    over = jnp.sum(jnp.maximum(jnp.abs(u) - l1, 0.0) ** 2)
    return jnp.where(l2 > 0, over / (2 * jnp.where(l2 > 0, l2, 1.0)), jnp.inf)


def squared_gap(
    u: Float[Array, " d"], r_2: Scalar, q_r: Scalar, w: Float[Array, " d"], l1: Real, l2: Real
) -> Scalar:
    """P(w) - D for f(z) = 1/2 ||q - z||^2, from sums alone.

    Args:
      u: A'r, with r = q - A w.
      r_2: r'r.
      q_r: q'r.
      w: Coefficients.
      l1: Penalty.
      l2: Penalty.
    """
    w_1, w_2 = jnp.sum(jnp.abs(w)), jnp.sum(w**2)
    P = 0.5 * r_2 + l1 * w_1 + 0.5 * l2 * w_2
    # l2/2 ||w||^2 is 1/2 ||0 - sqrt(l2) w||^2: rows appended to A, residuals -sqrt(l2) w in r.
    kappa = _shrink(u - l2 * w, l1)
    scaled = kappa * q_r - 0.5 * kappa**2 * (r_2 + l2 * w_2)
    return P - jnp.maximum(scaled, q_r - 0.5 * r_2 - _excess(u, l1, l2))


def logistic_gap(
    problem: tuple, w: Float[Array, " d"], v: Scalar, P: Scalar, *, fit_intercept: bool
) -> Scalar:
    """(P(w) - D) / P(0) for the logistic loss; P(0) is the entropy of the class shares.

    f*(-theta) = sum_i p_i [q_i log q_i + (1 - q_i) log(1 - q_i)],  q_i = y_i - theta_i / p_i
    """
    X, y, p, c, _, l1, l2, _ = problem

    def residuals(A: Rows, y: Column, p: Column) -> tuple[Column, Column]:
        z = matmul(A, w) + v
        t = jnp.exp(-jnp.abs(z))
        sigma, tail = jnp.where(z > 0, 1.0, t) / (1 + t), jnp.where(z > 0, t, 1.0) / (1 + t)
        return y * tail, (1 - y) * sigma  # |y - sigma| of the ones and of the zeros

    def sums(X: Rows, y: Column, p: Column) -> tuple[Scalar, Scalar, Array, Array]:
        A = X - c[None, :]
        r_1, r_0 = residuals(A, y, p)
        return total(p * r_1), total(p * r_0), matmul(p * r_1, A), matmul(p * r_0, A)

    R_1, R_0, u_1, u_0 = sum_over_rows(sums, X, y, p)
    if fit_intercept:
        # 1'theta = 0: the larger side is scaled down to the smaller, which stays inside [0, p_i].
        least = jnp.minimum(R_1, R_0)
        rho_1, rho_0 = least / jnp.where(R_1 > 0, R_1, 1.0), least / jnp.where(R_0 > 0, R_0, 1.0)
    else:
        rho_1 = rho_0 = jnp.ones_like(R_1)
    u = rho_1 * u_1 - rho_0 * u_0
    kappa = _shrink(u, l1)

    def conjugates(X: Rows, y: Column, p: Column) -> tuple[Scalar, Scalar]:
        r_1, r_0 = residuals(X - c[None, :], y, p)
        r = rho_1 * r_1 + rho_0 * r_0  # the distance of q_i from y_i at kappa = 1

        def f_star(kappa: Real) -> Scalar:
            return total(p * (xlogx(kappa * r) + xlogx(1 - kappa * r)))

        return f_star(kappa), f_star(1.0)

    at_kappa, at_one = sum_over_rows(conjugates, X, y, p)
    D = jnp.maximum(-at_kappa, -at_one - _excess(u, l1, l2))
    share = total(p * y) if fit_intercept else jnp.asarray(0.5, P.dtype)
    return (P - D) / jnp.maximum(-xlogx(share) - xlogx(1 - share), jnp.finfo(P.dtype).tiny)
