"""What a split gains by the impurity of its sides, from sums of statistics of their rows.

    gain(L, R) = W I(L + R) - W_L I(L) - W_R I(R),    W = W_L + W_R, the weights of the sides
    gini       = W_L W_R / W sum_c (p_Lc - p_Rc)^2,   p_Lc = L_c / W_L
    variance   = W_L W_R / W (m_L - m_R)^2            m_L = sum_L s y / W_L
    entropy    = sum_c [L_c log(p_Lc / p_c) + R_c log(p_Rc / p_c)]

written as differences between the sides, so that nothing cancels where they are nearly alike.
Statistics of a row are (s_i [y_i = c] for each c, 1) or (s_i, s_i (y_i - a), 1), the last to count.
"""

import jax.numpy as jnp

from jaxml._sums import weighted_mean
from jaxml._typing import Array, Column, Float, Labels, Scalar
from jaxml.trees._split import Criterion

__all__ = [
    "CLASSES", "CRITERIA", "class_statistics", "least_gain", "statistics", "target_statistics",
]  # fmt: skip

CLASSES = ("gini", "entropy")  # criteria of labels; the other is one of targets


def _gini(L: Array, R: Array) -> Array:
    W_L, W_R = _class_weight(L), _class_weight(R)
    apart = _share(L[:-1], W_L) - _share(R[:-1], W_R)
    return _between(W_L, W_R) * jnp.sum(apart**2, axis=0)


def _entropy(L: Array, R: Array) -> Array:
    W_L, W_R = _class_weight(L), _class_weight(R)
    p_L, p_R = _share(L[:-1], W_L), _share(R[:-1], W_R)
    p = _share(L[:-1] + R[:-1], W_L + W_R)

    def gained(sums: Array, q: Array) -> Array:
        some = (sums > 0) & (q > 0) & (p > 0)
        ratio = jnp.where(some, q / jnp.where(some, p, 1.0), 1.0)
        return jnp.sum(jnp.where(some, sums * jnp.log(ratio), 0.0), axis=0)

    return gained(L[:-1], p_L) + gained(R[:-1], p_R)


def _variance(L: Array, R: Array) -> Array:
    apart = _share(L[1], L[0]) - _share(R[1], R[0])
    return _between(L[0], R[0]) * apart**2


def _class_weight(sums: Array) -> Array:
    return jnp.sum(sums[:-1], axis=0)


def _share(part: Array, whole: Array) -> Array:
    whole = jnp.where(whole > 0, whole, 1.0)
    return part / (whole if part.ndim == whole.ndim else whole[None])


def _between(W_L: Array, W_R: Array) -> Array:
    # W_L W_R / W, where products of weights could overflow; the same for both orders of the sides.
    sides = (W_L > 0) & (W_R > 0)
    return jnp.where(sides, 1 / (1 / jnp.where(sides, W_L, 1) + 1 / jnp.where(sides, W_R, 1)), 0.0)


CRITERIA = {
    "gini": Criterion(_gini, _class_weight),
    "entropy": Criterion(_entropy, _class_weight),
    "variance": Criterion(_variance, lambda sums: sums[0]),
}


def statistics(
    y: Array, s: Column, n_classes: int | None
) -> tuple[Float[Array, "n c"], Scalar | None]:
    """Those of the classes, and None; or, where n_classes is None, of the targets, and a."""
    if n_classes is None:
        return target_statistics(y, s)
    return class_statistics(y, s, n_classes), None


def class_statistics(y: Labels, s: Column, n_classes: int) -> Float[Array, "n k+1"]:
    """(s_i [y_i = c], 1) of each row; zeros where s_i = 0 or y_i is no class."""
    member = (y[:, None] == jnp.arange(n_classes)[None, :]) & (s > 0)[:, None]
    counted = ((s > 0) & (y >= 0)).astype(s.dtype)
    return jnp.concatenate([jnp.where(member, s[:, None], 0.0), counted[:, None]], axis=1)


def target_statistics(y: Column, s: Column) -> tuple[Float[Array, "n 3"], Scalar]:
    """(s_i, s_i (y_i - a), 1) of each row, zeros where s_i = 0; and a, near the mean of y.

    Of targets that differ, a is a multiple of a power of two about as large as their range, so that
    y_i - a has no more digits than y_i: labels stay integers, and equal gains equal.
    """
    here = s > 0
    y = jnp.where(here, y, 0.0)
    mean = weighted_mean(y, s)
    mean = mean + weighted_mean(y - mean, s)  # of equal targets exactly that target
    least, most = jnp.min(jnp.where(here, y, jnp.inf)), jnp.max(jnp.where(here, y, -jnp.inf))
    step = jnp.ldexp(jnp.ones((), y.dtype), jnp.frexp(most - least)[1])
    a = jnp.where(most > least, jnp.round(mean / step) * step, mean)
    return jnp.stack([s, s * (y - a), here.astype(s.dtype)], axis=1), a


def least_gain(u: Float[Array, "n c"], name: str) -> Scalar:
    """A gain that rounding alone may show: W (32 eps)^2 times the largest squared difference."""
    W = jnp.sum(u[:, :-1]) if name in CLASSES else jnp.sum(u[:, 0])
    apart = 1.0
    if name not in CLASSES:
        apart = jnp.max(jnp.abs(_share(u[:, 1], u[:, 0]))) ** 2
    rounding = 32 * jnp.finfo(u.dtype).eps
    # An entropy rounds in first order: its logarithms are not squared.
    return W * apart * (rounding if name == "entropy" else rounding**2)
