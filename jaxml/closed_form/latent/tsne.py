"""t-SNE by hand. Letters as in jaxml.latent.tsne: d_ij = ||y_i - y_j||, w = 1 / (1 + d^2)."""

from functools import partial

import jax.numpy as jnp
from jax.lax import Precision, fori_loop

from jaxml._typing import Array, Float, Scalar

__all__ = [
    "affinities", "crowded_and_torn", "divergence", "gradient", "perplexities", "repulsion",
]  # fmt: skip

dot = partial(jnp.dot, precision=Precision.HIGHEST)


def _weights(Y: Float[Array, "n c"]) -> tuple[Array, Array]:
    """W and Q; squared distances as G_ii + G_jj - 2 G_ij, G = Y Y' about the mean."""
    Y = Y - Y.mean(axis=0)[None, :]
    G = dot(Y, Y.T)
    g = jnp.diag(G)
    W = (1.0 - jnp.eye(len(Y), dtype=Y.dtype)) / (1.0 + g[:, None] + g[None, :] - 2 * G)
    return W, W / W.sum()


def divergence(Y: Float[Array, "n c"], P: Float[Array, "n n"]) -> Scalar:
    """Return KL(P||Q) as cross-entropy less entropy, over the pairs i < j, each counted twice."""
    i, j = jnp.triu_indices(len(Y), 1)
    p, q = P[i, j], _weights(Y)[1][i, j]
    return 2 * (p * jnp.log(p)).sum() - 2 * (p * jnp.log(q)).sum()


def gradient(Y: Float[Array, "n c"], P: Float[Array, "n n"]) -> Float[Array, "n c"]:
    """Return dKL/dY."""
    # C = sum_kl p_kl log p_kl - sum_kl p_kl log w_kl + log Z,  since sum p = 1
    # dC/dd_ij = -p_ij (dw_ij/dd_ij) / w_ij + (dw_ij/dd_ij) / Z,  dw/dd = -2 d w^2
    #          = 2 d_ij w_ij (p_ij - w_ij / Z) = 2 d_ij w_ij (p_ij - q_ij)
    # d_ij and d_ji both move with y_i:  dd_ij/dy_i = (y_i - y_j) / d_ij
    # => dC/dy_i = 2 sum_j 2 d_ij w_ij (p_ij - q_ij) (y_i - y_j) / d_ij
    #            = 4 sum_j (p_ij - q_ij) (y_i - y_j) / (1 + d_ij^2)     (2008, eq. (5); appendix A)
    W, Q = _weights(Y)
    M = (P - Q) * W  # symmetric;  sum_j m_ij (y_i - y_j) = [diag(M 1) - M] Y, a graph Laplacian
    return 4 * (M.sum(axis=1)[:, None] * Y - dot(M, Y))


def repulsion(Y: Float[Array, "n c"]) -> tuple[Float[Array, "n c"], Scalar]:
    """Return R and Z, dKL/dY = 4 (A - R / Z), from the whole matrix W."""
    # q_ij w_ij = w_ij^2 / Z  =>  R = [diag(W^2 1) - W^2] Y, squares entry by entry
    W, _ = _weights(Y)
    return (W**2).sum(axis=1)[:, None] * Y - dot(W**2, Y), W.sum()


def perplexities(C: Float[Array, "n n"]) -> Float[Array, " n"]:
    """Return e^H of each row of C, distributions c_i with c_ii = 0."""
    # H = -sum_j c_ij log c_ij, with 0 log 0 = 0
    return jnp.exp(-jnp.where(C > 0, C * jnp.log(jnp.where(C > 0, C, 1.0)), 0.0).sum(axis=1))


def affinities(X: Float[Array, "n d"], *, perplexity: Scalar) -> Float[Array, "n n"]:
    """Return P by halving an interval of log b, row by row."""
    # dH/db = -b Var(D) < 0: H falls from log(n - 1) at b = 0 to 0, so one b gives log perplexity.
    D = ((X[:, None, :] - X[None, :, :]) ** 2).sum(axis=2)
    other = ~jnp.eye(len(X), dtype=bool)
    D = D - jnp.where(other, D, jnp.inf).min(axis=1)[:, None]  # a factor that cancels in c

    def c(t: Array) -> Array:
        a = jnp.where(other, jnp.exp(-jnp.exp(t)[:, None] * D), 0.0)
        return a / a.sum(axis=1)[:, None]

    def halve(_: Array, t: Array) -> Array:
        middle = t.mean(axis=0)
        flat = perplexities(c(middle)) > perplexity
        return jnp.stack([jnp.where(flat, middle, t[0]), jnp.where(flat, t[1], middle)])

    ends = jnp.stack([jnp.full(len(X), -30.0, X.dtype), jnp.full(len(X), 30.0, X.dtype)])
    C = c(fori_loop(0, 64, halve, ends).mean(axis=0))
    return (C + C.T) / (2 * len(X))


def crowded_and_torn(s: Scalar) -> tuple[Scalar, Scalar]:
    """Return KL(P||Q) of two pairs in 4 points, once crowded and once torn from all others.

    Crowded: the pairs hold the share s of P, and all six distances in Y are equal. Torn: all six
    p are equal, and the pairs hold the share s of Q.
    """

    # Shares within the pairs a = 2 of 6, alike each, and across 4 of 6: in every ratio p/q what a
    # share is divided by cancels, and KL = a log(a/b) + (1 - a) log((1 - a)/(1 - b)).
    # Crowded: a = s, b = 1/3: at most log 3, as s -> 1. Torn: a = 1/3, b = s: infinite as s -> 1.
    # KL(Q||P) exchanges a and b, and with them what costs little and what costs much.
    def of_shares(a: Scalar, b: Scalar) -> Scalar:
        return a * jnp.log(a / b) + (1 - a) * jnp.log((1 - a) / (1 - b))

    return of_shares(s, 1 / 3 + 0 * s), of_shares(1 / 3 + 0 * s, s)
