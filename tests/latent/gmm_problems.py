"""Rows and starts for the tests of Gaussian mixtures, and a step of EM in NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from jaxml.latent import gmm
from jaxml.latent.gmm import Params
from tests.fits import code

__all__ = ["FITS", "TYPES", "code", "data", "start", "step"]

TYPES = ("full", "tied", "diag", "spherical")


def data(n=40, d=2, *, dtype="float64", seed=0):
    """Rows about two places, and weights."""
    rng = np.random.default_rng([seed, n, d])
    X = rng.normal(size=(n, d)) @ (np.eye(d) + 0.5 * rng.uniform(size=(d, d)))
    X = X + 2.5 * (np.arange(n) % 2)[:, None]
    return X.astype(dtype), rng.uniform(0.5, 2.0, n).astype(dtype)


def start(kind, d=2, *, k=2, dtype="float64"):
    """Means 0 and 2, unit covariances."""
    eye = np.eye(d)
    shaped = {
        "full": np.stack([eye] * k), "tied": eye[None], "diag": np.ones((k, d)),
        "spherical": np.ones(k),
    }[kind]  # fmt: skip
    means = 2.0 * np.arange(k)[:, None] * np.ones(d)
    return Params(*(jnp.asarray(a, dtype) for a in (np.full(k, 1 / k), means, shaped)))


def matrices(params):
    """Every covariance as a matrix."""
    _, mu, S = (np.asarray(leaf, float) for leaf in params)
    k, d = mu.shape
    if S.ndim == 3:
        return np.broadcast_to(S, (k, d, d))
    return np.stack([np.diag(v * np.ones(d)) for v in S])


def step(params, X, s, reg):
    """L, and the next params as matrices, in NumPy and SciPy."""
    pi, mu, _ = (np.asarray(leaf, float) for leaf in params)
    X, s = np.asarray(X, float), np.asarray(s, float)
    densities = [stats.multivariate_normal.pdf(X, m, S, allow_singular=False)
                 for m, S in zip(mu, matrices(params), strict=True)]  # fmt: skip
    p = pi[:, None] * np.array(densities)
    r = s * p / p.sum(0)
    N = r.sum(1)
    new = (r @ X) / N[:, None]
    S = np.array([np.einsum("n,na,nb->ab", q, X - m, X - m) for q, m in zip(r, new, strict=True)])
    ndim, d = np.ndim(params.covariances), X.shape[1]
    if ndim == 3 and len(params.covariances) == 1:
        S = S.sum(0)[None] / N.sum()
    else:
        S = S / N[:, None, None]
        v = np.diagonal(S, axis1=1, axis2=2)
        S = S if ndim == 3 else v if ndim == 2 else v.mean(1)
    S = S + (reg * np.eye(d) if ndim == 3 else reg)
    return s @ np.log(p.sum(0)) / s.sum(), Params(N / N.sum(), new, S)


FITS = {
    kind: jax.jit(lambda X, s, init, tol, reg, kind=kind: gmm.fit(
        X, n_components=2, init=init, covariance_type=kind, sample_weight=s, tol=tol,
        reg_covar=reg, max_iter=3000)) for kind in TYPES
}  # fmt: skip
