"""Trees: how a split is chosen, and what counts as important."""

import jax
import numpy as np

from jaxml import datasets
from jaxml.trees import forest, impurity, tree
from jaxml.verify.page.canvas import BLUE, GREEN, ORANGE, Axes, label
from jaxml.verify.page.figures.figure import Figure, quick

__all__ = ["FIGURES"]


def _decision_tree(left: Axes, right: Axes) -> str:
    data = datasets.iris()
    X, y = np.asarray(data.X, np.float64)[:, 2:], np.asarray(data.y)
    a, b = np.meshgrid(np.linspace(0.8, 7.1, 120), np.linspace(0.0, 2.6, 90))
    grid = np.stack([a.ravel(), b.ravel()], axis=1)

    def fitted(X: jax.Array) -> tuple:
        params = tree.fit(X, y, criterion="gini", max_depth=3, n_classes=3).params
        return params, tree.predict(params, grid), tree.predict(params, X)

    params, region, found = quick(fitted)(X)
    left.contourf(a, b, region.reshape(a.shape), levels=[-0.5, 0.5, 1.5, 2.5],
                  colors=[BLUE, ORANGE, GREEN], alpha=0.18)  # fmt: skip
    for c, (color, mark) in enumerate(zip((BLUE, ORANGE, GREEN), "os^", strict=True)):
        left.plot(*X[y == c].T, mark, color=color, markersize=3)
    label(left, "Iris, cut three times", "petal length / cm", "petal width / cm")
    x = X[:, 0]
    cuts = np.unique(x)
    cuts = (cuts[1:] + cuts[:-1]) / 2
    for name, measure, color in (
        ("Gini", impurity.gini, BLUE), ("entropy / 2", impurity.entropy, ORANGE),
    ):  # fmt: skip
        sides = np.stack([x[None] <= cuts[:, None], x[None] > cuts[:, None]])  # side, cut, row
        counts = np.stack([(sides & (y == c)).sum(axis=2) for c in range(3)], axis=-1)
        whole = np.bincount(y) / len(y)
        of = quick(jax.vmap(jax.vmap(measure)))(counts / counts.sum(axis=-1, keepdims=True))
        decrease = float(measure(whole)) - (counts.sum(axis=-1) / len(y) * of).sum(axis=0)
        half = 1.0 if name == "Gini" else 0.5
        right.plot(cuts, half * decrease, color=color, label=name)
        best = np.argmax(decrease)
        right.plot(cuts[best], half * decrease[best], "o", color=color)
    label(right, "Decrease of impurity by one cut", "threshold / cm", legend="upper right")
    return (
        "Every threshold was tried: Gini and entropy choose the cut that separates setosa. The "
        f"tree begins at {float(params.threshold[0]):.2f} cm and classifies "
        f"{(found == y).mean():.0%} of its rows."
    )


def _gini(left: Axes, right: Axes) -> str:
    p = np.linspace(0, 1, 101)
    pairs = np.stack([p, 1 - p], axis=1)
    gini, entropy = quick(
        lambda q: (jax.vmap(impurity.gini)(q), jax.vmap(impurity.entropy)(q))
    )(pairs)  # fmt: skip
    left.plot(p, gini, color=BLUE, label="Gini 2p(1 − p)")
    left.plot(p, entropy / 2, "--", color=ORANGE, label="entropy / 2")
    label(left, "Impurity of two classes", "share of one", legend="lower center")
    data = datasets.wine()
    X, y = np.asarray(data.X, np.float64), np.asarray(data.y)

    def fitted(X: jax.Array) -> tuple:
        key = jax.random.key(0)
        params = forest.fit(X, y, key=key, n_estimators=40, max_depth=4, n_classes=3).params
        return forest.feature_importances(params), forest.predict(params, X)

    importance, found = quick(fitted)(X)
    order = np.argsort(importance)[-7:]
    right.barh(range(7), importance[order], color=BLUE)
    names = [data.feature_names[i].replace("_", " ")[:22] for i in order]
    right.set_yticks(range(7), names)
    right.grid(visible=False, axis="y")
    label(right, "What tells three wines apart", "importance")
    return (
        f"Importances of 13 measurements sum to {importance.sum():.6f}; the seven largest are "
        f"shown. The forest of 40 trees classifies {(found == y).mean():.0%} of the rows it grew "
        "on."
    )


FIGURES = {
    "decision-tree": Figure(_decision_tree, (
        "Iris in two measurements, the plane cut into rectangles of three colors",
        "Decrease of Gini impurity and of entropy against the threshold, with their maxima",
    )),
    "gini": Figure(_gini, (
        "Gini impurity and half the entropy against the share of a class: nearly the same arch",
        "Bars of the seven most important measurements of a forest on wine data",
    )),
}  # fmt: skip
