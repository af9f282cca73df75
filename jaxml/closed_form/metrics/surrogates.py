"""Gradients of the soft AUC and the soft F1. Letters as in jaxml.metrics.surrogates."""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Labels, Real, Scalar

__all__ = ["soft_auc", "soft_auc_gradient", "soft_f1", "soft_f1_gradient"]


def _sigma(u: Array) -> Array:
    return (1 + jnp.tanh(u / 2)) / 2


def soft_auc(z: Column, t: Real, y: Labels, s: Column) -> Scalar:
    """1/(W+ W-) sum over all pairs of s_i s_j sigma((z_i - z_j)/t)."""
    pos, neg = s * (y == 1), s * (y == 0)
    each = pos[:, None] * neg[None, :] * _sigma((z[:, None] - z[None, :]) / t)
    return each.sum() / (pos.sum() * neg.sum())


def soft_auc_gradient(z: Column, t: Real, y: Labels, s: Column) -> Column:
    """dA/dz."""
    # sigma' = sigma (1 - sigma) =: e_ij, symmetric in i and j
    # dA/dz_i = 1/(t W+ W-) [pos_i sum_j neg_j e_ij - neg_i sum_j pos_j e_ij]
    pos, neg = s * (y == 1), s * (y == 0)
    a = _sigma((z[:, None] - z[None, :]) / t)
    e = a * (1 - a)
    pull = pos * (e * neg[None, :]).sum(axis=1) - neg * (e * pos[None, :]).sum(axis=1)
    return pull / (t * pos.sum() * neg.sum())


def soft_f1(z: Column, t: Real, y: Labels, s: Column, *, threshold: Real) -> Scalar:
    """2PR/(P + R) with P = sum s y q / sum s q, R = sum s y q / sum s y."""
    q = _sigma((z - threshold) / t)
    P, R = (s * y * q).sum() / (s * q).sum(), (s * y * q).sum() / (s * y).sum()
    return 2 * P * R / (P + R)


def soft_f1_gradient(z: Column, t: Real, y: Labels, s: Column, *, threshold: Real) -> Column:
    """dF/dz."""
    # F = a/b, a = 2 sum s y q, b = sum s y + sum s q;  dF/dq_i = s_i (2 y_i - F)/b:  positive for
    # y_i = 1, since F < 2, and negative for y_i = 0;  dq/dz = q (1 - q)/t
    q = _sigma((z - threshold) / t)
    b = (s * y).sum() + (s * q).sum()
    F = 2 * (s * y * q).sum() / b
    return s * (2 * y - F) / b * q * (1 - q) / t
