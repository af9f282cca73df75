"""Leading eigenpairs of S = A'A, a_i = (s_i / (M - 1))^(1/2) (x_i - m), by four routes.

    of S (d x d)      n >= d            of A A' (n x n)   n < d:  S A'u = lambda A'u
    of A = U sigma V'                   lambda = sigma^2: keeps the digits of small variances
    iteration         best of span(V, W, P), W = S V - V lambda, P the last step of V; from random V

The last is the locally optimal block method, whose space of three blocks loses little against all
powers S^q V, and which meets S once per step.

Reference: Golub, Van Loan (2013), Matrix Computations, section 8.6; Halko, Martinsson, Tropp
(2011), Finding structure with randomness, section 4.5, for the start; Knyazev (2001), Toward the
optimal preconditioned eigensolver, algorithm 4.1; Duersch et al. (2018), A robust and efficient
implementation of LOBPCG, section 4, for its orthonormal bases.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _lapack
from jaxml._loop import iterate
from jaxml._numerics import matmul
from jaxml._typing import Array, ArrayLike, Float, Int, Key, Rows, Scalar

__all__ = ["Spectrum", "by_covariance", "by_gram", "by_iteration", "by_svd", "full", "oriented"]

OVERSAMPLES = 10  # columns beyond those asked for, which speed up convergence

Apply = Callable[[Float[Array, "d b"]], Float[Array, "d b"]]  # V -> S V


class Spectrum(NamedTuple):
    """The k leading eigenpairs of S, and what is known of the others."""

    values: Float[Array, " k"]  # lambda, descending
    vectors: Float[Array, "k d"]  # orthonormal rows
    following: Scalar  # lambda_(k+1), 0 if there is none
    discarded: Scalar  # sum of the other eigenvalues
    residual: Scalar  # max_i ||S v_i - lambda_i v_i|| / lambda_1
    n_iter: Int[Array, ""]


def oriented(V: Float[Array, "k d"]) -> Float[Array, "k d"]:
    """Rows with their largest absolute entry positive, the first of those equal to rounding."""
    size = jnp.abs(V)
    slack = 1 - jnp.finfo(V.dtype).eps ** 0.5
    at = jnp.argmax(size >= slack * jnp.max(size, axis=1, keepdims=True), axis=1)
    lead = jnp.take_along_axis(V, at[:, None], axis=1)
    return jnp.where(lead < 0, -V, V)


def _finish(values: Array, V: Array, k: int, apply: Apply, rest: Scalar | None = None) -> Spectrum:
    """From all eigenvalues that are known, descending, and the first k vectors as rows."""
    values = jnp.maximum(values, 0.0)  # NaN stays
    kept, others = values[:k], values[k:]
    V = oriented(V)
    off = apply(V.T) - V.T * kept[None, :]
    size = jnp.where(kept[0] > 0, kept[0], 1.0)
    following = others[0] if len(others) else jnp.zeros_like(kept[0])
    discarded = jnp.sum(others) if rest is None else rest
    residual = jnp.sqrt(jnp.max(jnp.sum((off / size) ** 2, axis=0)))
    return Spectrum(kept, V, following, discarded, residual, jnp.int32(1))


def _descending(S: Float[Array, "r r"]) -> tuple[Float[Array, " r"], Float[Array, "r r"]]:
    values, U = _lapack.eigh(S)
    return values[::-1], U[:, ::-1]


def by_covariance(S: Float[Array, "d d"], k: int) -> Spectrum:
    """Eigenpairs of S itself."""
    values, U = _descending(S)
    return _finish(values, U[:, :k].T, k, lambda V: matmul(S, V))


def by_gram(A: Rows, k: int) -> Spectrum:
    """Eigenpairs by way of A A', for n < d."""
    values, U = _descending(matmul(A, A.T))
    # Orthogonal columns already, but for those of variance 0, which are completed to a basis.
    Q, R = _lapack.qr(matmul(A.T, U[:, :k]))
    V = (Q * jnp.where(jnp.diag(R) < 0, -1.0, 1.0)[None, :]).T
    return _finish(values, V, k, lambda V: matmul(A.T, matmul(A, V)))


def by_svd(A: Rows, k: int) -> Spectrum:
    """Singular vectors of A, of its triangular factor where n > d."""
    n, d = A.shape
    _, sigma, Vt = _lapack.svd(_lapack.right_factor(A) if n > d else A)
    return _finish(sigma**2, Vt[:k], k, lambda V: matmul(A.T, matmul(A, V)))


