"""Scalers: parameters from pairs and ranks, Jacobians, and how many outliers move them."""

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.preprocessing import min_max as hand_min_max
from jaxml.closed_form.preprocessing import robust as hand_robust
from jaxml.closed_form.preprocessing import standard as hand_standard
from jaxml.preprocessing import min_max, robust, standard
from jaxml.verify.case import EXACT, ROUNDING, Case, Point, point
from jaxml.verify.domains import Domain, Generator, design

__all__ = ["CASES", "SPECIAL"]

TOPIC = ("scaling",)
SHAPES = ((17, 3),)
LENGTHS = ((12,),)
FAR = 1e6
RANGE = (10.0, 80.0)
HUBER = "Huber, Ronchetti (2009), section 1.4"


def _rows(rng: Generator, n: int, d: int) -> Point:
    return point(design(rng, n, d), sample_weight=rng.uniform(0.5, 2.0, size=n))


def _counted(rng: Generator, n: int, d: int) -> Point:
    """Rows with equal numbers, some of them repeated, some removed."""
    X = np.round(2 * design(rng, n, d))
    s = rng.permutation(np.concatenate([[0.0, 0.0, 2.0], rng.integers(1, 4, n - 3)]))
    return point(X, sample_weight=s)


def _column(rng: Generator, n: int) -> tuple:
    return (rng.permutation(n) + rng.uniform(0.0, 0.6, size=n),)  # apart by more than a stencil


def _weighted_column(rng: Generator, n: int) -> tuple:
    return *_column(rng, n), rng.uniform(0.5, 2.0, size=n)


def _mixed(rng: Generator, n: int) -> tuple:
    return *_column(rng, n), np.array(rng.uniform(0.02, 0.3)), np.array(rng.uniform(50.0, 200.0))


def _fitted(model: ModuleType) -> Any:
    return lambda X, **kw: tuple(model.fit(X, **kw).params)


def _scaled(model: ModuleType) -> Any:
    def scale(x: Array, s: Array | None = None) -> Array:
        X = x[:, None]
        return model.transform(model.fit(X, sample_weight=s).params, X)[:, 0]

    return scale


def _there_and_back(X: Array, **kw: Any) -> list[Array]:
    back = []
    for model in (standard, min_max, robust):
        params = model.fit(X, **kw).params
        back.append(model.inverse_transform(params, model.transform(params, X)))
    return back


def _with_outlier(x: Array, share: Array, far: Array) -> tuple[Array, ...]:
    """Mean and deviation after a share of the weight has gone far off."""
    s = jnp.append(jnp.full(len(x), 1.0, x.dtype) * (1 - share) / len(x), share)
    params = standard.fit(jnp.append(x, far)[:, None], sample_weight=s).params
    return params.mean[0], params.scale[0]


def _mixture(x: Array, share: Array, far: Array) -> tuple[Array, ...]:
    m, r = hand_standard.parameters(x[:, None], sample_weight=jnp.ones_like(x))
    return hand_standard.mixture(m[0], r[0], share, far)


def _outliers_borne(x: Array) -> list[Array]:
    """How many rows at FAR carry center and scale along: of standard, then of robust."""
    n = len(x)
    m = jnp.arange(1, n + 1)
    moved = jnp.where(jnp.arange(n)[None, :] < m[:, None], FAR, x[None, :])  # (n, n)

    def first(model: ModuleType, field: int) -> Array:
        leaf = jax.vmap(lambda x: model.fit(x[:, None]).params[field][0])(moved)
        gone = jnp.abs(leaf) > FAR / (2 * n)
        return jnp.min(jnp.where(gone, m, n + 1)).astype(x.dtype)

    return [first(standard, 0), first(standard, 1), first(robust, 0), first(robust, 1)]


def _breakdown(x: Array) -> list[Array]:
    n = len(x)
    counts = (1, 1, hand_robust.breakdown(n, 0.5), hand_robust.breakdown(n, 0.75))
    return [jnp.asarray(count, x.dtype) for count in counts]


