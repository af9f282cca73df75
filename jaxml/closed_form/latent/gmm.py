"""Gaussian mixtures by hand. Letters as in jaxml.latent.gmm; Lambda_j = Sigma_j^-1, p_i = s_i / s.

Full matrices throughout: a diagonal, spherical or tied covariance is one that repeats numbers, and
its derivative sums those of the entries that it fills.
"""

from functools import partial

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Column, Float, Real, Rows, Scalar

__all__ = [
    "divergence", "em_step", "fit_derivative", "gradient", "responsibilities", "sample_moments",
    "score",
]  # fmt: skip

Mixture = tuple[Float[Array, " k"], Float[Array, "k d"], Array]  # (pi, mu, Sigma)
einsum = partial(jnp.einsum, precision=Precision.HIGHEST)


def _full(covariances: Array, k: int, d: int) -> Float[Array, "k d d"]:
    eye = jnp.eye(d, dtype=covariances.dtype)
    if covariances.ndim == 3:
        return jnp.broadcast_to(covariances, (k, d, d))
    v = covariances if covariances.ndim == 2 else covariances[:, None] * jnp.ones_like(eye[:1])
    return v[:, :, None] * eye[None]


def _joint(params: Mixture, X: Rows) -> Float[Array, "n k"]:
    # log pi_j N(x; mu_j, Sigma_j) = log pi_j - 1/2 [log|2 pi Sigma_j| + z'Lambda_j z], z = x - mu_j
    pi, mu, S = params
    S = _full(S, *mu.shape)
    Z = X[:, None, :] - mu[None]
    q = einsum("nja,jab,njb->nj", Z, jnp.linalg.inv(S), Z)
    return jnp.log(pi)[None] - 0.5 * (jnp.linalg.slogdet(2 * jnp.pi * S)[1][None] + q)


def score(params: Mixture, X: Rows, *, sample_weight: Column) -> Scalar:
    """Return L; Bishop (2006), eq. (9.14)."""
    g = _joint(params, X)
    top = g.max(axis=1)
    p = sample_weight / sample_weight.sum()
    return (p * (top + jnp.log(jnp.exp(g - top[:, None]).sum(axis=1)))).sum()


def responsibilities(params: Mixture, X: Rows) -> Float[Array, "n k"]:
    """Return the posterior of the component by Bayes' theorem; eq. (9.13)."""
    # p(j | x) = pi_j N_j(x) / sum_l pi_l N_l(x)
    g = _joint(params, X)
    p = jnp.exp(g - g.max(axis=1)[:, None])
    return p / p.sum(axis=1)[:, None]


def divergence(
    params: Mixture, X: Rows, q: Float[Array, "n k"], *, sample_weight: Column
) -> Scalar:
    """Return what the ELBO at q misses of L: the mean of KL(q_i || r_i) >= 0 (Jensen)."""
    # L - ELBO = sum_j q_j [log p(x) - log p(x, j) + log q_j] = sum_j q_j log(q_j / r_j)  (eq. 9.72)
    r = responsibilities(params, X)
    p = sample_weight / sample_weight.sum()
    return (p * (q * (jnp.log(q) - jnp.log(r))).sum(axis=1)).sum()


