"""AUC and F1: every definition of each, weights, ties, gradients, and their soft forms."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import metrics
from jaxml._typing import Array
from jaxml.closed_form.metrics import classification as hand_counts
from jaxml.closed_form.metrics import ranking as hand
from jaxml.closed_form.metrics import surrogates as hand_soft
from jaxml.verify.case import EXACT, ROUNDING, Case, Point, Tolerance, point
from jaxml.verify.domains import Domain, Generator, labels

__all__ = ["CASES", "SPECIAL"]

SHAPES = ((24,), (5,))
K = 3
HANLEY = "Hanley, McNeil (1982)"
RIJSBERGEN = "van Rijsbergen (1979), chapter 7"
LIMIT = Tolerance(1e-12, 1e-5, "sigma(-50) = 2e-22")


def _scored(rng: Generator, n: int) -> Point:
    """Labels, scores of which many are equal, weights."""
    y = labels(rng, n, 2)
    z = rng.integers(0, 6, n) + 1.0 * y
    return point(y, z, sample_weight=rng.uniform(0.5, 2.0, size=n))


def _unweighted(rng: Generator, n: int) -> tuple:
    return _scored(rng, n).args


def _distinct(rng: Generator, n: int) -> tuple:
    return labels(rng, n, 2), rng.permutation(n) + 0.5 * rng.uniform(size=n)


def _by_weight(rng: Generator, n: int) -> tuple:
    at = _scored(rng, n)
    return at.kwargs["sample_weight"], *at.args


def _classes(rng: Generator, n: int) -> Point:
    y, Z = labels(rng, n, K), rng.integers(0, 4, (n, K)).astype(float)
    return point(y, Z, sample_weight=rng.uniform(0.5, 2.0, size=n))


def _predicted(rng: Generator, n: int) -> tuple:
    """True and predicted labels of two classes, TP, FP, FN and TN all there."""
    y, p = labels(rng, n, 2), labels(rng, n, 2)
    y[:4], p[:4] = [0, 0, 1, 1], [0, 1, 0, 1]
    return y, p, rng.uniform(0.5, 2.0, size=n)


def _of_classes(rng: Generator, n: int) -> tuple:
    y, p = labels(rng, n, K), labels(rng, n, K)
    y[:K] = p[:K] = np.arange(K)  # each found once
    return y, p, rng.uniform(0.5, 2.0, size=n)


def _soft(rng: Generator, n: int) -> tuple:
    return rng.standard_normal(n), np.array(0.7), labels(rng, n, 2), rng.uniform(0.5, 2.0, size=n)


def _cold(rng: Generator, n: int) -> tuple:
    y, z = _unweighted(rng, n)
    return z, np.array(0.01), y, rng.uniform(0.5, 2.0, size=n)


def _curve_area(y: Array, z: Array, **kw: Any) -> Array:
    curve = metrics.roc_curve(y, z, **kw)
    return jnp.trapezoid(curve.tpr, curve.fpr)


def _curve_rates(y: Array, z: Array) -> tuple[Array, Array]:
    return metrics.roc_curve(y, z)[:2]


def _rates(y: Array, z: Array) -> tuple[Array, Array]:
    t = jnp.concatenate([jnp.full(1, jnp.inf, z.dtype), jnp.sort(z)[::-1]])
    return hand.rates(y, z, t, sample_weight=jnp.ones_like(z))


def _both_ways(y: Array, z: Array, **kw: Any) -> Array:
    return metrics.roc_auc(y, z, **kw) + metrics.roc_auc(y, -z, **kw)


def _stretched(y: Array, z: Array, **kw: Any) -> Array:
    same = [metrics.roc_auc(y, f, **kw) for f in (100 * z, 1e-6 * z, z - 10, z**3)]
    return jnp.stack(same) - metrics.roc_auc(y, z, **kw)


def _against_rest(y: Array, Z: Array, **kw: Any) -> list[Array]:
    return [hand.pairs((y == c).astype(y.dtype), Z[:, c], **kw) for c in range(K)]


def _areas(y: Array, Z: Array, **kw: Any) -> tuple[Array, ...]:
    return tuple(metrics.roc_auc(y, Z, average=a, **kw) for a in (None, "macro", "weighted"))


def _averages(y: Array, Z: Array, *, sample_weight: Array) -> tuple[Array, ...]:
    areas = jnp.stack(_against_rest(y, Z, sample_weight=sample_weight))
    W = jnp.stack([(sample_weight * (y == c)).sum() for c in range(K)])
    return areas, areas.sum() / K, (W * areas).sum() / W.sum()


def _auc_of_weights(s: Array, y: Array, z: Array) -> Array:
    return metrics.roc_auc(y, z, sample_weight=s)


def _reliability_table(key: Any, dtype: Any) -> tuple[Array, Array]:
    del key
    y = jnp.array([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1]], jnp.int32)
    z = [[1, 1, 1, 1], [1, 0, 1, 0], [1, 0, 1, 0], [0.5, 0.5, 0.5, 0.9]]
    return y, jnp.array(z, dtype)


def _scores(y: Array, p: Array, s: Array) -> tuple[Array, Array]:
    return metrics.precision(y, p, sample_weight=s), metrics.recall(y, p, sample_weight=s)


def _f1(y: Array, p: Array, s: Array, **kw: Any) -> Array:
    return metrics.f1(y, p, sample_weight=s, **kw)


def _f1_of_weights(s: Array, p: Array, y: Array) -> Array:
    return metrics.f1(y, p, sample_weight=s)


def _by_counts(y: Array, p: Array, s: Array) -> Array:
    tp, fp, fn = hand_counts.counts(y, p, s)
    return 2 * tp / (2 * tp + fp + fn)


def _twice_the_smaller(y: Array, p: Array, s: Array, *, factor: float = 2.0) -> Array:
    return factor * jnp.minimum(*hand_counts.shares(y, p, s))


def _means(y: Array, p: Array, s: Array) -> tuple[Array, ...]:
    each = jnp.stack([hand_counts.harmonic(y, p, s, label=c) for c in range(K)])
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


def _soft_auc(z: Array, t: Array, y: Array, s: Array) -> Array:
    return metrics.soft_auc(y, z, temperature=t, sample_weight=s)


def _soft_f1(z: Array, t: Array, y: Array, s: Array) -> Array:
    return metrics.soft_f1(y, z, temperature=t, threshold=0.5, sample_weight=s)


TIED, PREDICTED = Domain(_scored, SHAPES), Domain(_predicted, SHAPES)
SOFT, COLD = Domain(_soft, SHAPES[:1]), Domain(_cold, SHAPES)
LABELED = Domain(_of_classes, SHAPES[:1])
AUC, F1 = ("auc",), ("f1",)

CASES = (
    Case("metrics.roc_auc/pairs", AUC, "identity", metrics.roc_auc, hand.pairs, TIED, ROUNDING,
         HANLEY),
    Case("metrics.roc_auc/mann-whitney", AUC, "identity", metrics.roc_auc, hand.mann_whitney,
         Domain(_unweighted, SHAPES), ROUNDING, "Mann, Whitney (1947)"),
    Case("metrics.roc_auc/trapezoids", AUC, "identity", metrics.roc_auc, hand.trapezoids, TIED,
         ROUNDING, HANLEY),
    Case("metrics.roc_curve/area", AUC, "identity", _curve_area, hand.pairs, TIED, ROUNDING,
         HANLEY),
    Case("metrics.roc_curve/rates", AUC, "identity", _curve_rates, _rates,
         Domain(_distinct, SHAPES), ROUNDING, "rates by their definition"),
    Case("metrics.roc_auc/reversed", AUC, "identity", _both_ways,
         lambda y, z, **kw: jnp.ones((), z.dtype), TIED, ROUNDING, "each pair is won or tied"),
    Case("metrics.roc_auc/order-only", AUC, "identity", _stretched,
         lambda y, z, **kw: jnp.zeros(4, z.dtype), TIED, EXACT, "monotone maps keep every pair"),
    Case("metrics.roc_auc/one-against-rest", AUC, "identity", _areas, _averages,
         Domain(_classes, SHAPES[:1]), ROUNDING, "Hand, Till (2001)"),
    Case("metrics.roc_auc/weight-gradient", AUC, "gradient", jax.grad(_auc_of_weights),
         hand.weight_gradient, Domain(_by_weight, SHAPES[:1]), ROUNDING, "quotient rule",
         _auc_of_weights),
    Case("metrics.soft_auc/value", AUC, "identity", _soft_auc, hand_soft.soft_auc, SOFT, ROUNDING,
         "Yan et al. (2003)"),
    Case("metrics.soft_auc/gradient", AUC, "gradient", jax.grad(_soft_auc),
         hand_soft.soft_auc_gradient, SOFT, ROUNDING, "chain rule", _soft_auc),
    Case("metrics.soft_auc/limit", AUC, "identity", _soft_auc,
         lambda z, t, y, s: hand.pairs(y, z, sample_weight=s), COLD, LIMIT, "t -> 0"),
    Case("metrics.confusion_matrix/sums", F1, "identity",
         lambda y, p, s: metrics.confusion_matrix(y, p, n_classes=K, sample_weight=s),
         partial(hand_counts.confusion_matrix, n_classes=K), LABELED, ROUNDING,
         "each entry by its definition"),
    Case("metrics.precision-recall/shares", F1, "identity", _scores, hand_counts.shares, PREDICTED,
         ROUNDING, RIJSBERGEN),
    Case("metrics.f1/harmonic", F1, "identity", _f1, hand_counts.harmonic, PREDICTED, ROUNDING,
         RIJSBERGEN),
    Case("metrics.f1/counts", F1, "identity", _f1, _by_counts, PREDICTED, ROUNDING, RIJSBERGEN),
    Case("metrics.f1/bound", F1, "bound", _f1, _twice_the_smaller, PREDICTED, ROUNDING,
         "2PR/(P + R) = 2 min(P, R) max(P, R)/(P + R)",
         mutants=(partial(_twice_the_smaller, factor=0.99),)),
    Case("metrics.f1/averages", F1, "identity", _library_means, _means,
         LABELED, ROUNDING, "means of the harmonic means; micro is accuracy"),
    Case("metrics.f1/weight-gradient", F1, "gradient",
         jax.grad(_f1_of_weights), hand_counts.f1_weight_gradient,
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
    Case("metrics.roc_auc/pairs@ties", AUC, "solution", jax.vmap(metrics.roc_auc),
         lambda y, z: jnp.array([0.5, 1.0, 0.0, 0.75], z.dtype), _reliability_table, EXACT,
         "all tied, all won, all lost, one of two positive rows tied with both negative ones"),
    Case("metrics.f1/degenerate", F1, "solution", _at_nothing, _said_of_nothing, _degenerate,
         EXACT, "0/0 is what the caller says; 0 over something is 0"),
)  # fmt: skip
