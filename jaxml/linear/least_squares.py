"""Ordinary least squares, with what a statistician asks of it.

    J(w, b) = 1/(2s) sum_i s_i (x_i'w + b - y_i)^2,    s = sum_i s_i

Symbols: x_i = X[i]; s_i = sample_weight[i], 1 if None; w = coef; b = intercept.
Units: y in u and x_j in v_j give w_j in u/v_j, b in u, J in u^2.
Where columns are dependent, the solution of least ||w||_2 is returned and RANK_DEFICIENT says so.

Reference: Bjorck (1996), Numerical Methods for Least Squares Problems; Golub, Pereyra (1973), eq.
(4.12), for the derivative of the pseudo-inverse.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check, losses
from jaxml._implicit import differentiable
from jaxml._loop import Code, Fit
from jaxml._numerics import default_tol, matmul
from jaxml._scatter import Statistics, merge
from jaxml._sums import weighted_mean
from jaxml._typing import Array, ArrayLike, Column, Float, Int, Real, Rows, Scalar, Weights
from jaxml.linear import _affine, _normal, _orthogonal
from jaxml.linear._affine import Params, predict
from jaxml.linear._streams import from_statistics, statistics

__all__ = [
    "Diagnostics", "Params", "Statistics", "diagnostics", "fit", "from_statistics", "loss", "merge",
    "predict", "statistics",
]  # fmt: skip

METHODS = ("auto", "cholesky", "qr", "svd")


class Diagnostics(NamedTuple):
    """What the design and the residuals say about a fit."""

    rank: Int[Array, ""]  # of the design, its columns scaled (and centered with an intercept)
    condition_number: Scalar  # of that design, >= 1; inf if rank-deficient
    variance_inflation: Float[Array, " d"]  # VIF_j = 1 / (1 - R_j^2), >= 1
    standard_errors: Params  # of w and b, in their units
    residual_std: Scalar  # sqrt(RSS / degrees of freedom), in units of y
    r_squared: Scalar  # 1 - RSS / TSS; TSS about 0 without an intercept
    f_statistic: Scalar  # of all coefficients being 0
    degrees_of_freedom: Scalar  # sum_i s_i - rank - 1 (the 1 only with an intercept)


def loss(params: Params, X: Rows, y: Column, *, sample_weight: Weights = None) -> Scalar:
    """Evaluate J(w, b) as defined at the top of this module."""
    return weighted_mean(losses.squared(_affine.score(params, X), y), sample_weight)


def fit(
    X: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    fit_intercept: bool = True,
    method: str = "auto",
    tol: Real | None = None,
) -> Fit[Params]:
    """Minimize J.

    Args:
      X: Features (n, d), float32 or float64; integers become the default float.
      y: Targets (n,).
      sample_weight: s_i >= 0, not all zero; only their ratios matter.
      fit_intercept: Static; False fixes b = 0.
      method: Static. "cholesky": normal equations, refined on the data; the fastest, and as
        accurate as the others up to a condition number of about eps^(-1/2). "qr" and "svd":
        orthogonal factors of the scaled design. "auto": cholesky where its own estimate of the
        condition number allows it, else qr (which needs all rows on one device).
      tol: What the residual must not exceed; None is eps^(2/3) of the dtype.

    Returns:
      Params, and Info with residual = max_j |dJ/dw_j| / (sd(x_j) sd(y)), and |dJ/db| / sd(y), the
      derivatives taken about the column means.
      RANK_DEFICIENT: the solution of least ||w||_2. ILL_CONDITIONED: the condition number of the
      scaled design exceeds 1/(4 sqrt(eps)), half of the digits are lost. Derivatives with respect
      to X, y and sample_weight are implicit; at a rank-deficient X, those at constant rank.

    Raises:
      ValueError: Shapes disagree, an unknown method, or a concrete array holds NaN or inf.
      TypeError: An array is not numeric.

    Example:
      >>> X, y = jnp.array([[0.0], [1.0], [2.0]]), jnp.array([1.0, 3.0, 5.0])
      >>> [round(float(v), 4) for v in (*fit(X, y).params.coef, fit(X, y).params.intercept)]
      [2.0, 1.0]
    """
    X, y, s = _check.supervised(X, y, sample_weight)
    method = _check.choice("method", method, METHODS)
    tol = _check.above("tol", default_tol(X.dtype) if tol is None else tol, 0, dtype=X.dtype)
    fitted = _fit(X, y, s, tol, fit_intercept=bool(fit_intercept), method=method)
    return _check.raise_for(fitted, X)


@partial(jax.jit, static_argnames=("fit_intercept", "method"))
def _fit(
    X: Rows, y: Column, s: Column, tol: Scalar, *, fit_intercept: bool, method: str
) -> Fit[Params]:
    derived = differentiable(
        partial(_solve, fit_intercept=fit_intercept, method=method),
        objective=lambda params, theta: loss(params, *theta[:2], sample_weight=theta[2]),
        optimality=partial(_optimality, fit_intercept=fit_intercept),
        inverse=partial(_orthogonal.inverse, fit_intercept=fit_intercept),
    )
    return derived((X, y, s), tol)


def _solve(theta: Any, tol: Scalar, *, fit_intercept: bool, method: str) -> Fit[Params]:
    X, y, s = theta
    threshold = 0.25 * jnp.finfo(X.dtype).eps ** -0.5

    def orthogonal(X: Rows, y: Column, s: Column) -> tuple[_normal.Solution, Array, Array]:
        how = "svd" if method == "svd" else "qr"
        return _orthogonal.solve(X, y, s, fit_intercept=fit_intercept, method=how)

    if method in ("qr", "svd"):
        solution, kappa, deficient = orthogonal(X, y, s)
    else:
        # All refinements are made, since each adds digits: tol = 0.
        solution, normal = _normal.solve(X, y, s, 0.0, 0.0, fit_intercept=fit_intercept)
        kappa = _affine.condition_number(normal, fit_intercept=fit_intercept)
        deficient = ~(kappa < jnp.finfo(X.dtype).eps ** -0.5)
        if method == "auto":
            # kappa is an upper bound: a design that is sent to QR is judged there exactly.
            direct = (kappa <= threshold) | ~jnp.isfinite(solution.residual)
            solution, kappa, deficient = jax.lax.cond(
                direct & ~deficient,
                lambda *_: (solution, kappa, deficient),
                orthogonal,
                X, y, s,
            )  # fmt: skip
    flags = (
        (Code.RANK_DEFICIENT, deficient),
        (Code.ILL_CONDITIONED, (kappa > threshold) & ~deficient),
    )
    return _normal.finish(solution, X, y, s, tol, flags=flags)


def _optimality(params: Params, theta: Any, *, fit_intercept: bool) -> Any:
    """F = P (A'A w - A'q) - (I - P) A'u, with u = (A')^+ w and the projector P = A^+ A held fixed.

    The first part is the gradient in the row space of the design A. The second keeps w in that
    space, w = A'u, when A moves at constant rank; it vanishes at full rank, where P = I. There the
    answer does not depend on the scale of the columns, and they are scaled.
    """
    X, y, s = theta
    A, q, _ = _orthogonal.design(X, y, s, fit_intercept=fit_intercept)
    scale, V, inv = _orthogonal.scaled_factors(jax.lax.stop_gradient(A))
    A, w = A / scale[None, :], scale * params.coef
    u = matmul(jax.lax.stop_gradient(A), matmul(V, inv**2 * matmul(V.T, w)))

    def project(g: Array) -> Array:
        return matmul(V, jnp.where(inv > 0, matmul(V.T, g), 0.0))

    moved = matmul(A.T, u)
    g_w = project(matmul(matmul(A, w) - q, A)) - (moved - project(moved))
    return Params(g_w, jax.grad(loss)(params, *theta[:2], sample_weight=theta[2]).intercept)


def diagnostics(
    params: Params,
    X: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    fit_intercept: bool = True,
) -> Diagnostics:
    """Return rank, condition number, variance inflation, standard errors and the usual summaries.

    Weights count observations: two rows of weight 1 and one row of weight 2 are the same. Under
    the classical model, Cov(w) = sigma^2 (sum_i s_i a_i a_i')^-1 with a_i = x_i - m.

    Raises:
      ValueError: Shapes disagree, or a concrete array holds NaN or inf.

    Reference: Hastie et al., ESL (2009), eq. (3.8), (3.10), (3.13).
    """
    X, y, s = _check.supervised(X, y, sample_weight)
    _check.finite("X", X)
    return _diagnostics(params, X, y, s, fit_intercept=bool(fit_intercept))


@partial(jax.jit, static_argnames="fit_intercept")
def _diagnostics(params: Params, X: Rows, y: Column, s: Column, *, fit_intercept: bool):
    n, eps = s.sum(), jnp.finfo(X.dtype).eps
    A, q, m = _orthogonal.design(X, y, s, fit_intercept=fit_intercept)
    sd = _orthogonal.column_norms(A)
    V, inv = _orthogonal.right_factors(A / jnp.where(sd > 0, sd, 1.0)[None, :])
    rank = jnp.sum(inv > 0)
    # With unit columns, (A'A)^-1 has the variance inflation factors on its diagonal.
    full = rank == X.shape[1]
    C_inv = jnp.where(full, matmul(V * inv[None, :] ** 2, V.T), jnp.inf)
    kappa = jnp.where(full, jnp.max(inv) / jnp.min(jnp.where(inv > 0, inv, jnp.inf)), jnp.inf)
    r = y - _affine.score(params, X)
    rss, tss = s @ r**2, n * q @ q
    dof = n - rank - (1 if fit_intercept else 0)
    sigma_2 = rss / dof
    G_inv = C_inv / jnp.where(sd > 0, sd, 1.0)[:, None] / jnp.where(sd > 0, sd, 1.0)[None, :] / n
    var_b = 1.0 / n + m @ matmul(G_inv, m) if fit_intercept else jnp.zeros_like(n)
    explained = jnp.where(tss > eps * n * jnp.max(jnp.abs(y)) ** 2, 1.0 - rss / tss, jnp.nan)
    return Diagnostics(
        rank=rank,
        condition_number=kappa,
        variance_inflation=jnp.diag(C_inv),
        standard_errors=Params(jnp.sqrt(sigma_2 * jnp.diag(G_inv)), jnp.sqrt(sigma_2 * var_b)),
        residual_std=jnp.sqrt(sigma_2),
        r_squared=explained,
        f_statistic=(tss - rss) / rank / sigma_2,
        degrees_of_freedom=dof,
    )
