"""Clusters and mixtures: hard and soft assignment, and the bound between them."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml.closed_form.latent import kmeans as by_hand
from jaxml.latent import gmm, kmeans
from jaxml.verify.page.canvas import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, Axes, label, log
from jaxml.verify.page.figures.figure import Figure, quick

__all__ = ["FIGURES"]

CIRCLE = np.stack([np.cos(t := np.linspace(0, 2 * np.pi, 100)), np.sin(t)])


def _kmeans(left: Axes, middle: Axes, right: Axes) -> str:
    rng = np.random.default_rng(8)
    centers = np.array([[-2.0, 1.2], [-2.0, -1.2], [2.0, 1.4], [2.4, -1.2]])
    X = (centers[:, None] + 0.45 * rng.standard_normal((4, 30, 2))).reshape(-1, 2)
    inits = np.array([X[[5, 35, 65, 95]], X[[64, 80, 95, 110]]])

    ones = jnp.ones(len(X))

    def fits(X: jax.Array) -> tuple:
        def one(init: jax.Array) -> tuple:
            params, info = kmeans.fit(X, n_clusters=4, init=kmeans.Params(init))

            def step(C: tuple, _: None) -> tuple:
                return by_hand.means(C, X, sample_weight=ones), by_hand.inertia(
                    C, X, sample_weight=ones
                )

            path = jax.lax.scan(step, (init,), None, length=9)[1]
            return params.centroids, kmeans.predict(params, X), info.objective, path

        return jax.lax.map(one, inits)

    centroids, labels, inertia, paths = quick(fits)(X)
    for ax, C, which, J, path, color in zip(
        (left, middle), centroids, labels, inertia, paths, (BLUE, RED), strict=True
    ):
        for c, mark in enumerate("o^sv"):
            ax.plot(*X[which == c].T, mark, markersize=3)
        ax.plot(*C.T, "X", color=INK, markersize=8)
        label(ax, f"Ended at J = {J:.0f}")
        right.plot(
            path, "o-", color=color, label="from one row of each" if ax is left else "unlucky"
        )
    right.set_ylim(0)
    label(right, "J never increases", "step", legend="upper right")
    return (
        "The same rows from two inits: both fits are local optima, one "
        f"{inertia[1] / inertia[0]:.1f} times worse. Crosses: centroids, each the mean of its "
        "rows."
    )


def _gmm(left: Axes, right: Axes) -> str:
    rng = np.random.default_rng(9)
    X = np.concatenate([
        rng.standard_normal((90, 2)) @ np.array([[1.1, 0.6], [0.0, 0.5]]) - (1.3, 0.2),
        rng.standard_normal((60, 2)) * (0.6, 0.8) + (1.4, 0.6),
    ])  # fmt: skip

    def fitted(X: jax.Array) -> tuple:
        init = kmeans.Params(jnp.array([[-1.0, 0.0], [1.0, 0.0]]))
        means = init.centroids
        start = gmm.Params(jnp.full(2, 0.5), means, jnp.stack([jnp.eye(2)] * 2))
        params = gmm.fit(X, n_components=2, init=start, tol=1e-6).params
        return params, gmm.responsibilities(params, X)

    params, r = quick(fitted)(X)
    left.scatter(*X.T, c=r[:, 1], cmap="coolwarm", s=12, linewidth=0)
    for m, S, color in zip(params.means, params.covariances, (BLUE, RED), strict=True):
        left.plot(*(m[:, None] + 2 * np.linalg.cholesky(S) @ CIRCLE), color=color, linewidth=1.3)
    label(left, "Shared responsibility")
    x = np.linspace(-2, 2, 161)
    for variance, color in ((1.0, GREY), (0.3, GREEN), (0.05, BLUE), (0.005, PURPLE)):
        two = gmm.Params(jnp.full(2, 0.5), jnp.array([[-1.0], [1.0]]), jnp.full(2, variance))
        right.plot(x, np.asarray(gmm.responsibilities(two, x[:, None]))[:, 1], color=color,
                   label=f"σ² = {variance:g}")  # fmt: skip
    label(right, "Means at −1 and 1", "x", "responsibility of the right", legend="upper left")
    unsure = ((r[:, 1] > 0.1) & (r[:, 1] < 0.9)).mean()
    return (
        f"{unsure:.0%} of the rows belong to no component with 90 %. As the variance vanishes the "
        "posterior becomes a step: the assignment of k-means."
    )


def _em(left: Axes, right: Axes) -> str:
    rng = np.random.default_rng(10)
    X = np.concatenate([
        rng.standard_normal((80, 2)) * (0.5, 1.0) - (1.2, 0.0),
        rng.standard_normal((80, 2)) * (0.9, 0.4) + (1.2, 0.5),
    ])  # fmt: skip
    start = gmm.Params(
        jnp.full(2, 0.5), jnp.array([[-0.5, 0.3], [0.5, 0.2]]), jnp.stack([jnp.eye(2)] * 2)
    )

    def run(X: jax.Array) -> tuple:
        def step(params: gmm.Params, _: None) -> tuple:
            q = gmm.responsibilities(params, X)
            after = gmm.em_step(params, X)
            likelihood = gmm.log_likelihood(params, X).mean()
            bounds = gmm.elbo(params, X, q), gmm.elbo(after, X, q)
            return after, (params, likelihood, *bounds)

        return jax.lax.scan(step, start, None, length=31)[1]

    path, likelihood, at_posterior, raised = quick(run)(X)
    left.plot(*X.T, ".", color=GREY, markersize=2.5)
    for t, color in ((0, GREY), (2, GREEN), (8, ORANGE), (30, BLUE)):
        for j in range(2):
            L = np.linalg.cholesky(path.covariances[t, j])
            left.plot(*(path.means[t, j][:, None] + 2 * L @ CIRCLE), color=color, linewidth=1.2,
                      label=f"step {t}" if j == 0 else None)  # fmt: skip
    left.legend(loc="upper right", ncols=2)
    left.set(title="Two components find their rows", ylim=(-3.5, 4.4))
    steps, top = np.arange(16), likelihood[-1] + 1e-4
    right.plot(steps, top - likelihood[:16], "o-", color=BLUE, label="log-likelihood")
    saw = np.stack([at_posterior[:15], raised[:15]], axis=1).ravel()
    right.plot(np.repeat(steps, 2)[1:-1], top - saw, "--", color=ORANGE, linewidth=1.2,
               label="its bound (ELBO)")  # fmt: skip
    log(right, "y")
    label(right, "What is missing to the end", "step", "per row", legend="lower left")
    return (
        "After each E-step the bound touches the log-likelihood (gap "
        f"{np.max(np.abs(at_posterior - likelihood)):.0e}); the M-step raises the bound, and the "
        "log-likelihood by at least as much: its least increase is "
        f"{np.diff(likelihood).min():.0e}."
    )


FIGURES = {
    "kmeans": Figure(_kmeans, (
        "Four groups, each found by its own centroid",
        "The same rows with a group split in two and two groups sharing one centroid",
        "The objective over the steps from both inits: falling, then flat at different heights",
    )),
    "gmm": Figure(_gmm, (
        "Two overlapping clouds with ellipses; points between them have mixed colors",
        "Responsibility against x: a sigmoid that becomes a step as the variance shrinks",
    )),
    "em": Figure(_em, (
        "Ellipses of two components at steps 0, 2, 8 and 30, moving onto two clouds",
        "Log-likelihood nearing its end step by step, with the bound as a sawtooth behind it",
    )),
}  # fmt: skip