def _spread_of_contaminated(x: Array) -> Array:
    """The robust scale with just under a quarter of the rows at +FAR."""
    m = hand_robust.breakdown(len(x), 0.75) - 1
    rows = jnp.where(jnp.arange(len(x)) < m, FAR, x)
    return robust.fit(rows[:, None]).params.scale[0]


def _clean_range(x: Array) -> Array:
    return x.max() - x.min()


def _flat(key: Any, dtype: Any) -> tuple[Array]:
    del key
    one, two = [3.0, 1e6 + 0.5, 1.0], [3.0, 1e6 + 0.5, 2.0]
    return (jnp.array([one, two] * 8, dtype),)


def _flat_scaled(X: Array) -> list[Array]:
    return [model.transform(model.fit(X).params, X + 1.0) for model in (standard, min_max, robust)]


def _flat_by_hand(X: Array) -> list[Array]:
    # 2, 3 of a column half 1, half 2: (x - 3/2) / (1/2), x - 1, and (x - 3/2) / (2 - 1)
    varying = [[1.0, 3.0], [1.0, 2.0], [0.5, 1.5]]
    return [jnp.array([[1.0, 1.0, z] for z in column] * 8, X.dtype) for column in varying]


ROWS, COUNTED = Domain(_rows, SHAPES), Domain(_counted, SHAPES)
COLUMN = Domain(_column, LENGTHS)

CASES = (
    Case("preprocessing.standard/fit", TOPIC, "solution", _fitted(standard),
         hand_standard.parameters, ROWS, ROUNDING, "variance as a mean over pairs"),
    Case("preprocessing.standard/jacobian", TOPIC, "jacobian", jax.jacrev(_scaled(standard)),
         hand_standard.jacobian, Domain(_weighted_column, LENGTHS), ROUNDING,
         "dr/dx_k = p_k z_k", _scaled(standard)),
    Case("preprocessing.standard/outliers", TOPIC, "identity", _with_outlier, _mixture,
         Domain(_mixed, LENGTHS), ROUNDING, "variance of a mixture of two groups"),
    Case("preprocessing.min_max/fit", TOPIC, "solution", _fitted(min_max), hand_min_max.ends,
         COUNTED, EXACT, "numbers that no other undercuts"),
    Case("preprocessing.min_max/jacobian", TOPIC, "jacobian", jax.jacrev(_scaled(min_max)),
         hand_min_max.jacobian, COLUMN, ROUNDING, "chain rule", _scaled(min_max)),
    Case("preprocessing.robust/fit", TOPIC, "solution", _fitted(robust), hand_robust.parameters,
         COUNTED, ROUNDING, "Hyndman, Fan (1996), definition 7, of repeated rows"),
    Case("preprocessing.robust/quantiles", TOPIC, "solution",
         lambda X, **kw: tuple(robust.fit(X, quantile_range=RANGE, **kw).params),
         lambda X, **kw: hand_robust.parameters(X, quantile_range=RANGE, **kw), COUNTED, ROUNDING,
         "Hyndman, Fan (1996), definition 7, of repeated rows"),
    Case("preprocessing.robust/jacobian", TOPIC, "jacobian", jax.jacrev(_scaled(robust)),
         hand_robust.jacobian, COLUMN, ROUNDING, "a quantile moves with the rows it is made of",
         _scaled(robust)),
    Case("preprocessing.robust/breakdown", TOPIC, "identity", _outliers_borne, _breakdown, COLUMN,
         EXACT, HUBER),
    Case("preprocessing.robust/bounded", TOPIC, "bound", _spread_of_contaminated, _clean_range,
         COLUMN, ROUNDING, HUBER, mutants=(lambda x: 1e-3 * _clean_range(x),)),
    Case("preprocessing/round-trip", TOPIC, "identity", _there_and_back,
         lambda X, **kw: [X, X, X], ROWS, ROUNDING, "an affine map and its inverse"),
)  # fmt: skip
SPECIAL = (
    Case("preprocessing/constant@columns", TOPIC, "solution", _flat_scaled, _flat_by_hand, _flat,
         EXACT, "scale 1 where nothing varies"),
)  # fmt: skip
