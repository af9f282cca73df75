"""Scores of classifiers: ranking, decisions, probabilities."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import datasets, metrics
from jaxml.bayes import gaussian
from jaxml.linear import logistic
from jaxml.verify.page.canvas import BLUE, GREY, INK, ORANGE, RED, Axes, label
from jaxml.verify.page.figures.figure import Figure, quick

__all__ = ["FIGURES"]


def _tumors(columns: slice = slice(0, 3)) -> tuple[np.ndarray, np.ndarray]:
    data = datasets.breast_cancer()
    X, y = np.asarray(data.X, np.float64)[:, columns], np.asarray(data.y)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def _auc(left: Axes, right: Axes) -> str:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], (90, 60))
    s = np.round(np.concatenate([rng.normal(0, 1, 90), rng.normal(1.2, 1, 60)]), 1)  # with ties
    auc, curve = quick(lambda s: (metrics.roc_auc(y, s), metrics.roc_curve(y, s)))(s)
    left.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
    left.fill_between(curve.fpr, curve.tpr, color=BLUE, alpha=0.15, linewidth=0)
    left.plot(curve.fpr, curve.tpr, color=BLUE)
    left.text(0.55, 0.3, f"area {float(auc):.4f}", fontsize=9)
    label(left, "ROC curve", "false positive rate", "true positive rate")
    bins = np.arange(-3.25, 4.5, 0.5)
    right.hist(s[y == 0], bins, color=GREY, alpha=0.7, label="90 negatives")
    right.hist(s[y == 1], bins, color=ORANGE, alpha=0.6, label="60 positives")
    label(right, "The scores", "score", "rows", legend="upper left")
    difference = s[y == 1][:, None] - s[y == 0][None]
    pairs = (difference > 0).mean() + 0.5 * (difference == 0).mean()
    area = np.trapezoid(curve.tpr, curve.fpr)
    return (
        f"Of 5400 pairs {pairs:.4f} are in order, ties counted half; trapezoids under the curve "
        f"give {area:.4f}: the three agree to {max(abs(pairs - auc), abs(area - auc)):.0e}."
    )


def _f1(left: Axes, right: Axes) -> str:
    X, y = _tumors(slice(1, 2))
    y = 1 - y  # malignant is what is looked for

    def compute(X: jax.Array) -> tuple:
        p = logistic.predict_proba(logistic.fit(X, y).params, X)
        cuts = jnp.linspace(0.1, 0.8, 36)

        def at(cut: jax.Array) -> tuple:
            found = (p >= cut).astype(jnp.int32)
            return metrics.precision(y, found), metrics.recall(y, found), metrics.f1(y, found)

        return cuts, jax.vmap(at)(cuts)

    cuts, (precision, recall, f1) = quick(compute)(X)
    left.plot(cuts, precision, color=BLUE, label="precision P")
    left.plot(cuts, recall, color=ORANGE, label="recall R")
    left.plot(cuts, f1, color=INK, linewidth=2, label="F1")
    left.set_ylim(0, 1.02)
    label(left, "Malignant tumors by their texture", "threshold", legend="lower left")
    a, b = np.meshgrid(np.linspace(0.01, 1, 100), np.linspace(0.01, 1, 100))
    lines = right.contour(a, b, 2 * a * b / (a + b), levels=np.arange(0.1, 1, 0.2), colors=GREY,
                          linewidths=0.9)  # fmt: skip
    right.clabel(lines, fmt="%.1f", fontsize=7, colors=INK)
    right.plot(precision, recall, color=RED, linewidth=2)
    label(right, "F1 over precision and recall", "P", "R")
    best = np.nanargmax(f1)
    bound = 2 * np.minimum(precision, recall)
    return (
        f"F1 is largest, {f1[best]:.2f}, at a threshold of {cuts[best]:.2f}, and never above "
        f"twice the smaller of P and R (nearest: {np.nanmin(bound - f1):.2f} below)."
    )


def _calibration(left: Axes, right: Axes) -> str:
    X, y = _tumors(slice(0, 10))
    rows = np.random.default_rng(0).permutation(len(y))
    train, test = rows[:284], rows[284:]

    def compute(X: jax.Array) -> dict:
        a = logistic.predict_proba(logistic.fit(X[train], y[train], l2=1e-2).params, X[test])
        bayes = gaussian.fit(X[train], y[train], n_classes=2).params
        b = gaussian.predict_proba(bayes, X[test])[:, 1]
        return {
            name: (p, metrics.expected_calibration_error(y[test], p, n_bins=5),
                   metrics.brier_score(y[test], p),
                   metrics.brier_decomposition(y[test], p, n_bins=5))
            for name, p in (("logistic", a), ("naive Bayes", b))
        }  # fmt: skip

    found = quick(compute)(X)
    left.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
    for name, color, mark in (("logistic", BLUE, "o"), ("naive Bayes", ORANGE, "s")):
        p, error = found[name][0], float(found[name][1])
        which = np.minimum((p * 5).astype(int), 4)
        points = [(p[which == b].mean(), y[test][which == b].mean(), (which == b).sum())
                  for b in range(5) if (which == b).any()]  # fmt: skip
        f, o, n = np.array(points).T
        left.plot(f, o, "-", color=color, linewidth=1)
        left.scatter(f, o, s=6 + n, color=color, marker=mark, alpha=0.7, linewidth=0,
                     label=f"{name}, ECE {error:.3f}")  # fmt: skip
    label(left, "Said and seen, size = rows", "mean probability", "share that was benign",
          legend="upper left")  # fmt: skip
    where = np.arange(4)
    for i, (name, color) in enumerate((("logistic", BLUE), ("naive Bayes", ORANGE))):
        _, _, brier, parts = found[name]
        values = [brier, parts.reliability, parts.resolution, parts.uncertainty]
        right.bar(
            where + 0.38 * i - 0.19, [float(v) for v in values], 0.36, color=color, label=name
        )
    right.set_xticks(where, ["Brier", "reliability", "resolution", "uncertainty"])
    right.grid(visible=False, axis="x")
    label(right, "The Brier score and its parts", legend="upper left")
    gap = 0.0
    for _, _, brier, parts in found.values():
        whole = parts.reliability - parts.resolution + parts.uncertainty + parts.within
        gap = max(gap, abs(float(brier - whole)))
    return (
        "Naive Bayes counts correlated measurements as independent evidence and is too sure. "
        f"Brier = reliability − resolution + uncertainty + what varies within bins, to {gap:.0e}."
    )


FIGURES = {
    "auc": Figure(_auc, (
        "ROC curve well above the diagonal, the area below it shaded",
        "Histograms of the scores of two overlapping classes",
    )),
    "f1": Figure(_f1, (
        "Precision rises and recall falls with the threshold; F1 has its maximum between",
        "Contours of F1 over precision and recall, with the path of the threshold",
    )),
    "calibration": Figure(_calibration, (
        "Reliability diagram: logistic regression near the diagonal, naive Bayes far from it",
        "Bars of the Brier score, reliability, resolution and uncertainty of both models",
    )),
}  # fmt: skip
