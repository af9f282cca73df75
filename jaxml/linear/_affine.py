"""What the linear family shares: scores z = X w + b, and second-order sums about a center.

Every solver works on a = x - c, where c is a column mean: z = a'w + v with v = b + c'w. Any c near
the data serves, since v absorbs it exactly. Without an intercept c = 0.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check, _lapack, penalties
from jaxml._loop import iterate
from jaxml._numerics import matmul
from jaxml._sums import column_sums, sample_mean, total
from jaxml._typing import Array, ArrayLike, Column, Float, Real, Rows, Scalar

__all__ = [
    "Normal",
    "Params",
    "center",
    "condition_number",
    "deviation",
    "divide",
    "inverse",
    "penalty",
    "predict",
    "scaled",
    "schur",
    "score",
    "spread",
    "weigh",
]  # fmt: skip


class Params(NamedTuple):
    """A linear score, z = X w + b."""

    coef: Float[Array, " d"] | Float[Array, "d k"]  # w
    intercept: Float[Array, ""] | Float[Array, " k"]  # b, never penalized


class Normal(NamedTuple):
    """Second-order sums with weights D_i, about c: the Hessian in (w, v) is [[G, m], [m', M]]."""

    gram: Float[Array, "d d"]  # G = sum_i D_i a_i a_i'
    cross: Float[Array, " d"]  # m = sum_i D_i a_i
    mass: Scalar  # M = sum_i D_i

    @classmethod
    def of(cls, root: Column, B: Rows) -> "Normal":
        """Sum over the rows of one block, given as root_i = D_i^(1/2) and b_i = root_i a_i."""
        return cls(matmul(B.T, B), matmul(root, B), total(root**2))


def score(params: Params, X: Rows) -> Column | Float[Array, "n k"]:
    """z = X w + b."""
    w, b = params
    z = matmul(X, w)
    return z + jnp.broadcast_to(b, z.shape)


def predict(params: Params, X: ArrayLike) -> Column | Float[Array, "n k"]:
    """Return z = X w + b at the public boundary.

    Raises:
      ValueError: X has another number of columns, or a concrete X holds NaN or inf.
    """
    X = _check.rows(X, d=params.coef.shape[0])
    return _check.scores(X, _score(params, X))


_score = jax.jit(score)


def penalty(w: Array, l1: Real, l2: Real) -> Scalar:
    """l1 ||w||_1 + l2/2 ||w||_2^2."""
    return l1 * penalties.l1(w) + l2 * penalties.l2(w)


def weigh(X: Rows, D: Column, c: Float[Array, " d"]) -> tuple[Column, Rows]:
    """Return D^(1/2) and D^(1/2) (X - c), whose product with itself costs less than A'(D A)."""
    root = jnp.sqrt(D)
    return root, root[:, None] * (X - c[None, :])


def center(X: Rows, s: Column, *, fit_intercept: bool) -> Float[Array, " d"]:
    """c: the mean of a sample of the rows, 0 without an intercept."""
    if not fit_intercept:
        return jnp.zeros(X.shape[1], X.dtype)
    return sample_mean(X, s)


def spread(X: Rows, p: Column, c: Float[Array, " d"], *, fit_intercept: bool) -> Array:
    """Weighted standard deviation of each column (root mean square without an intercept)."""
    A = X - c[None, :]
    P = p[:, None] * A
    first, second = column_sums(P, P * A)
    return deviation(second - first**2 if fit_intercept else second, c)


def deviation(variance: Array, c: Array) -> Array:
    """sqrt(variance), 0 for a column that varies by no more than the rounding of its center c."""
    noise = (4 * jnp.finfo(variance.dtype).eps * c) ** 2
    # NaN and inf pass through, to be seen by input_flags.
    return jnp.sqrt(jnp.where((variance <= noise) & jnp.isfinite(variance), 0.0, variance))


def divide(a: Array, b: Array) -> Array:
    """a / b, 0 where b = 0: a column without variation has no say in a residual."""
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1.0), jnp.where(jnp.isnan(a), a, 0.0))


def schur(normal: Normal, l2: Real, *, fit_intercept: bool) -> tuple[Array, Array, Scalar]:
    """Return S = G + l2 I - m m'/M, the Hessian in w with v eliminated, and m, M as used there."""
    G, m, M = normal
    M = jnp.maximum(M, jnp.finfo(G.dtype).tiny)
    m = m if fit_intercept else jnp.zeros_like(m)
    return G + l2 * jnp.eye(G.shape[0], dtype=G.dtype) - m[:, None] * (m / M)[None, :], m, M


def scaled(normal: Normal, l2: Real, *, fit_intercept: bool) -> tuple[Array, ...]:
    """Return S scaled to a unit diagonal, the scale of each column, m and M."""
    S, m, M = schur(normal, l2, fit_intercept=fit_intercept)
    # A column whose variation is all rounding is left out: d_j = 0.
    alive = jnp.diag(S) > 8 * jnp.finfo(S.dtype).eps * jnp.diag(normal.gram)
    scale = jnp.where(alive, jax.lax.rsqrt(jnp.where(alive, jnp.diag(S), 1.0)), 0.0)
    C = scale[:, None] * S * scale[None, :] + jnp.diag(jnp.where(alive, 0.0, 1.0))
    return C, scale, m, M


def condition_number(normal: Normal, *, fit_intercept: bool) -> Scalar:
    """An upper bound of the condition number of the scaled design: (||C||_1 ||C^-1||_1)^(1/2).

    C = A'A with unit diagonal; inf where C is singular to rounding or a column is constant.
    """
    C, scale, *_ = scaled(normal, 0.0, fit_intercept=fit_intercept)
    W = _lapack.inverse_factor(C)
    C_inv = matmul(W.T, W)
    kappa = jnp.sqrt(jnp.max(jnp.sum(jnp.abs(C), 0)) * jnp.max(jnp.sum(jnp.abs(C_inv), 0)))
    return jnp.where(jnp.isfinite(kappa) & (scale > 0).all(), kappa, jnp.inf)


def inverse(normal: Normal, l2: Real, *, fit_intercept: bool):
    """Return (g_w, g_v) -> (d_w, d_v) = H^-1 g for the Hessian H = [[G + l2 I, m], [m', M]].

    v is eliminated first: S = G + l2 I - m m'/M. S is scaled to a unit diagonal before its Cholesky
    factorization, which is then blind to the scales of the columns. Where S is singular to
    rounding, a multiple of eps on its diagonal picks one of the solutions; columns without any
    variation are left out, d_j = 0.
    """
    C, scale, m, M = scaled(normal, l2, fit_intercept=fit_intercept)
    d, eps = m.shape[0], jnp.finfo(m.dtype).eps

    # Rounding in a sum over rows perturbs C by more than eps: the rescue must exceed that. A loop,
    # since under vmap a cond would always factor twice, with a carry, lest XLA hoist the factor.
    def rescued(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        _, rescue = carry
        return _lapack.cholesky(C + rescue * jnp.eye(d, dtype=m.dtype)), 10 * rescue

    start = _lapack.cholesky(C), jnp.asarray(100 * d * eps, m.dtype)
    (L, _), _ = iterate(rescued, start, stop=lambda t: jnp.isfinite(t[0]).all(), max_iter=1)

    def solve(g_w: Array, g_v: Scalar) -> tuple[Array, Scalar]:
        d_w = scale * _lapack.cho_solve(L, scale * (g_w - m / M * g_v))
        d_v = (g_v - matmul(m, d_w)) / M
        return d_w, d_v if fit_intercept else jnp.zeros_like(d_v)

    return solve
