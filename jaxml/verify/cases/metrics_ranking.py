"""AUC: every definition of it, weights, ties, gradients, and its soft form."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import metrics
from jaxml._typing import Array
from jaxml.closed_form.metrics import ranking as hand
from jaxml.closed_form.metrics import surrogates as hand_soft
from jaxml.verify.case import EXACT, ROUNDING, Case, Point, Tolerance, point
from jaxml.verify.domains import Domain, Generator, labels

__all__ = ["CASES", "SPECIAL"]

SHAPES = ((24,), (5,))
K = 3
HANLEY = "Hanley, McNeil (1982)"
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


def _soft_auc(z: Array, t: Array, y: Array, s: Array) -> Array:
    return metrics.soft_auc(y, z, temperature=t, sample_weight=s)


TIED = Domain(_scored, SHAPES)
SOFT, COLD = Domain(_soft, SHAPES[:1]), Domain(_cold, SHAPES)
AUC = ("auc",)

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
)  # fmt: skip
SPECIAL = (
    Case("metrics.roc_auc/pairs@ties", AUC, "solution", jax.vmap(metrics.roc_auc),
         lambda y, z: jnp.array([0.5, 1.0, 0.0, 0.75], z.dtype), _reliability_table, EXACT,
         "all tied, all won, all lost, one of two positive rows tied with both negative ones"),
)  # fmt: skip
