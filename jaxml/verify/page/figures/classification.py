"""Linear classification: likelihoods, their curvature, squared error's failure, class weights."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import datasets, losses
from jaxml.closed_form import losses as by_hand
from jaxml.linear import logistic, softmax
from jaxml.model_selection import balanced_weights
from jaxml.verify.page.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, Axes, label, log
from jaxml.verify.page.figures.figure import Figure, quick

__all__ = ["FIGURES"]


def _logistic(left: Axes, right: Axes) -> str:
    data = datasets.breast_cancer()
    x, y = np.asarray(data.X, np.float64)[:, 0], np.asarray(data.y)
    x = (x - x.mean()) / x.std()

    def fitted(X: jax.Array) -> tuple:
        params, info = logistic.fit(X, y)
        return params, info.n_iter, logistic.standard_errors(params, X, y)

    params, n_iter, errors = quick(fitted)(x[:, None])
    jitter = np.random.default_rng(0).uniform(-0.03, 0.03, x.size)
    grid = np.linspace(x.min(), x.max(), 150)
    left.scatter(x[::3], (y + jitter)[::3], s=5, color=GREY, alpha=0.6, linewidth=0)
    left.plot(grid, np.asarray(logistic.predict_proba(params, grid[:, None])), color=BLUE)
    label(left, "Tumors: benign (1) or not (0)", "mean radius, standardized", "probability")
    z = np.linspace(-6, 6, 121)
    p = np.asarray(jax.vmap(jax.grad(losses.logistic))(jnp.asarray(z), jnp.ones(z.size)))
    right.plot(
        z, np.asarray(losses.logistic(jnp.asarray(z), jnp.ones(z.size))), color=BLUE, label="loss"
    )
    right.plot(z, p, color=ORANGE, label="gradient σ(z) − 1")
    curvature = np.asarray(by_hand.logistic_curvature(jnp.asarray(z), jnp.ones(z.size)))
    right.plot(z, curvature, color=GREEN, label="curvature σ(1 − σ)")
    label(right, "The loss of one row with y = 1", "score z", legend="upper right")
    w, se = float(params.coef[0]), float(errors.coef[0])
    return (
        f"Newton's method needs {int(n_iter)} steps; coefficient {w:.2f} with standard error "
        f"{se:.2f} from the inverse Hessian. The gradient comes from autodiff, the curvature "
        f"from the closed form."
    )


def _softmax_regression(left: Axes, right: Axes) -> str:
    data = datasets.iris()
    X, y = np.asarray(data.X, np.float64)[:, 2:], np.asarray(data.y)
    params = quick(lambda X: softmax.fit(X, y, n_classes=3, l2=1e-3).params)(X)
    a, b = np.meshgrid(np.linspace(0.5, 7.3, 90), np.linspace(-0.1, 2.7, 70))
    grid = np.stack([a.ravel(), b.ravel()], axis=1)
    proba = np.asarray(softmax.predict_proba(params, grid)).reshape(*a.shape, 3)
    for c, (color, mark) in enumerate(zip((BLUE, ORANGE, GREEN), "os^", strict=True)):
        left.contour(a, b, proba[..., c], levels=[0.5, 0.9], colors=color, linewidths=(1.4, 0.7))
        rows = y == c
        left.plot(*X[rows].T, mark, color=color, markersize=3, label=data.target_names[c])
    label(left, "Iris: probabilities 0.5 and 0.9", "petal length / cm", "petal width / cm",
          legend="upper left")  # fmt: skip
    n, k = 40, 3
    Z = (X - X.mean(axis=0))[:: len(X) // n]
    S = np.asarray(softmax.predict_proba(params, X[:: len(X) // n]))
    blocks = [[(Z * (S[:, [i]] * ((i == j) - S[:, [j]]))).T @ Z for j in range(k)]
              for i in range(k)]  # fmt: skip
    values = np.linalg.eigvalsh(np.block(blocks))[::-1]
    sizes = np.maximum(np.abs(values) / values[0], 1e-18)
    right.bar(np.arange(6), sizes, color=[BLUE] * 4 + [RED] * 2)
    log(right, "y")
    right.set_ylim(1e-19, 3)
    label(right, "Eigenvalues of the Hessian", "index", "relative to the largest")
    right.text(4.5, 1e-13, "shift of all\nscores", ha="center", color=RED, fontsize=8)
    return (
        "Adding one vector to every class's weights changes no probability: for 2 features the "
        f"Hessian has 2 eigenvalues of 0 (here {abs(values[-1]) / values[0]:.0e}), which l2 lifts."
    )


def _mse_classification(left: Axes, right: Axes) -> str:
    z = np.linspace(-8, 8, 161)
    one = jnp.ones(z.size)
    squared = jax.vmap(jax.grad(lambda z, y: losses.squared(jax.nn.sigmoid(z), y)))
    slope = np.asarray(squared(jnp.asarray(z), one))
    entropy = np.asarray(jax.vmap(jax.grad(losses.logistic))(jnp.asarray(z), one))
    s = 1 / (1 + np.exp(-z))
    left.plot(z, (s - 1) ** 2 / 2, color=RED, label="squared error")
    left.plot(
        z,
        np.asarray(losses.logistic(jnp.asarray(z), one)) / 8,
        color=BLUE,
        label="cross-entropy / 8",
    )
    chord = np.array([-8.0, 1.5])
    ends = (1 / (1 + np.exp(-chord)) - 1) ** 2 / 2
    left.plot(chord, ends, "o--", color=GREY, linewidth=1)
    label(left, "The loss of one row with y = 1", "score z, y = 1", "loss", legend="upper right")
    right.plot(z, np.abs(slope), color=RED, label="squared error")
    right.plot(z, np.abs(entropy), color=BLUE, label="cross-entropy")
    log(right, "y")
    label(right, "Size of the gradient", "score z, y = 1", legend="lower center")
    middle = 1 / (1 + np.exp(-chord.mean()))
    excess = (middle - 1) ** 2 / 2 - ends.mean()
    return (
        f"The squared error lies {excess:.2f} above the middle of its chord: not convex. At z = "
        f"−8, where the prediction is most wrong, its gradient is {abs(slope[0]):.1e}; that of "
        f"cross-entropy is {abs(entropy[0]):.4f}."
    )


def _class_weight(left: Axes, right: Axes) -> str:
    rng = np.random.default_rng(3)
    n = (180, 20)
    X = np.concatenate([rng.normal((0, 0), 1.0, (n[0], 2)), rng.normal((1.7, 1.7), 0.8, (n[1], 2))])
    y = np.repeat([0, 1], n)
    s = np.asarray(balanced_weights(jnp.asarray(y), n_classes=2), np.float64)
    rows = np.repeat(np.arange(200), np.where(y == 1, 9, 1))

    first = np.concatenate([[True], np.diff(rows) > 0])  # of the copies of a row
    weights = np.stack([first, first * s[rows], np.ones(rows.size)])

    def fits(X: jax.Array, weights: jax.Array) -> logistic.Params:
        fit = jax.vmap(lambda s: logistic.fit(X, y[rows], l2=1e-3, sample_weight=s).params)
        return fit(weights)

    each = quick(fits)(X[rows], weights)
    plain, weighted, replicated = (
        logistic.Params(each.coef[i], each.intercept[i]) for i in range(3)
    )
    left.plot(*X[y == 0].T, "o", color=GREY, markersize=2.5, label="180 rows")
    left.plot(*X[y == 1].T, "^", color=ORANGE, markersize=4, label="20 rows")
    a = np.array([-3.0, 4.0])
    recall = []
    for params, color, dash, text in (
        (plain, BLUE, "--", "equal weights"), (weighted, PURPLE, "-", "n / (K n_c)"),
    ):  # fmt: skip
        w, b = np.asarray(params.coef), float(params.intercept)
        left.plot(a, -(b + w[0] * a) / w[1], dash, color=color, label=text)
        found = np.asarray(logistic.predict(params, X))
        recall.append((found[y == 1].mean(), 1 - found[y == 0].mean()))
    left.set(xlim=(-3, 4), ylim=(-3, 4.5))
    label(left, "The boundary of a rare class", legend="lower left")
    where = np.arange(2)
    right.bar(where - 0.18, [r[0] for r in recall], 0.34, color=ORANGE, label="of the rare class")
    right.bar(where + 0.18, [r[1] for r in recall], 0.34, color=GREY, label="of the other")
    right.set_xticks(where, ["equal weights", "n / (K n_c)"])
    right.set_ylim(0, 1.25)
    label(right, "Share found", legend="upper left")
    gap = np.abs(np.asarray(weighted.coef) - np.asarray(replicated.coef)).max()
    return (
        f"Weights 5/9 and 5 equal nine copies of each rare row: the two fits differ by {gap:.0e}. "
        f"The share of the rare class that is found rises from {recall[0][0]:.2f} to "
        f"{recall[1][0]:.2f}."
    )


FIGURES = {
    "logistic": Figure(_logistic, (
        "Probability of a benign tumor falls along a sigmoid of its radius, from 1 to 0",
        "Logistic loss, its gradient from -1 to 0 and its curvature, a bell of height 1/4",
    )),
    "softmax-regression": Figure(_softmax_regression, (
        "Three species of iris in two measurements, with the contours of their probabilities",
        "Six eigenvalues of the Hessian: four positive, two zero to rounding",
    )),
    "mse-classification": Figure(_mse_classification, (
        "Squared error after a sigmoid rises above its chord; cross-entropy stays below",
        "Gradient sizes on a logarithmic scale: squared error's vanishes for wrong predictions",
    )),
    "class-weight": Figure(_class_weight, (
        "Two clouds of 180 and 20 points; the weighted boundary moves towards the large class",
        "Bars: the rare class is found far more often with weights, the other a little less",
    )),
}  # fmt: skip
