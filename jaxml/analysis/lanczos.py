"""Lanczos: the ends of the spectrum of a symmetric A from products with it.

    A Q = Q T + beta_m q_{m+1} e_m',   Q'Q = I,   T = tridiag(beta, alpha, beta)
    T s = theta s   =>   ||A (Q s) - theta (Q s)|| = |beta_m s_m|

so that some eigenvalue of A lies within |beta_m s_m| of the Ritz value theta. Every new vector is
orthogonalized against all earlier ones, twice: without it, copies of the extreme values appear.

Reference: Parlett (1998), The Symmetric Eigenvalue Problem, chapter 13; section 6.9 for "twice".
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _lapack
from jaxml._numerics import matmul, safe_norm
from jaxml._typing import Array, Float, Key

__all__ = ["Ritz", "lanczos"]


class Ritz(NamedTuple):
    """What m steps found, by ascending value."""

    values: Float[Array, " m"]  # theta
    vectors: Float[Array, "m n"]  # one Ritz vector Q s of 2-norm 1 per row
    bounds: Float[Array, " m"]  # an eigenvalue of A lies within bounds[i] of values[i]


class _State(NamedTuple):
    Q: Float[Array, "m n"]  # rows j.. are still zero
    q: Float[Array, " n"]  # q_j
    alpha: Float[Array, " m"]
    beta: Float[Array, " m"]  # beta_j couples rows j and j+1; the last one is the residual
    size: Float[Array, ""]  # the largest entry of T so far, a lower bound of ||A||


def lanczos(
    matvec: Callable[[Array], Array], n: int, *, n_steps: int, key: Key, dtype: jnp.dtype
) -> Ritz:
    """Run n_steps of Lanczos from a random start.

    Args:
      matvec: v (n,) -> A v, A symmetric.
      n: The order of A.
      n_steps: m <= n; memory grows with m n. With m = n the whole spectrum is found.
      key: Of the start, and of the restart when the vectors span an invariant subspace.
      dtype: Of the vectors.
    """
    eps = jnp.finfo(dtype).eps

    def orthogonal(w: Array, Q: Array) -> Array:
        for _ in range(2):
            w = w - matmul(matmul(Q, w), Q)
        return w

    def step(j: Array, state: _State) -> _State:
        Q = state.Q.at[j].set(state.q)
        w = matvec(state.q)
        alpha = jnp.vdot(state.q, w, precision=jax.lax.Precision.HIGHEST)
        w = orthogonal(w, Q)
        beta = safe_norm(w)
        size = jnp.maximum(state.size, jnp.maximum(jnp.abs(alpha), beta))
        # An invariant subspace: T splits, and a new random direction finds the other part.
        invariant = beta <= 10 * n * eps * size
        fresh = orthogonal(jax.random.normal(jax.random.fold_in(key, j + 1), (n,), dtype), Q)
        w = jnp.where(invariant, fresh, w)
        q = w / jnp.maximum(safe_norm(w), jnp.finfo(dtype).tiny)
        beta = jnp.where(invariant, 0.0, beta)
        return _State(Q, q, state.alpha.at[j].set(alpha), state.beta.at[j].set(beta), size)

    start = jax.random.normal(jax.random.fold_in(key, 0), (n,), dtype)
    zeros = jnp.zeros(n_steps, dtype)
    state = _State(
        jnp.zeros((n_steps, n), dtype), start / safe_norm(start), zeros, zeros, zeros.sum()
    )
    state = jax.lax.fori_loop(0, n_steps, step, state)
    off = state.beta[:-1]
    T = jnp.diag(state.alpha) + jnp.diag(off, 1) + jnp.diag(off, -1)
    values, S = _lapack.eigh(T)
    # The rounding of n_steps products is part of what the values can be trusted for.
    bounds = jnp.abs(state.beta[-1] * S[-1]) + n_steps * eps * jnp.max(jnp.abs(values))
    return Ritz(values, matmul(S.T, state.Q), bounds)
