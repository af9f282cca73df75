"""Factorizations and solves that are safe under vmap on a CPU.

jaxlib 0.10 spreads a batch of LAPACK calls over the thread pool that also runs the call itself, and
waits there: as many such calls at once as the pool has threads, of one program or of several, never
end (released builds from 0.11.2 on run a batch in one thread). There the lanes of a vmap are taken
in turn: a single call waits for nothing.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib.version

from jaxml._lanes import one_at_a_time
from jaxml._numerics import matmul
from jaxml._typing import Array, Float

__all__ = [
    "cho_solve", "cholesky", "eigh", "eigvalsh", "inverse", "inverse_factor", "qr", "right_factor",
    "svd",
]  # fmt: skip


BATCHES_WAIT = tuple(map(int, re.findall(r"\d+", jaxlib.version.__version__)[:3])) < (0, 11, 2)


def _in_turn(f: Callable[..., Any]) -> Callable[..., Any]:
    if not BATCHES_WAIT:
        return f
    lanes = jax.custom_jvp(one_at_a_time(f))
    lanes.defjvp(lambda primals, tangents: jax.jvp(f, primals, tangents))
    return lanes


cholesky = _in_turn(partial(jnp.linalg.cholesky, symmetrize_input=False))  # L, NaN if not SPD
_cho_solve = _in_turn(lambda L, b: jax.scipy.linalg.cho_solve((L, True), b))


def cho_solve(L: Float[Array, "d d"], b: Float[Array, " d"]) -> Float[Array, " d"]:
    """(L L')^-1 b, linear in b also for JAX: derivatives of fits transpose it."""

    def apply(x: Array) -> Array:
        return matmul(L, matmul(L.T, x))

    return jax.lax.custom_linear_solve(apply, b, lambda _, b: _cho_solve(L, b), symmetric=True)


@_in_turn
def inverse_factor(A: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """W = L^-1 of A = L L', lower triangular, so that A^-1 = W'W; NaN if A is not SPD."""
    one = jnp.eye(A.shape[0], dtype=A.dtype)
    return jax.scipy.linalg.solve_triangular(jnp.linalg.cholesky(A), one, lower=True)


inverse = _in_turn(jnp.linalg.inv)
eigh = _in_turn(jnp.linalg.eigh)  # eigenvalues ascending, eigenvectors as columns
eigvalsh = _in_turn(jnp.linalg.eigvalsh)
qr = _in_turn(jnp.linalg.qr)  # Q (n, r), R (r, d), r = min(n, d)
right_factor = _in_turn(partial(jnp.linalg.qr, mode="r"))
svd = _in_turn(partial(jnp.linalg.svd, full_matrices=False))  # U (n, r), sigma (r,), V' (r, d)
