"""EM from where the caller says, or from the clusters of k-means, as often as asked for.

Rows and means are taken about the mean of the rows. What a lane ends with counts if its likelihood
is finite and no covariance singular; the likeliest is kept. Symbols as in gmm.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxml._lanes import one_at_a_time
from jaxml._loop import Code, Fit, certify
from jaxml._sums import moments, total
from jaxml._typing import Array, Column, Rows
from jaxml.latent import _em, _lloyd, _nearest, _seeding
from jaxml.latent._em import Params

__all__ = ["solve"]

LLOYD_STEPS = 50  # of the k-means start, which EM refines anyway


def solve(
    theta: Any, how: Any, *, k: int, kind: str, n_init: int, max_iter: int, impl: str
) -> Fit[Params]:
    """Run EM from begin, a mixture or the numbers of a key, and certify the best finite end."""
    (X, s, reg), (begin, tol) = theta, how
    m, sd = moments(X, s / total(s))
    A = X - m[None, :]
    noise = (8 * jnp.finfo(X.dtype).eps) ** 2 * (sd**2 + m**2)

    def restart(A: Rows, s: Column, numbers: Array, sd: Array, *how: Array) -> _em.Ended:
        key = jax.random.wrap_key_data(numbers, impl=impl)
        C = _seeding.plus_plus(A, s, key, k=k)
        v, limit = jnp.mean(sd**2), jnp.asarray(1e-4, A.dtype)
        at, _ = _lloyd.minimize(A, s, C, v, tol=limit, max_iter=LLOYD_STEPS)
        first = _em.start(A, s, _nearest.assign(A, at.centroids), at.centroids, how[0], kind=kind)
        return run(A, s, first, *how)

    def run(A: Rows, s: Column, params: Params, reg: Array, tol: Array, noise: Array) -> _em.Ended:
        return _em.maximize(A, s, params, noise, reg=reg, tol=tol, max_iter=max_iter)

    if isinstance(begin, Params):
        ended = run(A, s, begin._replace(means=begin.means - m[None, :]), reg, tol, noise)
    elif n_init == 1:
        ended = restart(A, s, begin, sd, reg, tol, noise)
    else:
        keys = jax.random.split(jax.random.wrap_key_data(begin, impl=impl), n_init)
        lanes = jax.vmap(one_at_a_time(restart), (None, None, 0, *[None] * 4))
        tried = lanes(A, s, jax.random.key_data(keys), sd, reg, tol, noise)
        usable = jnp.isfinite(tried.log_likelihood) & ~tried.singular
        best = jnp.argmax(jnp.where(usable, tried.log_likelihood, -jnp.inf))
        ended = jax.tree.map(lambda leaf: leaf[best], tried)
    least, most = jnp.min(s), jnp.max(s)
    unweighted = ~((least >= 0) & (most > 0))
    broken = ~jnp.isfinite(X).all() | ~jnp.isfinite(most) | jnp.isnan(least)
    return certify(
        ended.params._replace(means=ended.params.means + m[None, :]),
        objective=ended.log_likelihood,
        residual=ended.gain,
        tol=tol,
        n_iter=ended.n_iter,
        flags=(
            (Code.NONFINITE_INPUT, broken),
            (Code.DEGENERATE, unweighted),
            (Code.SINGULAR_COVARIANCE, ended.singular & ~broken & ~unweighted),
        ),
    )
