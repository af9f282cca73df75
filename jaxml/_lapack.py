"""Factorizations and solves that are safe under vmap on a CPU.

jaxlib 0.10 spreads a batch of LAPACK calls over the thread pool that also runs the call itself, and
waits there: as many such calls at once as the pool has threads, of one program or of several, never
end (released builds from 0.11.2 on run a batch in one thread). There the lanes of a vmap are taken
in turn: a single call waits for nothing.

Large calls also wake the threads of the BLAS behind LAPACK (OpenBLAS), which go on looking for work
for some 20 ms and hold the cores that the rest of the program needs: of two, half the speed. So
inverse_factor and qr are put together from calls too small for that, and eigh takes, up to 74
columns, a slower routine that wakes none: with it a fit by PCA ends in two thirds of the time.
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


NARROW = 32  # columns from which a triangular solve and eigh wake threads
LARGE = 9216  # numbers from which a QR factorization does
WIDE = 256  # columns from which a Cholesky factorization does, and small calls save nothing
BLOCKED = 75  # columns from which LAPACK's QR algorithm for a Schur form works in blocks

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
    return _inverse_of(jnp.linalg.cholesky(A))


def _inverse_of(L: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """[P 0; R Q]^-1 = [P^-1 0; -Q^-1 R P^-1 Q^-1], by halves."""
    d = L.shape[0]
    if not NARROW <= d < WIDE:
        one = jnp.eye(d, dtype=L.dtype)
        return jax.scipy.linalg.solve_triangular(L, one, lower=True)
    h = d // 2
    P, Q = _inverse_of(L[:h, :h]), _inverse_of(L[h:, h:])
    R = -matmul(Q, matmul(L[h:, :h], P))
    return jnp.block([[P, jnp.zeros((h, d - h), L.dtype)], [R, Q]])


_qr = _in_turn(lambda A: tuple(jnp.linalg.qr(A)))


def qr(A: Float[Array, "n d"]) -> tuple[Float[Array, "n r"], Float[Array, "r d"]]:
    """A = Q R, r = min(n, d); on a CPU a tall A by blocks of rows, A_b = Q_b R_b, [R_b] = Q R.

    Reference: Demmel, Grigori, Hoemmen, Langou (2012), Communication-optimal parallel and
    sequential QR and LU factorizations, section 3.
    """
    n, d = A.shape
    count = max(1, -(-n * d // LARGE))
    size = -(-n // count)
    if count == 1 or size < 2 * d:
        return _qr(A)

    def by_blocks(A: Array) -> tuple[Array, Array]:
        rows = jnp.pad(A, ((0, count * size - n), (0, 0))).reshape(count, size, d)
        Q, R = jax.vmap(_qr)(rows)
        left, R = qr(R.reshape(count * d, d))
        return matmul(Q, left.reshape(count, d, d)).reshape(-1, d)[:n], R

    return jax.lax.platform_dependent(A, cpu=by_blocks, default=_qr)


@jax.custom_jvp
def _eigh(A: Float[Array, "d d"]) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    """Eigenvalues ascending, eigenvectors as columns, of a symmetric A.

    On a CPU some are those of the Schur form A = Z T Z', whose T is diagonal to rounding.
    """

    def by_schur(A: Array) -> tuple[Array, Array]:
        T, Z = jax.lax.linalg.schur(0.5 * (A + A.T))
        values = jnp.diagonal(T)
        order = jnp.argsort(values)
        return values[order], Z[:, order]

    def default(A: Array) -> tuple[Array, Array]:
        return tuple(jnp.linalg.eigh(A))

    if not NARROW <= A.shape[0] < BLOCKED:
        return default(A)
    return jax.lax.platform_dependent(A, cpu=by_schur, default=default)


@_eigh.defjvp
def _(primals: tuple, tangents: tuple) -> tuple:
    """dlambda_i = v_i'dA v_i,  dv_i = sum_(j != i) v_j (v_j'dA v_i) / (lambda_i - lambda_j)."""
    (A,), (dA,) = primals, tangents
    values, V = _eigh(A)
    G = matmul(V.T, matmul(0.5 * (dA + dA.T), V))
    same = jnp.eye(len(values), dtype=bool)
    gaps = jnp.where(same, 1.0, values[None, :] - values[:, None])
    return (values, V), (jnp.diagonal(G), matmul(V, jnp.where(same, 0.0, G / gaps)))


eigh = _in_turn(_eigh)
inverse = _in_turn(jnp.linalg.inv)
eigvalsh = _in_turn(jnp.linalg.eigvalsh)
right_factor = _in_turn(partial(jnp.linalg.qr, mode="r"))
svd = _in_turn(partial(jnp.linalg.svd, full_matrices=False))  # U (n, r), sigma (r,), V' (r, d)
