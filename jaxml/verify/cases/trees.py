"""Trees against brute force: impurities, the splits that lower them most, Newton's steps."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import losses
from jaxml._typing import Array
from jaxml.closed_form.trees import boosting as hand_boosting
from jaxml.closed_form.trees import impurity as hand_impurity
from jaxml.closed_form.trees import tree as hand_tree
from jaxml.trees import _criteria, _newton, boosting, impurity, tree
from jaxml.verify.case import ELEMENTWISE, ROUNDING, Case, Tolerance
from jaxml.verify.domains import Domain, Generator, Numbers, design, labels

__all__ = ["CASES", "SPECIAL"]

K = 3
GINI, TREE, BOOSTING = ("gini", "decision-tree"), ("decision-tree",), ("boosting",)
CART = "Breiman et al. (1984), "
XGB = "Chen, Guestrin (2016), "
SHAPES = ((10, 2), (6, 1))
CANCELS = Tolerance(1e-12, 1e-5, "terms of size 1 that cancel", scale=1.0)


def _shares(rng: Generator, k: int) -> tuple[Numbers]:
    return (0.6 * rng.dirichlet(np.ones(k)) + 0.4 / k,)


def _targets(rng: Generator, n: int) -> tuple[Numbers, Numbers]:
    return rng.standard_normal(n) + 1, rng.uniform(0.5, 2.0, n)


def _rows(rng: Generator, n: int, d: int, *, criterion: str) -> tuple[Numbers, ...]:
    X, s = design(rng, n, d), rng.uniform(0.5, 2.0, n)
    if criterion == "variance":
        return X, X[:, 0] + rng.standard_normal(n), s
    return X, labels(rng, n, K), s


def _clear(rng: Generator, n: int, d: int, *, criterion: str) -> tuple[Numbers, ...]:
    while True:  # until the best split is no rounding away from the second
        X, y, s = _rows(rng, n, d, criterion=criterion)
        gains = np.sort(
            np.ravel(hand_tree.splits(jnp.asarray(X), jnp.asarray(y), jnp.asarray(s), criterion, K))
        )
        if gains[-1] - gains[-2] > 1e-2 * gains[-1]:
            return X, y, s


def _parted(rng: Generator, n: int, d: int, *, criterion: str) -> tuple[Numbers, ...]:
    X, y, s = _rows(rng, n, d, criterion=criterion)
    return y, s, (X[:, 0] > np.median(X[:, 0])).astype(float)


def _decrease(y: Array, s: Array, left: Array, *, criterion: str) -> Array:
    """What the search of the library makes of one split."""
    if criterion == "variance":
        u, _ = _criteria.target_statistics(y, s)
    else:
        u = _criteria.class_statistics(y, s, K)
    sides = [(u * side[:, None]).sum(axis=0) for side in (left, 1 - left)]
    return _criteria.CRITERIA[criterion].gain(*sides) / s.sum()


def _fitted(X: Array, y: Array, s: Array, *, criterion: str) -> tuple[Array, ...]:
    """The root of a tree of depth 2, the values of its sides, and the decrease by all splits."""
    k = None if criterion == "variance" else K
    params, _ = tree.fit(X, y, criterion=criterion, max_depth=2, n_classes=k, sample_weight=s)
    side = (X[:, params.feature[0]] > params.threshold[0]).astype(X.dtype)
    predicted = (tree.predict if k is None else tree.predict_proba)(params, X)
    # a side's value is the mean of its rows' predictions
    values = [
        ((s * w).reshape(-1, *[1] * (predicted.ndim - 1)) * predicted).sum(axis=0) / (s * w).sum()
        for w in (1 - side, side)
    ]
    return params.feature[0], params.threshold[0], *values, params.decrease.sum()


def _scores(rng: Generator, n: int, *, loss: str) -> tuple[Numbers, Numbers]:
    if loss == "softmax":
        return 2 * rng.standard_normal((n, K)), labels(rng, n, K)
    z = 2 * rng.standard_normal(n)
    return z, rng.standard_normal(n) if loss == "squared" else labels(rng, n, 2).astype(float)


@partial(jax.jit, static_argnums=0)
def _derivatives(loss: Any, z: Array, y: Array) -> tuple[Array, Array]:
    if z.ndim == 2:
        return _newton.derivatives(loss, z, y)
    g, h = _newton.derivatives(loss, z[:, None], y)
    return g[:, 0], h[:, 0]


def _sums(rng: Generator) -> tuple[Numbers, ...]:
    return tuple(np.asarray(v) for v in (*rng.normal(size=2), *rng.uniform(0.2, 2.0, 3)))


def _newton_from(G_L: Array, G_R: Array, H_L: Array, H_R: Array, l2: Array) -> Array:
    """The argmin of the quadratic, by autodiff from a point far off."""
    del G_R, H_R
    Q = partial(hand_boosting.quadratic, G=G_L, H=H_L, l2=l2)
    w = jnp.asarray(3.0, G_L.dtype)
    return w - jax.grad(Q)(w) / jax.grad(jax.grad(Q))(w)


def _boosted(X: Array, y: Array, s: Array) -> tuple[Array, ...]:
    found = boosting.fit(
        X, y, n_estimators=1, learning_rate=1.0, max_depth=1, l2=0.3, sample_weight=s
    ).params
    t, w = found.threshold[0, 0, 0], found.value[0, 0]
    return found.feature[0, 0, 0], t, found.gain.sum(), w[1], w[2], found.base[0]


def _boosted_by_hand(X: Array, y: Array, s: Array) -> tuple[Array, ...]:
    m = (s * y).sum() / s.sum()
    base = jnp.log(m / (1 - m))  # p = m  <=>  z = log(m / (1 - m))
    g, h = hand_boosting.logistic(jnp.full_like(y, base), y)
    return *hand_boosting.stump(X, g, h, s, jnp.asarray(0.3, X.dtype)), base


def _clear_boost(rng: Generator, n: int, d: int) -> tuple[Numbers, ...]:
    while True:
        X, y, s = _rows(rng, n, d, criterion="variance")
        y = (y > np.median(y)).astype(float)
        if (gains := _gains(X, y, s))[-1] - gains[-2] > 0.05 * gains[-1]:
            return X, y, s


def _gains(X: Numbers, y: Numbers, s: Numbers) -> Numbers:
    """Gains of all splits where g = m - y and h = 1, rough: only ties are to be avoided."""
    g, found = (s * y).sum() / s.sum() - y, []
    for j in range(X.shape[1]):
        for i in np.argsort(X[:, j])[:-1]:
            left = X[:, j] <= X[i, j]
            G, H = s * g, s
            least = [(a[left].sum(), a[~left].sum()) for a in (G, H)]
            found.append(sum(G**2 / (H + 0.3) for G, H in zip(*least, strict=True)))
    return np.sort(found)


def _pure(key: Any, dtype: Any) -> tuple[Array, ...]:
    del key
    return (jnp.array([0.0, 1.0, 0.0], dtype),)


def _tied(key: Any, dtype: Any) -> tuple[Array, ...]:
    """Two equal features, whose splits at 0.5 and at 2.5 gain the same."""
    del key
    x = jnp.arange(10, dtype=dtype)
    s = jnp.where(x < 4, 1, 0).astype(dtype)  # the others are not there
    y = jnp.array([0, 1, 1, 2, 0, 0, 0, 2, 2, 2], jnp.int32)
    return jnp.stack([x, x], axis=1), y, s


def _tied_by_hand(X: Array, y: Array, s: Array) -> tuple[Array, ...]:
    # 1 - (1 + 4 + 1)/16 = 5/8 before, nothing after the second split
    del y, s
    dtype = X.dtype
    return (
        jnp.int32(0), jnp.asarray(0.5, dtype), jnp.array([1, 0, 0], dtype),
        jnp.array([0, 2 / 3, 1 / 3], dtype), jnp.asarray(5 / 8, dtype),
    )  # fmt: skip


CRITERIA = ("gini", "entropy", "variance")
SHARES, TARGETS = Domain(_shares, ((4,), (2,))), Domain(_targets, ((9,), (2,)))
SUMS = Domain(_sums)
CASES = (
    Case("trees.impurity/gini-gradient", GINI, "gradient",
         jax.grad(impurity.gini), hand_impurity.gini_gradient, SHARES, ROUNDING,
         CART + "section 4.3", impurity.gini),
    Case("trees.impurity/gini", GINI, "identity",
         impurity.gini, hand_impurity.pairs, SHARES, ROUNDING, "two draws differ, pair by pair"),
    Case("trees.impurity/entropy-gradient", TREE, "gradient",
         jax.grad(impurity.entropy), hand_impurity.entropy_gradient, SHARES, ROUNDING,
         "product rule", impurity.entropy),
    Case("trees.impurity/variance-gradient", TREE, "gradient",
         jax.grad(impurity.variance), hand_impurity.variance_gradient, TARGETS, CANCELS,
         "chain rule through the mean, which drops out", impurity.variance),
    *(
        Case(f"trees.impurity/decrease-{c}", GINI if c == "gini" else TREE, "identity",
             partial(_decrease, criterion=c),
             partial(hand_tree.decrease, criterion=c, n_classes=K),
             Domain(partial(_parted, criterion=c), SHAPES), CANCELS, CART + "definition 2.13")
        for c in CRITERIA
    ),
    *(
        Case(f"trees.tree/depth-2-{c}", TREE, "solution",
             partial(_fitted, criterion=c), partial(hand_tree.depth_2, criterion=c, n_classes=K),
             Domain(partial(_clear, criterion=c), ((10, 2),)), CANCELS,
             "every threshold tried, in the root and in both sides")
        for c in CRITERIA
    ),
    *(
        Case(f"trees.boosting/derivatives-{name}", BOOSTING, "identity",
             partial(_derivatives, loss), getattr(hand_boosting, name),
             Domain(partial(_scores, loss=name), ((6,), (3,))), CANCELS, XGB + "section 2.2")
        for name, loss in (
            ("squared", losses.squared), ("logistic", losses.logistic),
            ("softmax", losses.softmax_cross_entropy),
        )
    ),
    Case("trees.boosting/leaf-weight", BOOSTING, "identity",
         lambda G_L, G_R, H_L, H_R, l2: boosting.leaf_weight(G_L, H_L, l2),
         lambda G_L, G_R, H_L, H_R, l2: hand_boosting.leaf_weight(G_L, H_L, l2),
         SUMS, ELEMENTWISE, XGB + "eq. (5)"),
    Case("trees.boosting/argmin", BOOSTING, "identity",
         _newton_from, lambda G_L, G_R, H_L, H_R, l2: hand_boosting.leaf_weight(G_L, H_L, l2),
         SUMS, CANCELS, "a Newton step solves a quadratic"),
    Case("trees.boosting/split-gain", BOOSTING, "identity",
         lambda G_L, G_R, H_L, H_R, l2: boosting.split_gain(G_L, H_L, G_R, H_R, l2),
         lambda G_L, G_R, H_L, H_R, l2: hand_boosting.split_gain(G_L, H_L, G_R, H_R, l2),
         SUMS, CANCELS, XGB + "eq. (7)"),
    Case("trees.boosting/stump", BOOSTING, "solution",
         _boosted, _boosted_by_hand, Domain(_clear_boost, ((10, 2),)),
         Tolerance(1e-9, 1e-4, "the constant score, by Newton's steps", scale=1.0),
         "every threshold tried, from sums of g and h by hand"),
)  # fmt: skip
SPECIAL = (
    Case("trees.impurity/entropy@pure", TREE, "identity",
         lambda p: (jax.grad(impurity.entropy)(p), 1 + impurity.entropy(p)),
         lambda p: (jnp.array([0, -1, 0], p.dtype), jnp.ones((), p.dtype)), _pure, ROUNDING,
         "0 log 0 = 0, with a derivative of 0 by convention"),
    Case("trees.tree/depth-2@ties", TREE, "solution",
         partial(_fitted, criterion="gini"), _tied_by_hand, _tied, ROUNDING,
         "of equal gains the lowest feature, then the lowest threshold; fractions by hand"),
)  # fmt: skip
