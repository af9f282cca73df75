"""Scales of features, and a score that counts them."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import datasets, metrics
from jaxml.linear import least_squares
from jaxml.preprocessing import min_max, robust, standard
from jaxml.verify.page.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, Axes, label, log
from jaxml.verify.page.figures.figure import Figure, quick

__all__ = ["FIGURES"]


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