def gradient(params: Mixture, X: Rows, *, sample_weight: Column) -> Mixture:
    """Return (dL/da, dL/dmu, dL/dSigma) with pi = softmax(a), which keeps pi on the simplex."""
    # dL/dpi_j = sum_i p_i N_j(x_i) / p(x_i) = M_j / pi_j,   M_j = sum_i p_i r_ij
    # dpi_j/da_l = pi_j ([j = l] - pi_l)  =>  dL/da_l = M_l - pi_l
    # dL/dmu_j = sum_i p_i r_ij Lambda_j (x_i - mu_j)                        (eq. 9.16)
    # dlog N/dSigma = 1/2 Lambda (z z' - Sigma) Lambda, z = x - mu
    # => dL/dSigma_j = 1/2 Lambda_j [sum_i p_i r_ij z z' - M_j Sigma_j] Lambda_j
    pi, mu, covariances = params
    S = _full(covariances, *mu.shape)
    R = (sample_weight / sample_weight.sum())[:, None] * responsibilities(params, X)
    M, Z, inverse = R.sum(axis=0), X[:, None, :] - mu[None], jnp.linalg.inv(S)
    scatter = einsum("nj,nja,njb->jab", R, Z, Z) - M[:, None, None] * S
    G = 0.5 * einsum("jab,jbc,jcd->jad", inverse, scatter, inverse)
    return M - pi, einsum("jab,nj,njb->ja", inverse, R, Z), _gathered(G, covariances)


def _gathered(G: Float[Array, "k d d"], like: Array) -> Array:
    """Sum over the entries that one number fills."""
    if like.ndim == 3:
        return G if like.shape[0] == G.shape[0] else G.sum(axis=0)[None]
    each = jnp.diagonal(G, axis1=1, axis2=2)
    return each if like.ndim == 2 else each.sum(axis=1)


def em_step(params: Mixture, X: Rows, *, sample_weight: Column) -> Mixture:
    """Return the stationary point of the ELBO at q = r."""
    # sum_i p_i r_ij / pi_j = lambda for all j, sum pi = 1   =>  pi_j = M_j            (eq. 9.22)
    # sum_i p_i r_ij Lambda_j (x_i - mu_j) = 0               =>  mu_j = sum p r x / M_j   (eq. 9.17)
    # 1/2 Lambda [sum_i p_i r_ij z z' - M_j Sigma] Lambda = 0
    #   => Sigma_j = sum p r z z' / M_j                                                (eq. 9.19)
    # diag and spherical: the same for the entries they have; tied: sum_j M_j Sigma_j
    _, mu, covariances = params
    d = mu.shape[1]
    R = (sample_weight / sample_weight.sum())[:, None] * responsibilities(params, X)
    M = R.sum(axis=0)
    new = einsum("nj,na->ja", R, X) / M[:, None]
    Z = X[:, None, :] - new[None]
    S = einsum("nj,nja,njb->jab", R, Z, Z)
    if covariances.ndim == 3 and covariances.shape[0] < M.shape[0]:
        return M, new, S.sum(axis=0)[None]
    S = _gathered(S / M[:, None, None], covariances)
    return M, new, S / d if covariances.ndim == 1 else S


def sample_moments(X: Rows, *, reg_covar: Real, sample_weight: Column) -> Mixture:
    """Return the fit of one component: weight 1, mean and covariance of the rows, plus reg I."""
    p = sample_weight / sample_weight.sum()
    m = (p[:, None] * X).sum(axis=0)
    Z = X - m[None]
    S = einsum("n,na,nb->ab", p, Z, Z) + reg_covar * jnp.eye(X.shape[1], dtype=X.dtype)
    return jnp.ones_like(p[:1]), m[None], S[None]


def fit_derivative(X: Rows, *, sample_weight: Column) -> tuple[Array, Array]:
    """Return dm/dX (1, d, n, d) and dSigma/dX (1, d, d, n, d) of the fit of one component."""
    # m_a = sum_i p_i x_ia            =>  dm_a/dx_ib = p_i [a = b]
    # Sigma = sum_i p_i z_i z_i'      =>  dSigma_ac/dx_ib = p_i ([a = b] z_ic + z_ia [b = c])
    # (z moves with m too, but sum_i p_i z_i = 0)
    p = sample_weight / sample_weight.sum()
    eye = jnp.eye(X.shape[1], dtype=X.dtype)
    Z = X - (p[:, None] * X).sum(axis=0)[None]
    half = einsum("i,ab,ic->acib", p, eye, Z)
    return einsum("i,ab->aib", p, eye)[None], (half + jnp.swapaxes(half, 0, 1))[None]
