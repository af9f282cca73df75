"""Linear regression: what collinear columns do, what L1 and L2 do, and the priors behind them."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import datasets, penalties
from jaxml.linear import lasso, least_squares, ridge
from jaxml.verify.page.canvas import BLUE, GREEN, GREY, ORANGE, RED, Axes, label, log
from jaxml.verify.page.figures.figure import Figure, quick

__all__ = ["FIGURES"]

KEPT = (1e-2, 0.1, 1.0)  # penalties of which the shrinkage is shown


def _diabetes() -> tuple[np.ndarray, np.ndarray]:
    data = datasets.diabetes()
    X, y = np.asarray(data.X, np.float64), np.asarray(data.y, np.float64)
    return (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()


def normal_equation(left: Axes, right: Axes) -> str:
    """Two columns ever more alike: the variance of a coefficient, and what ridge leaves of it."""
    rng = np.random.default_rng(0)
    a, b, noise = rng.standard_normal((3, 60))
    gaps = np.geomspace(1.0, 1e-3, 13)

    def at(gap: jax.Array) -> tuple[jax.Array, ...]:
        X = jnp.stack([a, a + gap * b], axis=1)
        y = X.sum(axis=1) + 0.5 * noise
        params = least_squares.fit(X, y, method="qr").params
        found = least_squares.diagnostics(params, X, y)
        small = ridge.fit(X, y, l2=1e-2).params.coef
        return found.variance_inflation[0], found.condition_number, params.coef, small

    vif, condition, plain, shrunk = quick(jax.vmap(at))(gaps)
    left.plot(gaps, vif, "o-", color=BLUE, label="variance inflation")
    left.plot(gaps, np.square(condition), "s--", color=ORANGE, label="cond(X)² = cond(X'X)")
    log(left, "x", "y")
    left.invert_xaxis()
    label(left, "Two columns become one", "distance between the columns", legend="upper left")
    right.axhline(1.0, color=GREY, linewidth=1)
    right.plot(gaps, plain, "o-", color=BLUE)
    right.plot(gaps, shrunk, "s--", color=GREEN)
    right.plot([], [], "o-", color=BLUE, label="least squares")
    right.plot([], [], "s--", color=GREEN, label="ridge, l2 = 0.01")
    right.set_yscale("symlog", linthresh=4)
    right.set_yticks([-100, -10, 0, 10, 100], ["−100", "−10", "0", "10", "100"])
    log(right, "x")
    right.invert_xaxis()
    label(right, "Both coefficients are 1", "distance between the columns", legend="lower left")
    return (
        f"At a distance of 1/1000 the variance of a coefficient is {vif[-1]:.1e} times what it "
        f"would be alone, and least squares answers {plain[-1][0]:.0f} and {plain[-1][1]:.0f} "
        f"where ridge answers {shrunk[-1][0]:.2f} and {shrunk[-1][1]:.2f}."
    )


def l1_l2(first: Axes, second: Axes, third: Axes, fourth: Axes) -> str:
    """The paths of lasso and ridge, the shrinkage by direction, and the balls they are bound to."""
    X, y = _diabetes()
    l1, l2 = np.geomspace(0.6, 1e-3, 40), np.geomspace(100.0, 1e-3, 40)

    def paths(X: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
        every = jnp.concatenate([l2, jnp.array([*KEPT, 0.0])])
        fits = jax.vmap(lambda c: ridge.fit(X, y, l2=c).params.coef)(every)
        return lasso.path(X, y, l1=jnp.asarray(l1)).params.coef, fits[:40], fits[40:]

    sparse, shrunk, kept = quick(paths)(X, y)
    for ax, penalty, path, title in (
        (first, l1, sparse, "Lasso: coefficients join one by one"),
        (second, l2, shrunk, "Ridge: all shrink, none is 0"),
    ):
        ax.plot(penalty, path, linewidth=1.2)
        log(ax, "x")
        ax.invert_xaxis()
        label(ax, title, "l1" if ax is first else "l2", "coefficient")
    _shrinkage(third, X, kept)
    corner, round_one = _balls(fourth)
    half = l1.size // 2
    return (
        f"Ten standardized measurements of diabetes patients. At l1 = {l1[half]:.3f} lasso sets "
        f"{(sparse[half] == 0).sum()} of 10 coefficients to exactly 0; the smallest of any ridge "
        f"fit is {np.abs(shrunk).min():.0e}. Marks: fits; curves: s²/(s² + n l2). Of one loss, the "
        f"best point of the diamond is ({corner[0]:.2f}, {corner[1]:.2f}), a corner; that of the "
        f"disc ({round_one[0]:.2f}, {round_one[1]:.2f})."
    )


def _shrinkage(ax: Axes, X: np.ndarray, fits: np.ndarray) -> None:
    _, s, V = np.linalg.svd(X, full_matrices=False)
    grid = np.linspace(0.5 * s.min(), 1.05 * s.max(), 100)
    *kept, plain = fits @ V.T
    for l2, fit, color, mark in zip(KEPT, kept, (BLUE, ORANGE, GREEN), "os^", strict=True):
        ax.plot(grid, grid**2 / (grid**2 + len(X) * l2), color=color, linewidth=1)
        ax.plot(s, fit / plain, mark, color=color, label=f"l2 = {l2:g}")
    label(ax, "What ridge keeps of a direction", "singular value of X", "ridge / least squares",
          legend="lower right")  # fmt: skip


def _balls(ax: Axes) -> tuple[np.ndarray, np.ndarray]:
    """The best points of 1/2 ||w - best||^2 within the balls of L1 and of L2."""
    best = np.array([0.45, 1.6])
    c = np.linspace(0.0, 1.6, 401)
    # An orthonormal design: lasso subtracts c from every coefficient, ridge divides by 1 + c.
    sparse = np.stack([np.asarray(penalties.prox_l1(jnp.asarray(best), float(x))) for x in c[::8]])
    shrunk = best[None] / (1 + c[:, None])
    t = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(t), np.sin(t)])
    ax.plot([1, 0, -1, 0, 1], [0, 1, 0, -1, 0], color=ORANGE, label="|w₁| + |w₂| = 1")
    ax.plot(*circle, color=BLUE, label="w₁² + w₂² = 1")
    touch = []
    for path, size, color in (
        (sparse, np.abs(sparse).sum(axis=1), ORANGE),
        (shrunk, np.linalg.norm(shrunk, axis=1), BLUE),
    ):
        w = path[np.argmin(np.abs(size - 1))]
        ax.plot(*(best[:, None] + np.linalg.norm(w - best) * circle), color=GREY, linewidth=0.8)
        ax.plot(*path.T, ":", color=color, linewidth=1.2)
        ax.plot(*w, "o", color=color, markersize=6)
        touch.append(w)
    ax.plot(*best, "+", color=RED, markersize=9, markeredgewidth=1.6)
    ax.set(xlim=(-1.9, 2.9), ylim=(-1.2, 2.4), aspect="equal")
    label(ax, "Where the loss first touches", "w₁", "w₂", legend="lower right")
    return touch[0], touch[1]


def bayesian_regularization(left: Axes, right: Axes) -> str:
    """Gaussian and Laplace priors, and the posterior modes that they imply for one coefficient."""
    w = np.linspace(-4, 4, 241)
    left.plot(w, np.exp(-(w**2) / 2) / np.sqrt(2 * np.pi), color=BLUE, label="Gaussian, L2")
    b = 1 / np.sqrt(2)  # of equal variance
    left.plot(w, np.exp(-np.abs(w) / b) / (2 * b), "--", color=ORANGE, label="Laplace, L1")
    label(left, "Priors of equal variance", "coefficient w", "density", legend="upper right")
    z = np.linspace(-3, 3, 121)

    # The design 1 with one observation z: mode of 1/2 (w - z)^2 + l2/2 w^2, l2 = sigma^2/tau^2 = 1.
    def modes(z: jax.Array) -> tuple[jax.Array, jax.Array]:
        def fit(z: jax.Array) -> jax.Array:
            return ridge.fit(jnp.ones((1, 1)), z[None], l2=1.0, fit_intercept=False).params.coef[0]

        return jax.vmap(fit)(z), penalties.prox_l1(z, 1.0)

    mode, soft = quick(modes)(z)
    right.plot(z, z, color=GREY, linewidth=1, label="flat prior")
    right.plot(z, mode, color=BLUE, label="Gaussian: z/2")
    right.plot(z, soft, "--", color=ORANGE, label="Laplace: soft threshold")
    label(right, "Mode of the posterior", "observation z", "mode of w", legend="upper left")
    return (
        "Noise variance 1 and prior variance 1 make l2 = 1, a prior scale of 1 makes l1 = 1: the "
        "Gaussian halves every observation, the Laplace prior subtracts 1 and stops at 0."
    )


FIGURES = {
    "normal-equation": Figure(normal_equation, (
        "Variance inflation and the squared condition number grow as the inverse square of the "
        "distance between two columns",
        "Coefficients of least squares fly apart as the columns approach; those of ridge stay at 1",
    )),
    "l1-l2": Figure(l1_l2, (
        "Lasso coefficients against falling penalty: flat at zero, then leaving it one after "
        "another",
        "Ridge coefficients against falling penalty: all grow smoothly from near zero",
        "Ratio of ridge to least-squares coefficients in each singular direction, on the curves "
        "of theory",
        "Round contours of a loss touch the L1 diamond at a corner and the L2 disc beside it",
    )),
    "bayesian-regularization": Figure(bayesian_regularization, (
        "Gaussian and Laplace densities of equal variance; the Laplace density has a peak at 0",
        "Posterior mode against observation: half of it under a Gaussian prior, a soft threshold "
        "under a Laplace prior",
    )),
}  # fmt: skip
