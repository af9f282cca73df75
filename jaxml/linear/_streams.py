"""Least squares from sufficient statistics: one pass over data that need not fit in memory.

    T = sum_i s_i (r_i - m)(r_i - m)',  r_i = (x_i, y_i);   G = T_xx / M,  h = T_xy / M
    G w = h,   b = m_y - m_x'w          (without an intercept moments about 0, G + m_x m_x')

Nothing is refined on the data, so errors grow with the square of the condition number kappa of the
design: half of the digits are lost from kappa = eps^(-1/4) on, and the code says so.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _check, _lapack, _scatter
from jaxml._implicit import differentiable
from jaxml._loop import Code, Fit, certify
from jaxml._numerics import default_tol, matmul
from jaxml._scatter import Statistics, above_rounding
from jaxml._typing import Array, ArrayLike, Bool, Column, Float, Real, Rows, Scalar
from jaxml.linear._affine import Params, divide

__all__ = ["Statistics", "from_statistics", "statistics"]


def statistics(X: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None) -> Statistics:
    """Return the sufficient statistics of some rows (x_i, y_i), to be merged with those of others.

    Args:
      X: Features (n, d).
      y: Targets (n,).
      sample_weight: s_i >= 0, not all zero.

    Returns:
      sum_i s_i, the weighted mean of (x, y), (d + 1,), and the scatter matrix about it. A negative
      weight turns them into NaN under a trace.

    Raises:
      ValueError: Shapes disagree, or a concrete array holds NaN or inf.
    """
    X, y, s = _check.supervised(X, y, sample_weight)
    found = _statistics(X, y, jnp.asarray(s))
    if _check.is_concrete(found) and not np.isfinite(np.asarray(found.scatter)).all():
        _check.finite("X", X)
    return found


@jax.jit
def _statistics(X: Rows, y: Column, s: Column) -> Statistics:
    found = _scatter.statistics(jnp.concatenate([X, y[:, None]], axis=1), s)
    return jax.tree.map(lambda leaf: jnp.where((s < 0).any(), jnp.nan, leaf), found)


def from_statistics(
    statistics: Statistics, *, fit_intercept: bool = True, tol: Real | None = None
) -> Fit[Params]:
    """Return the fit to all rows behind the statistics.

    Args:
      statistics: Of rows (x_i, y_i), from statistics and merge.
      fit_intercept: Static; False fixes b = 0.
      tol: What the residual must not exceed; None is eps^(2/3) of the dtype.

    Returns:
      Params, and Info with residual = max_j |dJ/dw_j| / (sd(x_j) sd(y)), the derivatives taken from
      the statistics. RANK_DEFICIENT: the solution of least ||w||_2. ILL_CONDITIONED: the condition
      number of the scaled design exceeds eps^(-1/4), or the intercept cannot be stored to tol;
      fit, which refines on the data, goes to eps^(-1/2). Derivatives with respect to the
      statistics are implicit, at full rank.

    Raises:
      ValueError: Concrete statistics hold NaN or inf.
    """
    dtype = statistics.mean.dtype
    tol = _check.above("tol", default_tol(dtype) if tol is None else tol, 0, dtype=dtype)
    found = _from_statistics(statistics, tol, fit_intercept=bool(fit_intercept))
    return _check.raise_for(found, statistics)


def _moments(found: Statistics, *, fit_intercept: bool) -> tuple[Array, Array, Scalar, Array]:
    """G, h, the second moment of y, and which columns vary."""
    M, m, T = found
    S = T / jnp.where(M > 0, M, 1.0)
    alive = above_rounding(jnp.diag(S), m)
    if not fit_intercept:
        S = S + m[:, None] * m[None, :]
        alive = jnp.diag(S) > 0
    S = jnp.where(alive[:, None] & alive[None, :], S, 0.0)
    return S[:-1, :-1], S[:-1, -1], S[-1, -1], alive[:-1]


def _pseudo_inverse(G: Float[Array, "d d"], alive: Bool[Array, " d"]) -> tuple[Any, Array, Scalar]:
    """h -> G^+ h of least norm, whether the rank is deficient, and kappa of what is kept."""
    d = G.shape[0]
    sd = jnp.sqrt(jnp.where(alive, jnp.diag(G), 1.0))
    values, V = _lapack.eigh(G / sd[:, None] / sd[None, :])
    values, V = values[::-1], V[:, ::-1]  # what is dropped comes last, also in the QR below
    kept = values > 8 * d * jnp.finfo(G.dtype).eps * values[0]
    inv = jnp.where(kept, 1.0 / jnp.where(kept, values, 1.0), 0.0)
    basis, _ = _lapack.qr(jnp.where(kept[None, :], sd[:, None] * V, 0.0))
    basis = jnp.where(kept[None, :], basis, 0.0)
    deficient = ~kept.all()

    def apply(h: Float[Array, " d"]) -> Float[Array, " d"]:
        w = matmul(V, inv * matmul(V.T, h / sd)) / sd
        return jnp.where(deficient, matmul(basis, matmul(basis.T, w)), w)

    return apply, deficient, jnp.sqrt(values[0] * jnp.max(inv))


@partial(jax.jit, static_argnames="fit_intercept")
def _from_statistics(found: Statistics, tol: Scalar, *, fit_intercept: bool) -> Fit[Params]:
    moments = partial(_moments, fit_intercept=fit_intercept)

    def objective(params: Params, found: Statistics) -> Scalar:
        G, h, square, _ = moments(found)
        w = params.coef
        return 0.5 * (square - 2 * w @ h + w @ matmul(G, w))

    def optimality(params: Params, found: Statistics) -> Params:
        G, h, *_ = moments(found)
        m = found.mean
        free = params.intercept + m[:-1] @ params.coef - m[-1]
        return Params(
            matmul(G, params.coef) - h, free if fit_intercept else jnp.zeros_like(params.intercept)
        )

    def inverse(params: Params, found: Statistics) -> Any:
        G, _, _, alive = moments(found)
        solve, *_ = _pseudo_inverse(G, alive)

        def apply(F: Params) -> Params:
            d_w = solve(F.coef)
            d_b = F.intercept - found.mean[:-1] @ d_w
            return Params(d_w, d_b if fit_intercept else jnp.zeros_like(d_b))

        return apply

    def solution(found: Statistics, tol: Scalar) -> Fit[Params]:
        eps, m = jnp.finfo(found.mean.dtype).eps, found.mean
        G, h, square, alive = moments(found)
        solve, deficient, kappa = _pseudo_inverse(G, alive)
        w = solve(h)
        w = w + solve(h - matmul(G, w))
        b = m[-1] - m[:-1] @ w if fit_intercept else jnp.zeros_like(m[-1])
        sd, sd_y = jnp.sqrt(jnp.diag(G)), jnp.sqrt(square)
        params = Params(w, b)
        rounding = eps * (jnp.abs(m[:-1]) @ jnp.abs(w) + jnp.abs(m[-1]))
        far = (rounding > 10 * jnp.maximum(tol, default_tol(m.dtype)) * sd_y) & fit_intercept
        broken = ~jnp.isfinite(jnp.sum(found.scatter) + jnp.sum(m) + found.mass)
        return certify(
            params,
            objective=jnp.maximum(objective(params, found), 0.0),
            residual=jnp.max(divide(jnp.abs(h - matmul(G, w)), sd * sd_y)),
            tol=tol,
            n_iter=1,
            flags=(
                (Code.RANK_DEFICIENT, deficient),
                (Code.ILL_CONDITIONED, (kappa > eps**-0.25) & ~deficient),
                (Code.ILL_CONDITIONED, far & (sd_y > 0)),
                (Code.DEGENERATE, ~(found.mass > 0)),
                (Code.NONFINITE_INPUT, broken),
            ),
            unmet=Code.ILL_CONDITIONED,
        )

    derived = differentiable(solution, objective=objective, optimality=optimality, inverse=inverse)
    return derived(found, tol)
