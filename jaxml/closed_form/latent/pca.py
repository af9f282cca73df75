"""Principal components by hand. Letters as in jaxml.latent.pca.

Eigenpairs are read off the singular values of the centered rows; the Gaussian density is written
out with its d x d covariance.
"""

import math
from functools import partial

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Column, Float, Rows, Scalar

__all__ = [
    "covariance", "discarded", "eigenpairs", "eigenvalue_derivative", "log_likelihood",
    "log_likelihood_gradient", "projector", "projector_derivative", "rayleigh_gradient",
    "riemannian_gradient",
]  # fmt: skip

dot = partial(jnp.dot, precision=Precision.HIGHEST)


def _rows(X: Rows, s: Column) -> tuple[Rows, Float[Array, " d"]]:
    # S = A'A with a_i = (s_i / (M - 1))^(1/2) (x_i - m): weights count rows, as if replicated
    m = (s[:, None] * X).sum(axis=0) / s.sum()
    return jnp.sqrt(s / (s.sum() - 1))[:, None] * (X - m[None, :]), m


def covariance(X: Rows, *, sample_weight: Column) -> Float[Array, "d d"]:
    """Return S."""
    A, _ = _rows(X, sample_weight)
    return dot(A.T, A)


def eigenpairs(X: Rows, *, sample_weight: Column) -> tuple[Float[Array, " r"], Float[Array, "r d"]]:
    """Return all lambda, descending, and v as rows, each with its largest entry positive."""
    # A = U diag(sigma) V'  =>  S = A'A = V diag(sigma^2) V':  S v_i = sigma_i^2 v_i
    A, _ = _rows(X, sample_weight)
    _, sigma, Vt = jnp.linalg.svd(A, full_matrices=False)
    lead = jnp.take_along_axis(Vt, jnp.abs(Vt).argmax(axis=1)[:, None], axis=1)
    return sigma**2, Vt * jnp.sign(lead)


def projector(X: Rows, k: int, *, sample_weight: Column) -> Float[Array, "d d"]:
    """Return V'V of the k leading components, whatever their signs and rotation."""
    V = eigenpairs(X, sample_weight=sample_weight)[1][:k]
    return dot(V.T, V)


def discarded(X: Rows, k: int, *, sample_weight: Column) -> Scalar:
    """Return the mean squared error of reconstruction times M / (M - 1): the sum of the others."""
    # sum_i ||a_i - V'V a_i||^2 = tr[(I - V'V) S] = tr S - sum_(i <= k) lambda_i
    #                           = sum_(i > k) lambda_i
    return eigenpairs(X, sample_weight=sample_weight)[0][k:].sum()


def rayleigh_gradient(u: Float[Array, " d"], S: Float[Array, "d d"]) -> Float[Array, " d"]:
    """Return the gradient of r(u) = u'S u / u'u."""
    # dr = [2 u'S du (u'u) - (u'S u) 2 u'du] / (u'u)^2  =>  grad = 2 (S u - r u) / u'u
    # It vanishes exactly where S u = r u: at the eigenvectors.
    norm_2 = dot(u, u)
    return 2 * (dot(S, u) - dot(u, dot(S, u)) / norm_2 * u) / norm_2


def riemannian_gradient(u: Float[Array, " d"], S: Float[Array, "d d"]) -> Float[Array, " d"]:
    """Return the gradient of u'S u on the unit sphere, at the unit vector along u."""
    # The gradient 2 S w in space, less its part along the normal w:  2 (I - w w') S w
    w = u / jnp.sqrt(dot(u, u))
    return 2 * (dot(S, w) - w * dot(w, dot(S, w)))


def eigenvalue_derivative(X: Rows, i: int, *, sample_weight: Column) -> Float[Array, "n d"]:
    """Return d lambda_i / dX."""
    # S v = lambda v, v'v = 1: v' (dS) v + 2 v'(S - lambda) dv = d lambda  =>  d lambda = v'dS v
    # dS = sum_l s_l [dx_l (x_l - m)' + (x_l - m) dx_l'] / (M - 1)   (the mean drops out)
    # => d lambda / dx_l = 2 s_l / (M - 1) [(x_l - m)'v] v
    s = sample_weight
    m = (s[:, None] * X).sum(axis=0) / s.sum()
    v = eigenpairs(X, sample_weight=s)[1][i]
    return 2 * (s / (s.sum() - 1) * dot(X - m[None, :], v))[:, None] * v[None, :]


def projector_derivative(
    X: Rows, dX: Rows, k: int, *, sample_weight: Column
) -> Float[Array, "d d"]:
    """Return the derivative of V'V along dX, from the pairs of a kept and a dropped direction."""
    # dv_i = sum_(j != i) v_j (v_j'dS v_i) / (lambda_i - lambda_j).  In d(V'V) = sum_i dv_i v_i' +
    # v_i dv_i' the terms with both i and j kept cancel:
    # => d(V'V) = sum_(i <= k < j) (v_j'dS v_i) / (lambda_i - lambda_j) (v_j v_i' + v_i v_j')
    s = sample_weight
    m = (s[:, None] * X).sum(axis=0) / s.sum()
    values, V = eigenpairs(X, sample_weight=s)
    half = dot((s[:, None] * (X - m[None, :])).T, dX) / (s.sum() - 1)
    among = dot(V, dot(half + half.T, V.T))
    total = jnp.zeros_like(half)
    for i in range(k):
        for j in range(k, V.shape[0]):
            pair = V[j][:, None] * V[i][None, :]
            total = total + among[i, j] / (values[i] - values[j]) * (pair + pair.T)
    return total


def _model(V: Array, values: Array, noise: Scalar) -> tuple[Array, Array]:
    # Tipping, Bishop (1999), eq. (7): W = V'(Lambda - sigma^2 I)^(1/2),  C = W W' + sigma^2 I
    C = dot(V.T, (values - noise)[:, None] * V) + noise * jnp.eye(V.shape[1], dtype=V.dtype)
    return C, jnp.linalg.inv(C)


def log_likelihood(
    X: Rows, mean: Array, V: Array, values: Array, noise: Scalar
) -> Float[Array, " n"]:
    """Return log N(x; m, C) of each row with the d x d matrix C written out."""
    # Tipping, Bishop (1999), eq. (4): -1/2 [d log 2 pi + log |C| + (x - m)'C^-1 (x - m)]
    C, C_inv = _model(V, values, noise)
    R = jnp.linalg.qr(C, mode="r")
    A = X - mean[None, :]
    log_det = jnp.log(jnp.abs(jnp.diagonal(R))).sum()
    return -0.5 * (X.shape[1] * math.log(2 * math.pi) + log_det + (dot(A, C_inv) * A).sum(axis=1))


def log_likelihood_gradient(
    X: Rows, mean: Array, V: Array, values: Array, noise: Scalar
) -> Float[Array, "n d"]:
    """Return the gradient of the sum of log N(x_i; m, C) with respect to the rows."""
    # d/dx: -C^-1 (x - m)
    return -dot(X - mean[None, :], _model(V, values, noise)[1])
