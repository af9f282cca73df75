"""Scores of predictions, and scales of features."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import datasets, metrics
from jaxml.bayes import gaussian
from jaxml.linear import least_squares, logistic
from jaxml.preprocessing import min_max, robust, standard
from jaxml.verify.page.canvas import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, Axes, label, log
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


def _scaling(left: Axes, middle: Axes, right: Axes) -> str:
    rng = np.random.default_rng(0)
    x = rng.gamma(2.0, 1.0, 80)
    far = np.geomspace(10, 1e4, 13)

    def widths(value: jax.Array) -> tuple:
        X = jnp.concatenate([x, value * jnp.ones(4)])[:, None]
        low = min_max.fit(X).params
        spread = low.max - low.min
        return standard.fit(X).params.scale[0], spread[0], robust.fit(X).params.scale[0]

    def scaled(X: jax.Array) -> list:
        return [s.transform(s.fit(X).params, X)[:, 0] for s in (standard, min_max, robust)]

    growth, values = quick(lambda v, X: (jax.vmap(widths)(v), scaled(X)))(
        far, np.append(x, [12.0] * 4)[:, None]
    )
    names = ("standard", "min-max", "robust")
    rows = rng.uniform(-0.25, 0.25, 84)
    for i, (name, z, color) in enumerate(zip(names, values, (BLUE, ORANGE, GREEN), strict=True)):
        left.plot(z[:80], i + rows[:80], ".", color=color, markersize=3)
        left.plot(z[80:], i + rows[80:], "X", color=RED, markersize=5)
        middle.plot(far, growth[i] / growth[i][0], ("o-", "s--", "^-")[i], color=color, label=name)
    left.set_yticks(range(3), names)
    label(left, "84 numbers, 4 of them outliers", "scaled")
    log(middle, "x", "y")
    label(middle, "How the scale follows them", "the outliers' value", "relative",
          legend="upper left")  # fmt: skip
    X = x[:12, None]
    J = quick(jax.jacobian(lambda x: standard.transform(standard.fit(x[:, None]).params,
                                                        x[:, None])[:, 0]))(X[:, 0])  # fmt: skip
    n, s = 12, X.std()
    z = (X[:, 0] - X.mean()) / s
    hand = (np.eye(n) - 1 / n - np.outer(z, z) / n) / s
    image = right.imshow(J, cmap="RdBu_r", vmin=-1.0, vmax=1.0, interpolation="nearest")
    right.figure.colorbar(image, shrink=0.85)
    right.grid(visible=False)
    label(right, "Jacobian of standardizing 12 rows")
    return (
        "Four outliers in 84 move the robust scale by a factor of "
        f"{growth[2][-1] / growth[2][0]:.2f}, the others without bound. Jacobian by autodiff and "
        f"by hand differ by {np.abs(J - hand).max():.0e}."
    )


def _r2(left: Axes, right: Axes) -> str:
    data = datasets.diabetes()
    rng = np.random.default_rng(0)
    n, extra = 120, 24
    X = np.asarray(data.X, np.float64)[:n, [2, 8, 3]]
    y = np.asarray(data.y, np.float64)[:n]
    X = np.concatenate(
        [(X - X.mean(axis=0)) / X.std(axis=0), rng.standard_normal((n, extra))], axis=1
    )
    counts = np.arange(1, X.shape[1] + 1)

    def at(d: jax.Array) -> tuple:
        # A column of zeros is no column: the minimum-norm fit gives it no coefficient.
        kept = X * (jnp.arange(X.shape[1]) < d)[None, :]
        z = least_squares.predict(least_squares.fit(kept, y, method="svd").params, kept)
        return metrics.r2(y, z), metrics.adjusted_r2(y, z, n_features=d), z

    plain, adjusted, fitted = quick(lambda d: jax.lax.map(at, d))(counts.astype(float))
    left.plot(y, fitted[2], ".", color=BLUE, markersize=4)
    span = [y.min(), y.max()]
    left.plot(span, span, "--", color=GREY, linewidth=1)
    label(left, "Three measurements of diabetes", "observed", "predicted")
    right.plot(counts, plain, "o-", color=BLUE, label="R²")
    right.plot(counts, adjusted, "s-", color=ORANGE, label="adjusted R²")
    right.axvline(3.5, color=PURPLE, linewidth=1, linestyle=":")
    right.text(4.0, plain.min() + 0.01, "from here on noise", color=PURPLE, fontsize=8)
    label(right, "Columns of noise are added", "columns", legend="upper left")
    falls = (np.diff(adjusted) < 0).sum()
    return (
        f"R² never falls: {extra} columns of noise add {plain[-1] - plain[2]:.3f} to it. The "
        f"adjusted one falls {falls} times, and moves by {adjusted[-1] - adjusted[2]:+.3f} in all."
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
    "scaling": Figure(_scaling, (
        "The same numbers scaled in three ways; outliers squeeze the rest under min-max",
        "Scale against the outliers' value: growing for standard and min-max, level for robust",
        "Jacobian of standardization as colors: a strong diagonal over weak entries",
    )),
    "r2": Figure(_r2, (
        "Predicted against observed progression of diabetes",
        "R squared rises with every column of noise; the adjusted one falls",
    )),
}  # fmt: skip
