"""An elastic net, or a path of them, from its sums to the certified fits.

The rounds of the working set are chosen by shape: on the whole Gram matrix if that is formed, on
the data where rows are few, else on rows of the Gram matrix.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml._loop import Code, Fit, certify, input_flags
from jaxml._numerics import default_gap_tol, matmul
from jaxml._typing import Array, Column, Rows, Scalar
from jaxml.linear import (
    _by_covariance,
    _by_gram,
    _by_residual,
    _moments,
    _pool,
    _working_set,
)  # fmt: skip
from jaxml.linear._affine import Params
from jaxml.linear._moments import Moments
from jaxml.linear._working_set import PATIENCE, State

__all__ = ["solve"]

FEW = 4  # rows per feature up to which steps on the data cost less than rows of the Gram matrix


def solve(theta: Any, how: tuple[Params | None, Scalar, Moments], *, max_iter: int) -> Fit[Params]:
    """Fit theta = (X, y, s, l1, l2), for each l1 if there are many; how = (init, tol, sums)."""
    (X, y, s, l1, l2), (init, tol, stats) = theta, how
    if init is None:
        known = stats.h, 2 * stats.null, 2 * stats.null
        start = _working_set.start(jnp.zeros_like(stats.c), known)
    else:
        start = _working_set.start(init.coef, _moments.correlate(X, y, s, stats, init.coef))
    pool, advance, refresh = _rounds(X, y, s, init, stats, l2)

    def minimize(pool: Any, start: State, l1: Scalar) -> tuple[State, Any, Array]:
        rounds = partial(advance, tol, l1, l2), refresh
        return _working_set.minimize(*rounds, stats, pool, start, l1, l2, tol, max_iter)

    # Taken here, once for all penalties.
    finish = partial(_finish, stats, input_flags(X, y, s, stats.sd), tol)
    if not l1.ndim:
        end, _, n_iter = minimize(pool, start, l1)
        return finish(end, n_iter)

    def next_fit(carry: tuple, l1: Scalar) -> tuple[tuple, Fit[Params]]:
        pool, start = carry
        end, pool, n_iter = minimize(pool, start, l1)
        return (pool, end), finish(end, n_iter)

    return jax.lax.scan(next_fit, (pool, start), l1)[1]


def _rounds(
    X: Rows, y: Column, s: Column, init: Params | None, stats: Moments, l2: Scalar
) -> tuple[Any, Callable, Callable]:
    """What has entered at first, how a round goes, and how the sums are taken anew."""
    (n, d), G = X.shape, stats.gram

    def from_data(state: State, pool: Any) -> _working_set.Sums:
        del pool
        return _moments.correlate(X, y, s, stats, state.w)

    if G is None and n < FEW * d:
        pool = _by_residual.empty(X, y, s, stats, None if init is None else init.coef)
        return pool, partial(_by_residual.advance, X, y, s, stats), from_data
    if G is None:
        rows = partial(_moments.gram_rows, X, s, stats)
        return _pool.empty(n, stats), partial(_by_covariance.advance, rows, stats), from_data
    Q = _by_gram.curvature(G, stats, l2)
    return None, partial(_by_gram.advance, Q, stats), partial(_by_gram.refresh, G, stats)


def _finish(stats: Moments, flags: tuple, tol: Scalar, end: State, n_iter: Array) -> Fit[Params]:
    w = end.w
    b = stats.c_y + stats.m_q - matmul(stats.c + stats.m, w)
    rounding = jnp.finfo(w.dtype).eps * (jnp.abs(stats.c) @ jnp.abs(w) + jnp.abs(stats.c_y))
    far = (rounding**2 > 10 * jnp.maximum(tol, default_gap_tol(w.dtype)) * stats.null) & (
        stats.null > 0
    )
    return certify(
        Params(w, b),
        objective=end.J,
        residual=end.residual,
        tol=tol,
        n_iter=n_iter,
        flags=(*flags, (Code.ILL_CONDITIONED, far)),
        unmet=jnp.where(end.idle >= PATIENCE, Code.LINE_SEARCH_FAILED, Code.MAX_ITER),
    )
