"""The area under the ROC curve three ways. Letters as in jaxml.metrics.ranking."""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Labels, Scalar

__all__ = ["mann_whitney", "pairs", "rates", "trapezoids", "weight_gradient"]


def _wins(z: Column) -> Float[Array, "n n"]:
    """[z_i > z_j] + 1/2 [z_i = z_j]."""
    return (z[:, None] > z[None, :]) + 0.5 * (z[:, None] == z[None, :])


def pairs(y: Labels, z: Column, *, sample_weight: Column) -> Scalar:
    """P(z+ > z-) + 1/2 P(z+ = z-), every pair looked at."""
    pos, neg = sample_weight * (y == 1), sample_weight * (y == 0)
    return (pos[:, None] * neg[None, :] * _wins(z)).sum() / (pos.sum() * neg.sum())


def mann_whitney(y: Labels, z: Column) -> Scalar:
    """U / (n+ n-) from the sum of the ranks of the positive rows, equal scores sharing theirs."""
    # rank of i = #{j: z_j < z_i} + (#{j: z_j = z_i} + 1)/2 = sum_j wins_ij + 1/2
    # Among themselves the n+ positive rows have ranks that sum to n+ (n+ + 1)/2, whatever the ties;
    # the rest of their ranks they owe to negative rows below them:  U = R+ - n+ (n+ + 1)/2
    rank = _wins(z).sum(axis=1) + 0.5
    pos = (y == 1).astype(z.dtype)
    n_pos, n_neg = pos.sum(), (1 - pos).sum()
    U = (pos * rank).sum() - n_pos * (n_pos + 1) / 2
    return U / (n_pos * n_neg)


def rates(y: Labels, z: Column, t: Column, *, sample_weight: Column) -> tuple[Column, Column]:
    """False and true positive rates at thresholds t, each by its definition."""
    told = z[None, :] >= t[:, None]
    pos, neg = sample_weight * (y == 1), sample_weight * (y == 0)
    fpr, tpr = ((told * w[None, :]).sum(axis=1) / w.sum() for w in (neg, pos))
    return fpr, tpr


def trapezoids(y: Labels, z: Column, *, sample_weight: Column) -> Scalar:
    """The area under the polygon through the rates at every score."""
    # Equal scores repeat a point, which adds no area.
    t = jnp.concatenate([jnp.full(1, jnp.inf, z.dtype), jnp.sort(z)[::-1]])
    fpr, tpr = rates(y, z, t, sample_weight=sample_weight)
    return ((fpr[1:] - fpr[:-1]) * (tpr[1:] + tpr[:-1]) / 2).sum()


def weight_gradient(s: Column, y: Labels, z: Column) -> Column:
    """DAUC/ds."""
    # A = sum_ij s_i [y_i = 1] s_j [y_j = 0] wins_ij, AUC = A / (W+ W-)
    # dA/ds_k = sum_j s_j [y_j = 0] wins_kj if y_k = 1, else sum_i s_i [y_i = 1] wins_ik
    # => dAUC/ds_k = dA/ds_k / (W+ W-) - AUC / W, W that of the class of k
    pos, neg, wins = s * (y == 1), s * (y == 0), _wins(z)
    W_pos, W_neg = pos.sum(), neg.sum()
    area = pairs(y, z, sample_weight=s)
    of_pos = (neg[None, :] * wins).sum(axis=1) / (W_pos * W_neg) - area / W_pos
    of_neg = (pos[:, None] * wins).sum(axis=0) / (W_pos * W_neg) - area / W_neg
    return jnp.where(y == 1, of_pos, of_neg)
