"""The four shapes of covariance of a mixture, told apart by their axes.

    full       (k, d, d)   Sigma_j, any symmetric positive definite matrices
    tied       (1, d, d)   Sigma, one for all components
    diag       (k, d)      diag(v_j)
    spherical  (k,)        v_j I

Each is used through its whitener W_j, W_j Sigma_j W_j' = I, and so log|Sigma_j| = -2 log|W_j|. For
matrices that is the inverse of the Cholesky factor, for the others v^(-1/2).
"""

import jax
import jax.numpy as jnp

from jaxml import _lapack
from jaxml._numerics import matmul
from jaxml._typing import Array, Bool, Column, Float, Scalar

__all__ = [
    "TYPES", "estimate", "factor", "log_det", "n_parameters", "rounded_off", "second", "shape",
    "whiten", "whitener",
]  # fmt: skip

TYPES = ("full", "tied", "diag", "spherical")


def shape(kind: str, k: int, d: int) -> tuple[int, ...]:
    """The shape of covariances."""
    return {"full": (k, d, d), "tied": (1, d, d), "diag": (k, d), "spherical": (k,)}[kind]


def n_parameters(covariances: Array, d: int) -> int:
    """Free numbers among covariances."""
    free = d * (d + 1) // 2 if covariances.ndim == 3 else d ** (covariances.ndim - 1)
    return covariances.shape[0] * free


def whitener(covariances: Array) -> Array:
    """W_j of each, of the same shape; NaN where a covariance is not positive definite."""
    if covariances.ndim < 3:
        return jax.lax.rsqrt(jnp.where(covariances > 0, covariances, jnp.nan))
    # Both triangles count, lest the derivative see only one.
    return jax.vmap(_lapack.inverse_factor)(_symmetric(covariances))


def _symmetric(S: Float[Array, "... d d"]) -> Float[Array, "... d d"]:
    return 0.5 * (S + jnp.swapaxes(S, -1, -2))


def factor(covariances: Array) -> Array:
    """W_j^-1: what turns unit noise into noise of this covariance."""
    W = whitener(covariances)
    # Sigma = L L' and W = L^-1, so L = Sigma W'
    return matmul(_symmetric(covariances), jnp.swapaxes(W, 1, 2)) if W.ndim == 3 else 1 / W


def whiten(W: Array, Z: Float[Array, "d n"]) -> Float[Array, "d n"]:
    """W_j z_i for one component and columns z_i: W (d, d), (d,) or ()."""
    return matmul(W, Z) if W.ndim == 2 else W * Z if W.ndim == 0 else W[:, None] * Z


def log_det(W: Array, d: int) -> Scalar:
    """log|W_j| of one component."""
    if W.ndim == 0:
        return d * jnp.log(W)
    return jnp.sum(jnp.log(jnp.diag(W) if W.ndim == 2 else W))


def second(R: Column, Z: Float[Array, "d n"], ndim: int) -> Array:
    """sum_i r_i z_i z_i' of one component, or as much of it as covariances of ndim axes need."""
    if ndim == 3:
        return matmul(R[None, :] * Z, Z.T)
    squares = matmul(Z * Z, R)
    return squares if ndim == 2 else jnp.mean(squares)


def estimate(
    N: Float[Array, " k"], E: Float[Array, "k d"], S: Array, old: Array, reg: Scalar
) -> Array:
    """The covariances that maximize the expected log-likelihood, with reg added to the diagonal.

        Sigma_j = S_j / N_j - e_j e_j' + reg I
        S_j = sum_i r_ij z_i z_i',    e_j = sum_i r_ij z_i / N_j

    for z taken about any point near the mean. tied: the mean of Sigma_j by N_j. A component without
    weight keeps its old one.
    """
    mass = N > 0
    share = (1 / jnp.where(mass, N, 1.0)).reshape(-1, *[1] * (S.ndim - 1))
    if S.ndim == 3:
        C = _symmetric(S * share - E[:, :, None] * E[:, None, :])
    else:
        C = S * share - (E * E if S.ndim == 2 else jnp.mean(E * E, axis=1))
    if old.ndim == 3:
        reg = reg * jnp.eye(E.shape[1], dtype=E.dtype)[None]
    if old.shape[0] < S.shape[0]:
        return jnp.einsum("j,jab->ab", N / jnp.sum(N), C, precision="highest")[None] + reg
    return jnp.where(mass.reshape(-1, *[1] * (S.ndim - 1)), C + reg, old)


def rounded_off(covariances: Array, W: Array, noise: Float[Array, " d"]) -> Bool[Array, ""]:
    """Whether some covariance is singular, or as good as that.

    True where a direction has no more variance than rounding leaves: that of the rows, noise, or
    that of the factorization, d eps of the variance of its column.
    """
    if W.ndim == 3:
        left = jnp.diagonal(W, axis1=1, axis2=2) ** -2.0
        eps = jnp.finfo(W.dtype).eps
        size = 4 * W.shape[1] * eps * jnp.diagonal(covariances, axis1=1, axis2=2)
        return ~(left > jnp.maximum(size, noise[None, :])).all()
    floor = noise[None, :] if W.ndim == 2 else jnp.mean(noise)
    return ~(covariances > floor).all()
