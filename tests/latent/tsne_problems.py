"""Points for the tests of t-SNE; affinities by bisection, and the gradient by double loops."""

import jax
import numpy as np

from tests.fits import code

__all__ = ["KEY", "QUICK", "blobs", "code", "double_loop", "joint"]

KEY = jax.random.key(0)
QUICK = {"perplexity": 5.0, "max_iter": 60, "exaggeration_iter": 20, "learning_rate": 10.0}


def conditional(X, perplexity):
    """c by bisection, row after row, in float64."""
    X = np.asarray(X, np.float64)
    n = len(X)
    C = np.zeros((n, n))
    for i in range(n):
        j = np.delete(np.arange(n), i)
        D = ((X[i] - X[j]) ** 2).sum(axis=1)
        low, high = -60.0, 60.0
        for _ in range(200):
            t = (low + high) / 2
            c = np.exp(-np.exp(t) * (D - D.min()))
            c /= c.sum()
            H = -(c[c > 0] * np.log(c[c > 0])).sum()
            low, high = (t, high) if np.log(perplexity) < H else (low, t)
        C[i, j] = c
    return C


def joint(X, perplexity):
    """P of all pairs."""
    C = conditional(X, perplexity)
    return (C + C.T) / (2 * len(C))


def double_loop(Y, P):
    """KL, its gradient and the attractive part of that, by two loops over points."""
    Y = np.asarray(Y, np.float64)
    n = len(Y)
    W = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j:
                W[i, j] = 1 / (1 + ((Y[i] - Y[j]) ** 2).sum())
    Q = W / W.sum()
    G, A, kl = np.zeros_like(Y), np.zeros_like(Y), 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                G[i] += 4 * (P[i, j] - Q[i, j]) * W[i, j] * (Y[i] - Y[j])
                A[i] += 4 * P[i, j] * W[i, j] * (Y[i] - Y[j])
                kl += P[i, j] * np.log(P[i, j] / Q[i, j]) if P[i, j] > 0 else 0.0
    return kl, G, A


def blobs(n=60, dtype="float64", seed=0):
    """Three groups far apart, and which one each row is of."""
    rng = np.random.default_rng(seed)
    of = np.arange(n) % 3
    return (rng.normal(size=(n, 4)) + 12 * np.eye(4)[of]).astype(dtype), of
