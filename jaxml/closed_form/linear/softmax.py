"""Softmax regression by hand. Letters as in jaxml.linear.softmax; p_i = s_i / s, Z = X W + b.

J(W, b) = sum_i p_i [log sum_j e^(z_ij) - z_(i, y_i)] + l1 ||W||_1 + l2/2 ||W||^2
"""

from functools import partial

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Column, Float, Labels, Real, Rows

__all__ = ["gradient", "hessian", "jacobian", "probabilities", "shift"]

Pair = tuple[Float[Array, "d k"], Float[Array, " k"]]  # (W, b)
dot = partial(jnp.dot, precision=Precision.HIGHEST)


def probabilities(Z: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """Return s_ij = e^(z_ij) / sum_l e^(z_il)."""
    # divided through by e^(z_ij): s_ij = 1 / sum_l e^(z_il - z_ij)
    return 1.0 / jnp.exp(Z[:, None, :] - Z[:, :, None]).sum(axis=2)


def jacobian(z: Float[Array, " k"]) -> Float[Array, "k k"]:
    """Return ds/dz = diag(s) - s s'."""
    # s_j = e_j / E with E = sum_l e_l:  ds_j/dz_l = (e_j [j = l] E - e_j e_l) / E^2
    s = probabilities(z[None, :])[0]
    return jnp.diag(s) - s[:, None] * s[None, :]


def _one_hot(y: Labels, k: int) -> Float[Array, "n k"]:
    return (y[:, None] == jnp.arange(k)[None, :]) * 1.0


def gradient(
    params: Pair, X: Rows, y: Labels, *, l1: Real, l2: Real, sample_weight: Column
) -> Pair:
    """Return dJ/d(W, b) where no entry of W is 0 (or l1 is)."""
    # dJ/dz_ij = p_i (s_ij - [y_i = j]) =: R_ij
    # => dJ/dW = X'R + l1 sign(W) + l2 W,  dJ/db = R'1     (Bishop eq. 4.109)
    W, b = params
    S = probabilities(dot(X, W) + b[None, :])
    R = (sample_weight / sample_weight.sum())[:, None] * (S - _one_hot(y, b.size))
    return dot(X.T, R) + l1 * jnp.sign(W) + l2 * W, R.sum(axis=0)


def hessian(
    params: Pair, X: Rows, y: Labels, *, l1: Real, l2: Real, sample_weight: Column
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return ((J_WW, J_Wb), (J_bW, J_bb)) of shapes (d,k,d,k), (d,k,k), (k,d,k), (k,k)."""
    # dR_ij/dz_il = p_i s_ij ([j = l] - s_il) =: D_ijl
    # => J_WW[a,j,c,l] = sum_i x_ia x_ic D_ijl + l2 [a = c][j = l],  J_Wb[a,j,l] = sum_i x_ia D_ijl,
    #    J_bb[j,l] = sum_i D_ijl     (Bishop eq. 4.110)
    del y, l1
    W, b = params
    S = probabilities(dot(X, W) + b[None, :])
    eye_k, eye_d = jnp.eye(b.size, dtype=X.dtype), jnp.eye(X.shape[1], dtype=X.dtype)
    D = S[:, :, None] * (eye_k[None] - S[:, None, :])
    D = (sample_weight / sample_weight.sum())[:, None, None] * D
    WW = (X[:, :, None, None, None] * X[:, None, None, :, None] * D[:, None, :, None, :]).sum(
        axis=0
    )
    Wb = (X[:, :, None, None] * D[:, None]).sum(axis=0)
    identity = eye_d[:, None, :, None] * eye_k[None, :, None, :]
    return (WW + l2 * identity, Wb), (Wb.transpose(1, 0, 2), D.sum(axis=0))


def shift(params: Pair, c: Float[Array, " d"], c_0: Float[Array, ""]) -> Pair:
    """Return params with one vector added to every column: all scores of a row move alike."""
    # z_ij + c'x_i + c_0: e^(c'x_i + c_0) cancels in s_ij, so J with l1 = l2 = 0 does not move,
    # and its Hessian has (c, ..., c; c_0, ..., c_0) as a null vector.
    W, b = params
    return W + c[:, None], b + c_0