class _State(NamedTuple):
    V: Float[Array, "d b"]  # Ritz vectors, orthonormal columns
    P: Float[Array, "d b"]  # what the last step brought into their span, orthonormal to V; or 0
    SV: Float[Array, "d b"]
    SP: Float[Array, "d b"]
    values: Float[Array, " b"]  # Ritz values lambda, descending
    residual: Scalar


def _outside(basis: Float[Array, "d c"], W: Float[Array, "d b"], scale: ArrayLike) -> Array:
    """Orthonormal columns for what W has outside an orthonormal basis, 0 where it has nothing."""

    def project(W: Array) -> Array:
        return W - matmul(basis, matmul(basis.T, W))

    Q, R = _lapack.qr(project(W))
    alive = jnp.abs(jnp.diag(R)) > 10 * jnp.finfo(Q.dtype).eps * scale
    # Twice is enough, where a direction was more than the rounding of the first projection.
    Q, R = _lapack.qr(project(Q))
    return jnp.where(alive & (jnp.abs(jnp.diag(R)) > 0.5), Q, 0.0)


def by_iteration(
    apply: Apply, trace: Scalar, like: Float[Array, " d"], k: int, *, most: int, key: Key,
    tol: Scalar, max_iter: int,
) -> Spectrum:  # fmt: skip
    """Ritz pairs of blocks of k + OVERSAMPLES vectors.

    The first iteration takes span(V, S V, S^2 V), three products; each other one takes one.

    Args:
      apply: V -> S V.
      trace: The trace of S.
      like: Gives d and the dtype.
      k: Eigenpairs wanted.
      most: An upper bound of the rank, min(n, d).
      key: Seeds the start.
      tol: Stops at this residual.
      max_iter: Static bound.
    """
    d = like.shape[0]
    b = min(k + OVERSAMPLES, most)

    def ritz(Q: Array, SQ: Array) -> _State:
        values, U = _descending(matmul(Q.T, SQ))
        values, U = values[:b], U[:, :b]
        C = _outside(U, U.at[:b].set(0.0), 1.0)  # the first b coordinates are those of the old V
        V, SV = matmul(Q, U), matmul(SQ, U)
        off = jnp.sqrt(jnp.max(jnp.sum((SV - V * values[None, :])[:, :k] ** 2, axis=0)))
        residual = off / jnp.where(values[0] > 0, values[0], 1.0)
        return _State(V, matmul(Q, C), SV, matmul(SQ, C), values, residual)

    def step(state: _State) -> _State:
        V, P, SV, SP, values, _ = state
        W = _outside(jnp.hstack([V, P]), SV - V * values[None, :], values[0])
        return ritz(jnp.hstack([V, P, W]), jnp.hstack([SV, SP, apply(W)]))

    Q, _ = _lapack.qr(jax.random.normal(key, (d, b), like.dtype))
    SQ = apply(Q)
    scale = jnp.sqrt(jnp.max(jnp.sum(SQ**2, axis=0)))
    for _ in range(2):
        W = _outside(Q, SQ[:, -b:], scale)
        Q, SQ = jnp.hstack([Q, W]), jnp.hstack([SQ, apply(W)])
    start = ritz(Q, SQ)
    end, n_iter = iterate(step, start, stop=lambda t: ~(t.residual > tol), max_iter=max_iter - 1)
    # Unit columns, also where the rank is less than k.
    V, R = _lapack.qr(end.V[:, :k])
    V = oriented((V * jnp.where(jnp.diag(R) < 0, -1.0, 1.0)[None, :]).T)
    values = jnp.maximum(end.values, 0.0)
    rest = jnp.maximum(trace - jnp.sum(values[:k]), 0.0)
    following = values[k] if b > k else jnp.zeros_like(rest)
    return Spectrum(values[:k], V, following, rest, end.residual, n_iter + 1)


def full(A: Rows) -> tuple[Float[Array, " r"], Float[Array, "r d"]]:
    """All eigenpairs of S = A'A that can be positive, r = min(n, d), for derivatives."""
    r = min(A.shape)
    found = by_covariance(matmul(A.T, A), r) if A.shape[0] >= A.shape[1] else by_gram(A, r)
    return found.values, found.vectors
