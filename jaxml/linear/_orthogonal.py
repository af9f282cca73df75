"""Least squares by orthogonal factors of the centered and scaled design.

    A = diag(p)^(1/2) (X - m) = U diag(sigma) V',   w = V diag(sigma)^+ U'q

Columns are scaled to unit norm before singular values are called zero: rank is a property of the
columns' directions, not of their units. With dependent columns the answer is moved, inside the set
of solutions, to the one of least ||w||_2 in the units of the user.

Reference: Golub, Van Loan (2013), Matrix Computations, sections 5.5.1 and 5.5.4.
"""

from collections.abc import Callable

import jax.numpy as jnp

from jaxml import _lapack
from jaxml._numerics import matmul
from jaxml._sums import total
from jaxml._typing import Array, Bool, Column, Float, Rows, Scalar
from jaxml.linear._affine import Params, divide
from jaxml.linear._normal import Solution

__all__ = ["column_norms", "design", "inverse", "right_factors", "scaled_factors", "solve"]


def design(
    X: Rows, y: Column, s: Column, *, fit_intercept: bool
) -> tuple[Rows, Column, Float[Array, " d"]]:
    """Return A = p^(1/2) (X - m), q = p^(1/2) (y - m_y) and m = sum_i p_i x_i (0: no intercept)."""
    p = s / s.sum()
    if not fit_intercept:
        m, m_y = jnp.zeros(X.shape[1], X.dtype), jnp.zeros((), X.dtype)
    else:
        # Twice, since the first mean of columns far from 0 is off by the rounding of its sum.
        m, m_y = matmul(p, X), p @ y
        m, m_y = m + matmul(p, X - m[None, :]), m_y + p @ (y - m_y)
    # Rows of weight 0 are rows of zeros here, with a derivative of 0.
    root = jnp.where(p > 0, jnp.sqrt(jnp.where(p > 0, p, 1.0)), 0.0)
    return root[:, None] * (X - m[None, :]), root * (y - m_y), m


def column_norms(A: Rows) -> Float[Array, " d"]:
    """||A_j||_2 of each column."""
    return jnp.sqrt(jnp.sum(A**2, axis=0))


def _inverted(sigma: Array, shape: tuple[int, ...]) -> Array:
    """1 / sigma, 0 where sigma is zero to rounding."""
    least = max(shape) * jnp.finfo(sigma.dtype).eps * sigma[0]
    return jnp.where(sigma > least, 1.0 / jnp.where(sigma > least, sigma, 1.0), 0.0)


def right_factors(A: Rows) -> tuple[Float[Array, "d r"], Float[Array, " r"]]:
    """Return V and 1 / sigma of A = U diag(sigma) V', r = min(n, d)."""
    n, d = A.shape
    small = _lapack.right_factor(A) if n > d else A
    _, sigma, Vt = _lapack.svd(small)
    return Vt.T, _inverted(sigma, A.shape)


def scaled_factors(A: Rows) -> tuple[Float[Array, " d"], Float[Array, "d r"], Float[Array, " r"]]:
    """Return a scale of the columns, 1 at deficient rank, and the right factors of A / scale."""
    norms = column_norms(A)
    scale = jnp.where(norms > 0, norms, 1.0)
    deficient = (right_factors(A / scale[None, :])[1] > 0).sum() < A.shape[1]
    scale = jnp.where(deficient, 1.0, scale)
    return scale, *right_factors(A / scale[None, :])


def solve(
    X: Rows, y: Column, s: Column, *, fit_intercept: bool, method: str
) -> tuple[Solution, Scalar, Bool[Array, ""]]:
    """Return the solution of least norm, the condition number and whether the rank is deficient."""
    A, q, m = design(X, y, s, fit_intercept=fit_intercept)
    m_y = (s / s.sum()) @ y if fit_intercept else jnp.zeros((), y.dtype)
    n, d = A.shape
    sd = column_norms(A)
    noise = 4 * jnp.finfo(X.dtype).eps * jnp.abs(m)
    scale = jnp.where(sd > noise, sd, 1.0)
    B = jnp.where(sd > noise, A / scale[None, :], 0.0)
    if method == "qr" and n > d:
        Q, R = _lapack.qr(B)
        U, sigma, Vt = _lapack.svd(R)
        U = matmul(Q, U)
    else:
        U, sigma, Vt = _lapack.svd(B)
    inv = _inverted(sigma, A.shape)
    rank = jnp.sum(inv > 0)

    def pseudo_inverse(r: Column) -> Array:
        return matmul(Vt.T, inv * matmul(U.T, r)) / scale

    w = pseudo_inverse(q)
    for _ in range(2):  # the residual is taken from the data, not from the factors
        w = w + pseudo_inverse(q - matmul(A, w))
    # The row space of A is spanned by diag(scale) V_r; the least ||w|| lies in it.
    kept = inv > 0
    basis, _ = _lapack.qr(jnp.where(kept[None, :], scale[:, None] * Vt.T, 0.0))
    basis = jnp.where(kept[None, :], basis, 0.0)
    w = jnp.where(rank < d, matmul(basis, matmul(basis.T, w)), w)
    r = q - matmul(A, w)
    sd_y = jnp.sqrt(q @ q)
    residual = jnp.max(divide(jnp.abs(matmul(r, A)), jnp.where(sd > noise, sd, jnp.inf) * sd_y))
    kappa = sigma[0] * jnp.max(inv)
    solution = Solution(
        w, jnp.zeros_like(m_y), 0.5 * total(r**2), residual, jnp.int32(1), (sd, sd_y), (m, m_y)
    )
    return solution, kappa, rank < d


def inverse(params: Params, theta: tuple[Rows, Column, Column], *, fit_intercept: bool) -> Callable:
    """Return dF -> (dw, db): dw = A^+ (A^+)' dF on the row space, dF off it; db from dJ/db = 0."""
    X, y, s = theta
    A, _, m = design(X, y, s, fit_intercept=fit_intercept)
    scale, V, inv = scaled_factors(A)

    def apply(F: Params) -> Params:
        g = matmul(V.T, F.coef)
        d_u = matmul(V, inv**2 * g) + (F.coef - matmul(V, jnp.where(inv > 0, g, 0.0)))
        d_w = d_u / scale
        # dJ/db = m'w + b - m_y; F.intercept holds its change at fixed (w, b), so m'd_w comes off.
        d_b = F.intercept - matmul(m, d_w) if fit_intercept else jnp.zeros_like(F.intercept)
        return Params(d_w, d_b)

    return apply
