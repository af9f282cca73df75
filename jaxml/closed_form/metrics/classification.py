"""Precision, recall and F1 from the definition of each. Letters as in jaxml.metrics."""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Labels, Scalar

__all__ = ["confusion_matrix", "counts", "f1_weight_gradient", "harmonic", "shares"]


def confusion_matrix(y: Labels, p: Labels, s: Column, *, n_classes: int) -> Float[Array, "k k"]:
    """C, each entry a sum over all rows."""
    each = range(n_classes)
    return jnp.array([[(s * (y == a) * (p == b)).sum() for b in each] for a in each])


def counts(y: Labels, p: Labels, s: Column, *, label: int = 1) -> tuple[Scalar, Scalar, Scalar]:
    """TP, FP, FN of a class."""
    there, told = y == label, p == label
    return (s * (there & told)).sum(), (s * (~there & told)).sum(), (s * (there & ~told)).sum()


def shares(y: Labels, p: Labels, s: Column, *, label: int = 1) -> tuple[Scalar, Scalar]:
    """P and R: of what is told what is there, of what is there what is told."""
    tp = (s * ((y == label) & (p == label))).sum()
    return tp / (s * (p == label)).sum(), tp / (s * (y == label)).sum()


def harmonic(y: Labels, p: Labels, s: Column, *, label: int = 1) -> Scalar:
    """F1 as the harmonic mean of P and R."""
    # 1/F1 = (1/P + 1/R)/2,  P = TP/(TP + FP), R = TP/(TP + FN)
    # => 1/F1 = (2 TP + FP + FN) / (2 TP):  2PR/(P + R) = 2 TP/(2 TP + FP + FN)
    P, R = shares(y, p, s, label=label)
    return 2 * P * R / (P + R)


def f1_weight_gradient(s: Column, p: Labels, y: Labels) -> Column:
    """DF1/ds."""
    # F1 = a/b, a = 2 TP, b = 2 TP + FP + FN;  da/ds_i = 2 [y_i = p_i = 1],  db/ds_i = [y_i] + [p_i]
    # => dF1/ds_i = (da/ds_i - F1 db/ds_i) / b:  a row that is right helps, a wrong one costs
    tp, fp, fn = counts(y, p, s)
    b = 2 * tp + fp + fn
    return (2.0 * y * p - 2 * tp / b * (y + p)) / b
