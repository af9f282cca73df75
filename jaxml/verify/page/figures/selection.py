"""What a fit's error is made of, and how it is measured on data that were not fitted."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import datasets
from jaxml.analysis import bias_variance
from jaxml.closed_form.analysis import bias_variance as by_hand
from jaxml.linear import ridge
from jaxml.model_selection import cross_validate, kfold_weights, stratified_kfold_weights
from jaxml.verify.page.canvas import BLUE, GREY, INK, ORANGE, RED, Axes, label, log
from jaxml.verify.page.figures.figure import Figure, quick

__all__ = ["FIGURES"]


def _bias_variance(left: Axes, right: Axes) -> str:
    """Polynomials of degree 8 under ridge penalties from none to strong."""
    rng = np.random.default_rng(0)
    n, m, sigma, count = 24, 60, 0.4, 200
    x, z = np.sort(rng.uniform(-1, 1, n)), np.linspace(-0.95, 0.95, m)
    X, Z = ((t[:, None] ** np.arange(1, 9)) for t in (x, z))
    f, f_test = np.sin(4 * x), np.sin(4 * z)
    grid = np.geomspace(1e-7, 10, 15)

    def draw(key: jax.Array) -> tuple:
        return jnp.asarray(X), f + sigma * jax.random.normal(key, (n,), jnp.float64)

    def at(l2: jax.Array) -> tuple:
        found = bias_variance.decompose(
            partial(ridge.fit, l2=l2), ridge.predict, draw, Z, f_test,
            key=jax.random.key(0), n_datasets=count, noise_variance=sigma**2,
        )  # fmt: skip
        S = by_hand.ridge_smoother(jnp.asarray(X), jnp.asarray(Z), l2=l2)
        terms = by_hand.terms(
            S, jnp.asarray(f), jnp.asarray(f_test), noise_variance=jnp.asarray(sigma**2)
        )
        draws = jax.vmap(lambda k: draw(k)[1])(jax.random.split(jax.random.key(1), 12))
        return found, terms, draws @ S.T

    found, (bias2, variance), fits = quick(lambda grid: jax.lax.map(at, grid))(grid)
    left.plot(z, fits[10].T, color=ORANGE, linewidth=0.6)
    left.plot(z, fits[1].T, color=BLUE, linewidth=0.6)
    left.plot(z, f_test, color=INK, linewidth=2, label="truth")
    left.plot([], [], color=BLUE, label=f"l2 = {grid[1]:.0e}")
    left.plot([], [], color=ORANGE, label=f"l2 = {grid[10]:.0e}")
    left.set_ylim(-2.2, 2.6)
    label(left, "Twelve data sets, two penalties", "x", legend="upper center")
    for curve, estimate, color, mark, name in (
        (bias2, found.bias2, RED, "o", "bias²"), (variance, found.variance, BLUE, "s", "variance"),
        (bias2 + variance + sigma**2, found.error, INK, "^", "error"),
    ):  # fmt: skip
        right.plot(grid, curve, color=color, linewidth=1)
        right.errorbar(grid, estimate.value, 2 * estimate.standard_error, fmt=mark, color=color,
                       markersize=3.5, elinewidth=0.8, label=name)  # fmt: skip
    right.axhline(sigma**2, color=GREY, linestyle=":", label="noise")
    log(right, "x", "y")
    right.set_ylim(bottom=1e-4)
    label(right, "Error of degree 8", "l2", legend="lower right")
    gap = np.abs(found.error.value - found.bias2.value - found.variance.value - sigma**2)
    return (
        f"Marks: {count} drawn data sets, with two standard errors; curves: from the design by "
        "hand. Error less bias² + variance + noise is at most "
        f"{(gap / found.error.standard_error).max():.1f} standard errors."
    )


def _kfold(left: Axes, middle: Axes, right: Axes) -> str:
    y = np.sort(np.asarray(datasets.wine().y))[::6]
    n = len(y)
    data = datasets.diabetes()
    X, t = np.asarray(data.X, np.float64), np.asarray(data.y, np.float64)
    X, t = (X - X.mean(axis=0)) / X.std(axis=0), (t - t.mean()) / t.std()
    grid = np.geomspace(1e-4, 10, 25)

    def compute(X: jax.Array, t: jax.Array) -> tuple:
        weights = kfold_weights(len(X), n_splits=5, key=jax.random.key(1))
        scores = cross_validate(
            ridge.fit, _error, X, t, weights=weights, grid={"l2": jnp.asarray(grid)}
        )
        by_class = stratified_kfold_weights(
            jnp.asarray(y), n_splits=5, n_classes=3, key=jax.random.key(0)
        )
        return kfold_weights(n, n_splits=5), by_class, 2 * scores

    plain, by_class, found = quick(compute)(X, t)
    for ax, folds, title in (
        (left, plain, "Consecutive folds"), (middle, by_class, "Stratified folds"),
    ):  # fmt: skip
        held = 1 - folds
        shown = np.where(held > 0, y[None] + 1, 0)
        ax.imshow(shown, aspect="auto", cmap=_colors(), vmin=0, vmax=3, interpolation="nearest")
        ax.grid(visible=False)
        label(ax, title, "row, sorted by class", "fold")
    right.plot(grid, found, color=GREY, linewidth=0.7)
    right.plot(grid, found.mean(axis=1), color=BLUE, label="mean of five folds")
    best = found.mean(axis=1).argmin()
    right.plot(grid[best], found.mean(axis=1)[best], "o", color=RED)
    log(right, "x")
    label(right, "Ridge on diabetes data", "l2", "held-out squared error", legend="upper left")
    return (
        f"Held-out rows in the color of their class: every row once. 125 fits in one compiled call "
        f"choose l2 = {grid[best]:.2g}."
    )


def _error(
    params: ridge.Params, X: jax.Array, y: jax.Array, *, sample_weight: jax.Array
) -> jax.Array:
    return ridge.loss(params, X, y, l2=0.0, sample_weight=sample_weight)


def _colors() -> object:
    from matplotlib.colors import ListedColormap  # noqa: PLC0415

    return ListedColormap([(0.5, 0.5, 0.5, 0.15), "#3f7fd0", "#dd7a35", "#2f9d6c"])


FIGURES = {
    "bias-variance": Figure(_bias_variance, (
        "Fits to twelve data sets: wild with a small penalty, alike and flat with a large one",
        "Bias squared rises, variance falls with the penalty; the error is least between",
    )),
    "kfold": Figure(_kfold, (
        "Consecutive folds of rows sorted by class hold out one class at a time",
        "Stratified folds hold out some rows of each class",
        "Held-out error against the penalty for five folds, and their mean with its minimum",
    )),
}  # fmt: skip
