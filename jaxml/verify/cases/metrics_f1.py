"""F1: every definition of it, weights, what is empty, gradients, and its soft form."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import metrics
from jaxml._typing import Array
from jaxml.closed_form.metrics import classification as hand
from jaxml.closed_form.metrics import surrogates as hand_soft
from jaxml.verify.case import EXACT, ROUNDING, Case
from jaxml.verify.cases.metrics_ranking import COLD, LIMIT, SHAPES, SOFT, K
from jaxml.verify.domains import Domain, Generator, labels

__all__ = ["CASES", "SPECIAL"]

F1 = ("f1",)
RIJSBERGEN = "van Rijsbergen (1979), chapter 7"


def _predicted(rng: Generator, n: int) -> tuple:
    """True and predicted labels of two classes, TP, FP, FN and TN all there."""
    y, p = labels(rng, n, 2), labels(rng, n, 2)
    y[:4], p[:4] = [0, 0, 1, 1], [0, 1, 0, 1]
    return y, p, rng.uniform(0.5, 2.0, size=n)


def _of_classes(rng: Generator, n: int) -> tuple:
    y, p = labels(rng, n, K), labels(rng, n, K)
    y[:K] = p[:K] = np.arange(K)  # each found once
    return y, p, rng.uniform(0.5, 2.0, size=n)


def _scores(y: Array, p: Array, s: Array) -> tuple[Array, Array]:
    return metrics.precision(y, p, sample_weight=s), metrics.recall(y, p, sample_weight=s)


def _f1(y: Array, p: Array, s: Array, **kw: Any) -> Array:
    return metrics.f1(y, p, sample_weight=s, **kw)


def _f1_of_weights(s: Array, p: Array, y: Array) -> Array:
    return metrics.f1(y, p, sample_weight=s)


def _by_counts(y: Array, p: Array, s: Array) -> Array:
    tp, fp, fn = hand.counts(y, p, s)
    return 2 * tp / (2 * tp + fp + fn)


def _twice_the_smaller(y: Array, p: Array, s: Array, *, factor: float = 2.0) -> Array:
    return factor * jnp.minimum(*hand.shares(y, p, s))


def _means(y: Array, p: Array, s: Array) -> tuple[Array, ...]:
    each = jnp.stack([hand.harmonic(y, p, s, label=c) for c in range(K)])
    support = jnp.stack([(s * (y == c)).sum() for c in range(K)])
    # Every mistake is one FP and one FN:  micro F1 = TP/(TP + mistakes) = accuracy
    right = (s * (y == p)).sum() / s.sum()
    return each, each.sum() / K, (support * each).sum() / support.sum(), right


def _library_means(y: Array, p: Array, s: Array) -> tuple[Array, ...]:
    kinds = (None, "macro", "weighted", "micro")
    return tuple(_f1(y, p, s, n_classes=K, average=kind) for kind in kinds)


def _degenerate(key: Any, dtype: Any) -> tuple[Array, Array, Array]:
    del key
    none, some = [0, 0], [0, 1]
    y = jnp.array([none, none, some, some], jnp.int32)
    return y, jnp.array([none, some, none, some], jnp.int32), jnp.asarray(9.0, dtype)


def _at_nothing(y: Array, p: Array, empty: Array) -> list[Array]:
    scores = (metrics.precision, metrics.recall, metrics.f1)
    s = jnp.ones(2, empty.dtype)
    return [
        jax.vmap(lambda y, p, f=f: f(y, p, zero_division=empty, sample_weight=s))(y, p)
        for f in scores
    ]


def _said_of_nothing(y: Array, p: Array, empty: Array) -> list[Array]:
    # rows: nothing there nor told; only told; only there; one of each, right
    del y, p
    one, zero = jnp.ones_like(empty), jnp.zeros_like(empty)
    rows = [[empty, zero, empty, one], [empty, empty, zero, one], [empty, zero, zero, one]]
    return [jnp.stack(row) for row in rows]


def _soft_f1(z: Array, t: Array, y: Array, s: Array) -> Array:
    return metrics.soft_f1(y, z, temperature=t, threshold=0.5, sample_weight=s)


PREDICTED, LABELED = Domain(_predicted, SHAPES), Domain(_of_classes, SHAPES[:1])

CASES = (
    Case("metrics.confusion_matrix/sums", F1, "identity",
         lambda y, p, s: metrics.confusion_matrix(y, p, n_classes=K, sample_weight=s),
         partial(hand.confusion_matrix, n_classes=K), LABELED, ROUNDING,
         "each entry by its definition"),
    Case("metrics.precision-recall/shares", F1, "identity", _scores, hand.shares, PREDICTED,
         ROUNDING, RIJSBERGEN),
    Case("metrics.f1/harmonic", F1, "identity", _f1, hand.harmonic, PREDICTED, ROUNDING,
         RIJSBERGEN),
    Case("metrics.f1/counts", F1, "identity", _f1, _by_counts, PREDICTED, ROUNDING, RIJSBERGEN),
    Case("metrics.f1/bound", F1, "bound", _f1, _twice_the_smaller, PREDICTED, ROUNDING,
         "2PR/(P + R) = 2 min(P, R) max(P, R)/(P + R)",
         mutants=(partial(_twice_the_smaller, factor=0.99),)),
    Case("metrics.f1/averages", F1, "identity", _library_means, _means,
         LABELED, ROUNDING, "means of the harmonic means; micro is accuracy"),
    Case("metrics.f1/weight-gradient", F1, "gradient",
         jax.grad(_f1_of_weights), hand.f1_weight_gradient,
         Domain(lambda rng, n: _predicted(rng, n)[::-1], SHAPES[:1]), ROUNDING, "quotient rule",
         _f1_of_weights),
    Case("metrics.soft_f1/value", F1, "identity", _soft_f1,
         partial(hand_soft.soft_f1, threshold=0.5), SOFT, ROUNDING, "P and R of soft predictions"),
    Case("metrics.soft_f1/gradient", F1, "gradient", jax.grad(_soft_f1),
         partial(hand_soft.soft_f1_gradient, threshold=0.5), SOFT, ROUNDING, "chain rule",
         _soft_f1),
    Case("metrics.soft_f1/limit", F1, "identity", _soft_f1,
         lambda z, t, y, s: _by_counts(y, (z > 0.5).astype(y.dtype), s), COLD, LIMIT, "t -> 0"),
)  # fmt: skip
SPECIAL = (
    Case("metrics.f1/degenerate", F1, "solution", _at_nothing, _said_of_nothing, _degenerate,
         EXACT, "0/0 is what the caller says; 0 over something is 0"),
)  # fmt: skip
