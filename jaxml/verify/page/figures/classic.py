"""Support vectors, feature maps, neighborhoods and independent features."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import datasets, kernels
from jaxml.bayes import gaussian
from jaxml.closed_form import kernels as by_hand
from jaxml.closed_form.neighbors import knn as knn_by_hand
from jaxml.neighbors import knn
from jaxml.svm import dual
from jaxml.verify.page.canvas import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, Axes, label, log
from jaxml.verify.page.figures.figure import Figure, quick

__all__ = ["FIGURES"]


def _mesh(low: float, high: float, count: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b = np.meshgrid(np.linspace(low, high, count), np.linspace(low, high, count))
    return a, b, np.stack([a.ravel(), b.ravel()], axis=1)


def _svm(left: Axes, right: Axes) -> str:
    rng = np.random.default_rng(4)
    X = np.concatenate(
        [rng.normal((-1.3, -0.8), 0.8, (30, 2)), rng.normal((1.3, 0.8), 0.8, (30, 2))]
    )
    y = np.repeat([-1.0, 1.0], 30)
    a, b, grid = _mesh(-4, 4)
    C = np.array([0.05, 10.0])

    def fits(X: jax.Array) -> tuple:
        def one(C: jax.Array) -> tuple:
            params, info = dual.fit(X, y, kernel=kernels.Linear(), C=C)
            return params.dual_coef, dual.decision_function(params, grid), info.residual

        return jax.vmap(one)(jnp.asarray(C))

    alphas, scores, residual = quick(fits)(X)
    for ax, alpha, score, c in zip((left, right), alphas, scores, C, strict=True):
        z = score.reshape(a.shape)
        ax.contour(a, b, z, levels=[-1, 0, 1], colors=[GREY, INK, GREY],
                   linewidths=(0.9, 1.4, 0.9), linestyles=["--", "-", "--"])  # fmt: skip
        for sign, color, mark in ((-1, BLUE, "o"), (1, ORANGE, "^")):
            ax.plot(*X[y == sign].T, mark, color=color, markersize=3.5)
        held = np.abs(alpha) > 1e-6
        ax.plot(*X[held].T, "o", markersize=8, markerfacecolor="none", markeredgecolor=RED,
                markeredgewidth=0.8)  # fmt: skip
        label(ax, f"C = {c:g}: {held.sum()} support vectors")
    return (
        "Circles: rows with a dual coefficient above 0; all others could be removed without "
        f"change. Dashed: the margin. Violations of the KKT conditions: {residual[0]:.0e} and "
        f"{residual[1]:.0e}, below the tolerance of 1e-3."
    )


def _kernel_trick(left: Axes, right: Axes) -> str:
    rng = np.random.default_rng(5)
    angle = rng.uniform(0, 2 * np.pi, 80)
    radius = np.where(np.arange(80) < 40, 0.6, 1.7) + 0.18 * rng.standard_normal(80)
    X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    y = np.where(np.arange(80) < 40, -1.0, 1.0)
    a, b, grid = _mesh(-2.5, 2.5)
    kernel = kernels.Polynomial(degree=2, gamma=1.0, coef0=1.0)

    def compute(X: jax.Array) -> tuple:
        params = dual.fit(X, y, kernel=kernel, C=1.0).params
        F = by_hand.polynomial_features(X, degree=2, gamma=1.0, coef0=1.0)
        each = (kernel, kernels.RBF(0.5), kernels.Laplacian(0.5))
        return dual.decision_function(params, grid), F @ F.T, [kernels.gram(k, X) for k in each]

    score, product, grams = quick(compute)(X)
    K, eigen = grams[0], [np.linalg.eigvalsh(gram) for gram in grams]
    left.contourf(
        a, b, score.reshape(a.shape), levels=[-99, 0, 99], colors=[BLUE, ORANGE], alpha=0.12
    )
    left.contour(a, b, score.reshape(a.shape), levels=[0], colors=INK, linewidths=1.2)
    left.plot(*X[y < 0].T, "o", color=BLUE, markersize=3.5)
    left.plot(*X[y > 0].T, "^", color=ORANGE, markersize=3.5)
    left.set_aspect("equal")
    label(left, "Degree 2 separates rings")
    for values, color, name in zip(
        eigen, (BLUE, ORANGE, GREEN), ("polynomial", "RBF", "Laplacian"), strict=True
    ):
        kept = np.maximum(values[::-1] / values.max(), 1e-18)
        right.plot(np.arange(1, 81), kept, ".-", color=color, label=name, linewidth=0.9)
    log(right, "y")
    label(right, "Eigenvalues of Gram matrices", "index", "relative to the largest",
          legend="center right")  # fmt: skip
    least = min(float(v.min() / v.max()) for v in eigen)
    return (
        f"The kernel (x'z + 1)² and the inner product of the 6 explicit features differ by at most "
        f"{np.abs(K - product).max() / np.abs(K).max():.0e}, and its Gram matrix has rank 6. No "
        f"eigenvalue is below {least:.0e} of the largest: rounding."
    )


def _knn(left: Axes, right: Axes) -> str:
    rng = np.random.default_rng(6)
    X = np.concatenate([rng.normal((0, 0), 1.0, (50, 2)), rng.normal((1.6, 1.2), 0.8, (50, 2))])
    y = np.repeat([0, 1], 50)
    a, b, grid = _mesh(-3, 4, 70)
    shares = quick(lambda X: [knn.predict_proba(X, y, grid, k=k, n_classes=2) for k in (1, 15)])(X)
    near, many = (share[:, 1].reshape(a.shape) for share in shares)
    left.contour(a, b, near, levels=[0.5], colors=GREY, linewidths=0.9)
    left.contour(a, b, many, levels=[0.5], colors=INK, linewidths=1.6)
    left.plot(*X[y == 0].T, "o", color=BLUE, markersize=3)
    left.plot(*X[y == 1].T, "^", color=ORANGE, markersize=3)
    left.plot([], [], color=GREY, linewidth=0.9, label="k = 1")
    left.plot([], [], color=INK, label="k = 15")
    label(left, "Boundary of the majority", legend="lower right")
    for d, color in ((2, GREY), (10, GREEN), (100, BLUE), (1000, PURPLE)):
        Z = rng.standard_normal((300, d))
        t = ((Z[::2] - Z[1::2]) ** 2).sum(axis=1) / (2 * d)
        right.hist(t, bins=np.linspace(0, 3, 46), density=True, histtype="step", color=color,
                   label=f"d = {d}", linewidth=1.3)  # fmt: skip
    label(right, "Squared distances over their mean", "", "density", legend="upper right")
    measured = float(knn.concentration(rng.standard_normal((200, 100))))
    return (
        f"Of normal coordinates squared distances spread by √(2/d): {measured:.3f} measured in 100 "
        f"dimensions, {knn_by_hand.spread_of_normal(100) ** 0.5:.3f} by theory. In 1000 dimensions "
        "the nearest row is hardly nearer than any other."
    )


def _naive_bayes(left: Axes, right: Axes) -> str:
    data = datasets.iris()
    X, y = np.asarray(data.X, np.float64)[:, [0, 2]], np.asarray(data.y)
    theta = np.linspace(0, 2 * np.pi, 120)
    circle = np.stack([np.cos(theta), np.sin(theta)])
    grid = np.linspace(1, 7, 200)
    for c, (color, mark) in enumerate(zip((BLUE, ORANGE, GREEN), "os^", strict=True)):
        rows = X[y == c]
        left.plot(*rows.T, mark, color=color, markersize=2.8, label=data.target_names[c])
        mean, sd = rows.mean(axis=0), rows.std(axis=0)
        left.plot(*(mean[:, None] + 2 * sd[:, None] * circle), color=color, linewidth=1)
    label(left, "Each class, its features independent", "sepal length / cm", "petal length / cm",
          legend="upper left")  # fmt: skip
    at = np.stack([np.full(200, 5.9), grid], axis=1)

    def compute(X: jax.Array) -> tuple:
        fitted = gaussian.fit(X, y, n_classes=3).params
        return gaussian.predict_proba(fitted, at), gaussian.predict(fitted, X)

    proba, found = quick(compute)(X)
    for c, color in enumerate((BLUE, ORANGE, GREEN)):
        right.plot(grid, proba[:, c], color=color)
    label(right, "Posterior at a sepal of 5.9 cm", "petal length / cm", "probability")
    inside = float(np.asarray(np.corrcoef(X[y == 2].T))[0, 1])
    right_share = (found == y).mean()
    return (
        f"The ellipses have no tilt, though within virginica the two lengths correlate with "
        f"{inside:.2f}: the assumption is wrong, and still {right_share:.0%} of the rows are "
        "classified right."
    )


FIGURES = {
    "svm": Figure(_svm, (
        "Two clouds with a wide margin at C = 0.05 and many circled support vectors",
        "The same with a narrow margin at C = 10 and few support vectors",
    )),
    "kernel-trick": Figure(_kernel_trick, (
        "An inner and an outer ring of points, separated by a closed curve",
        "Eigenvalues of three Gram matrices: the polynomial one drops to zero after six, none is "
        "negative",
    )),
    "knn": Figure(_knn, (
        "Two clouds: the boundary of one neighbor is ragged, that of fifteen smooth",
        "Histograms of relative distances: wide in 2 dimensions, a spike at 1 in 1000",
    )),
    "naive-bayes": Figure(_naive_bayes, (
        "Three classes of iris with ellipses whose axes are parallel to the coordinates",
        "Posterior of the three classes against petal length: they take turns",
    )),
}  # fmt: skip
