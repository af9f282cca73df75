"""Directions, clusters, mixtures and maps: structure without labels."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import datasets
from jaxml.closed_form.latent import kmeans as kmeans_by_hand
from jaxml.closed_form.latent import pca as pca_by_hand
from jaxml.closed_form.latent import tsne as tsne_by_hand
from jaxml.latent import gmm, kmeans, pca, tsne
from jaxml.verify.page.canvas import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, Axes, label, log
from jaxml.verify.page.figures.figure import Figure, quick

__all__ = ["FIGURES"]

CIRCLE = np.stack([np.cos(t := np.linspace(0, 2 * np.pi, 100)), np.sin(t)])


def _digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    data = datasets.digits()
    return np.asarray(data.X, np.float64)[:count], np.asarray(data.y)[:count]


def _pca(left: Axes, middle: Axes, right: Axes) -> str:
    rng = np.random.default_rng(7)
    X = rng.standard_normal((120, 2)) @ np.array([[1.9, 0.9], [0.0, 0.6]])
    D = _digits(400)[0]

    def fits(X: jax.Array, D: jax.Array) -> tuple:
        return pca.fit(X, n_components=2).params, pca.fit(D, n_components=40).params

    plane, digits = quick(fits)(X, D)
    left.plot(*X.T, ".", color=GREY, markersize=3)
    for v, size, color in zip(
        plane.components, plane.explained_variance, (BLUE, ORANGE), strict=True
    ):
        ends = plane.mean[:, None] + np.outer(v, [-2, 2]) * np.sqrt(size)
        left.plot(*ends, color=color, linewidth=2.2)
    left.set_aspect("equal", adjustable="datalim")
    label(left, "Principal directions, 2 sd long")
    angle = np.linspace(0, np.pi, 181)
    u = np.stack([np.cos(angle), np.sin(angle)])
    S = np.cov(X.T, bias=False)
    middle.plot(np.degrees(angle), np.einsum("it,ij,jt->t", u, S, u), color=INK)
    slopes = []
    for v, color in zip(plane.components, (BLUE, ORANGE), strict=True):
        at = np.degrees(np.arctan2(v[1], v[0])) % 180
        middle.plot(at, v @ S @ v, "o", color=color, markersize=6)
        slopes.append(
            np.linalg.norm(pca_by_hand.riemannian_gradient(jnp.asarray(v), jnp.asarray(S)))
        )
    label(middle, "Variance along a direction", "angle / degrees", "u'Su")
    kept = np.arange(1, 41)
    error = []
    total = ((D - D.mean(axis=0)) ** 2).sum() / (len(D) - 1)
    Z = (D - digits.mean) @ digits.components.T
    for k in kept:
        rest = D - digits.mean - Z[:, :k] @ digits.components[:k]
        error.append((rest**2).sum() / (len(D) - 1))
    left_over = total - np.cumsum(digits.explained_variance)
    right.plot(kept, left_over, color=BLUE, label="sum of the other eigenvalues")
    right.plot(kept[::3], error[::3], "o", color=ORANGE, label="error of reconstruction")
    right.set_ylim(0)
    label(right, "Digits, 64 pixels", "components kept", legend="upper right")
    gap = np.max(np.abs(left_over - error)) / total
    return (
        f"The variance is stationary exactly at the two directions (gradient on the circle: "
        f"{max(slopes):.0e}). Twenty of 64 components keep {1 - left_over[19] / total:.0%} of the "
        f"variance; curve and marks differ by {gap:.0e} of it."
    )


def _kmeans(left: Axes, middle: Axes, right: Axes) -> str:
    rng = np.random.default_rng(8)
    centers = np.array([[-2.0, 1.2], [-2.0, -1.2], [2.0, 1.4], [2.4, -1.2]])
    X = (centers[:, None] + 0.45 * rng.standard_normal((4, 30, 2))).reshape(-1, 2)
    inits = np.array([X[[5, 35, 65, 95]], X[[64, 80, 95, 110]]])

    def fits(X: jax.Array) -> tuple:
        def one(init: jax.Array) -> tuple:
            params, info = kmeans.fit(X, n_clusters=4, init=kmeans.Params(init))
            return params.centroids, kmeans.predict(params, X), info.objective

        return jax.lax.map(one, inits)

    centroids, labels, inertia = quick(fits)(X)
    ones = np.ones(len(X))
    for ax, C, which, J, start, color in zip(
        (left, middle), centroids, labels, inertia, inits, (BLUE, RED), strict=True
    ):
        for c, mark in enumerate("o^sv"):
            ax.plot(*X[which == c].T, mark, markersize=3)
        ax.plot(*C.T, "X", color=INK, markersize=8)
        label(ax, f"Ended at J = {J:.0f}")
        params, path = (start,), []
        for _ in range(9):
            path.append(float(kmeans_by_hand.inertia(params, X, sample_weight=ones)))
            params = kmeans_by_hand.means(params, jnp.asarray(X), sample_weight=jnp.asarray(ones))
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


def _tsne(left: Axes, right: Axes) -> str:
    X, y = _digits(200)
    P = tsne.affinities(X, perplexity=15.0)
    params, info = tsne.fit(X, key=jax.random.key(0), perplexity=15.0, max_iter=500)
    Y = np.asarray(params.embedding)
    for c in range(10):
        left.scatter(*Y[y == c].T, s=26, marker=f"${c}$", linewidth=0,
                     color=(BLUE, ORANGE, GREEN, PURPLE, RED)[c % 5])  # fmt: skip
    left.set(xticks=[], yticks=[])
    label(left, "200 digits, drawn as themselves")
    s = np.linspace(0.02, 0.98, 97)
    crowded, torn = tsne_by_hand.crowded_and_torn(jnp.asarray(s))
    right.plot(s, np.asarray(torn), color=RED, label="neighbors torn apart")
    right.plot(s, np.asarray(crowded), color=BLUE, label="strangers crowded")
    right.set_ylim(0, 2.4)
    label(right, "What KL(P‖Q) charges, four points", "share within the pairs", "KL(P‖Q)",
          legend="upper left")  # fmt: skip
    del P
    cost = [float(v) for v in tsne_by_hand.crowded_and_torn(jnp.asarray(0.95))]
    return (
        f"KL(P‖Q) = {float(info.objective):.2f} for the map. On the right: at a share of 0.95, to "
        f"tear apart what belongs together costs {cost[1]:.2f}, to crowd what does not costs "
        f"{cost[0]:.2f}; KL(Q‖P) would exchange the two."
    )


FIGURES = {
    "pca": Figure(_pca, (
        "A tilted cloud of points with its long and its short principal direction",
        "Variance against angle, a wave with its maximum and minimum at the principal directions",
        "Reconstruction error of digits falls with the components kept, on the sum of the other "
        "eigenvalues",
    )),
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
    "tsne": Figure(_tsne, (
        "A map of handwritten digits: equal digits lie together",
        "Cost of tearing neighbors apart and of crowding strangers against their share",
    )),
}  # fmt: skip
