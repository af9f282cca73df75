"""Affinities of t-SNE: a Gaussian about each point, as wide as the perplexity demands.

    c_ij = exp(-b_i D_ij) / sum_{k != i} exp(-b_i D_ik),    D_ij = ||x_i - x_j||^2,    c_ii = 0
    b_i such that H_i = -sum_j c_ij log c_ij = log perplexity
    p_ij = (c_ij + c_ji) / (2 n)

With u_j = b D_j less its minimum, S = sum_j e^-u_j and m = sum_j c_j u_j: H = log S + m, and
dH / d log b = -Var(u) <= 0. Newton's method in t = log b, inside a bracket.

Reference: van der Maaten, Hinton (2008), Visualizing data using t-SNE, eq. (1) and section 2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._loop import iterate
from jaxml._typing import Array, Bool, Float, Int, Rows, Scalar
from jaxml.neighbors import knn
from jaxml.neighbors._search import power_of_two

__all__ = ["Graph", "dense", "neighbor_graph", "rows_of_entropy", "squared_distances"]

MAX_ITER = 100
LOWEST, HIGHEST = -30.0, 80.0  # of log b, where D has mean 1 over the row


class Graph(NamedTuple):
    """Affinities of each point with its k nearest, slot by slot; p is 0 outside their union."""

    neighbor: Int[Array, "k n"]  # j, the s-th neighbor of i
    c: Float[Array, "k n"]  # c_ij
    p: Float[Array, "k n"]  # p_ij
    times: Float[Array, "k n"]  # 1 where i is a neighbor of j too; else 2, for (i, j) and (j, i)


def rows_of_entropy(D: Float[Array, "k n"], other: Bool[Array, "k n"], H: Scalar) -> Array:
    """c (k, n): each column a distribution over D where other holds, of entropy H.

    A point with more than e^H others at its least distance keeps these alike: no b gives H.
    Derivatives are those of the solution.
    """
    least = jnp.min(jnp.where(other, D, jnp.inf), axis=0)
    D = jnp.where(other, D - least[None, :], 0.0)
    mean = jnp.sum(D, axis=0) / jnp.sum(other, axis=0)
    D = D / jnp.where(mean > 0, mean, 1.0)[None, :]
    fixed = jax.lax.stop_gradient((D, H))
    t = jax.lax.stop_gradient(_solve(*fixed, other))
    # One more step, whose derivative is that of the root: dt = (dH_of(D) - dH) / Var(u).
    entropy, slope, _ = _entropy(D, other, t)
    slope = jax.lax.stop_gradient(slope)
    step = (entropy - H) / jnp.where(slope > 0, slope, 1.0)
    small = (slope > 0) & (jnp.abs(jax.lax.stop_gradient(step)) < 0.1)
    return _entropy(D, other, t + jnp.where(small, step, 0.0))[2]


def _entropy(D: Array, other: Array, t: Array) -> tuple[Array, Array, Array]:
    """H, Var(u) = -dH/dt and c of each column."""
    u = jnp.minimum(jnp.exp(t)[None, :] * D, 1e4)  # e^-1e4 = 0, and 0 times it is 0
    a = jnp.where(other, jnp.exp(-u), 0.0)
    S = jnp.sum(a, axis=0)
    c = a / S[None, :]
    m = jnp.sum(c * u, axis=0)
    return jnp.log(S) + m, jnp.sum(c * (u - m[None, :]) ** 2, axis=0), c


def _solve(D: Array, H: Scalar, other: Array) -> Array:
    """t of each column."""
    n, eps = D.shape[1], jnp.finfo(D.dtype).eps

    def step(state: tuple) -> tuple:
        t, low, high, _ = state
        entropy, slope, _ = _entropy(D, other, t)
        excess = entropy - H  # > 0: b is too small
        low, high = jnp.where(excess > 0, t, low), jnp.where(excess > 0, high, t)
        newton = t + excess / jnp.where(slope > 0, slope, 1.0)
        inside = (slope > 0) & (newton > low) & (newton < high)
        done = (jnp.abs(excess) <= 8 * eps * (1 + H)) | (high - low <= eps * (1 + jnp.abs(t)))
        return jnp.where(done, t, jnp.where(inside, newton, (low + high) / 2)), low, high, done

    start = jnp.zeros(n, D.dtype)
    ends = jnp.full(n, LOWEST, D.dtype), jnp.full(n, HIGHEST, D.dtype)
    state = (start, *ends, jnp.zeros(n, bool))
    return iterate(step, state, stop=lambda state: state[3].all(), max_iter=MAX_ITER)[0][0]


def squared_distances(X: Rows) -> Float[Array, "n n"]:
    """||x_i - x_j||^2 by differences, exact also for near-duplicates, up to a power of two."""
    X = X / jax.lax.stop_gradient(power_of_two(X))
    columns = X.T

    @jax.checkpoint  # its differences are as large as n^2 d
    def row(x: Array) -> Array:
        return jnp.sum((columns - x[:, None]) ** 2, axis=0)

    return jax.lax.map(row, X)


def dense(X: Rows, perplexity: Scalar) -> Float[Array, "n n"]:
    """P of all pairs."""
    n = X.shape[0]
    other = ~jnp.eye(n, dtype=bool)
    c = rows_of_entropy(squared_distances(X), other, jnp.log(perplexity))  # column i: about x_i
    return (c + c.T) / (2 * n)


def neighbor_graph(X: Rows, perplexity: Scalar, k: int) -> Graph:
    """P of the k nearest neighbors of each point; what lies farther is 0."""
    n = X.shape[0]
    X = X / power_of_two(X)
    distances, index = knn.search(X, X, k=k + 1)
    own = jnp.arange(n)[:, None]
    # A point is its own nearest, unless more than k others equal it: then one of them goes.
    last = jnp.arange(k + 1)[None, :] == k
    self_at = jnp.where((index == own).any(axis=1)[:, None], index == own, last)
    keep = jax.lax.top_k((~self_at).astype(jnp.int32), k)[1]  # in order: of equals the first
    distances, index = (jnp.take_along_axis(a, keep, axis=1) for a in (distances, index))
    D, neighbor = distances.T**2, index.T
    c = rows_of_entropy(D, jnp.ones(D.shape, bool), jnp.log(perplexity))

    def back(s: tuple[Array, Array]) -> tuple[Array, Array]:
        of_j, share = s
        mine = neighbor[:, of_j] == jnp.arange(n)[None, :]  # where i stands among those of j
        return share + jnp.sum(jnp.where(mine, c[:, of_j], 0.0), axis=0), mine.any(axis=0)

    both, mutual = jax.lax.map(back, (neighbor, c))
    return Graph(neighbor, c, both / (2 * n), jnp.where(mutual, 1.0, 2.0).astype(X.dtype))
