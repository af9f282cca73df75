"""Directions and maps: structure without labels."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import datasets
from jaxml.closed_form.latent import pca as pca_by_hand
from jaxml.closed_form.latent import tsne as tsne_by_hand
from jaxml.latent import pca, tsne
from jaxml.verify.page.canvas import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, Axes, label
from jaxml.verify.page.figures.figure import Figure, quick

__all__ = ["FIGURES"]


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


def _tsne(left: Axes, right: Axes) -> str:
    X, y = _digits(160)
    params, info = tsne.fit(X, key=jax.random.key(0), perplexity=12.0, max_iter=400)
    Y = np.asarray(params.embedding)
    for c in range(10):
        left.scatter(*Y[y == c].T, s=26, marker=f"${c}$", linewidth=0,
                     color=(BLUE, ORANGE, GREEN, PURPLE, RED)[c % 5])  # fmt: skip
    left.set(xticks=[], yticks=[])
    label(left, "160 digits, drawn as themselves")
    s = np.linspace(0.02, 0.98, 97)
    crowded, torn = tsne_by_hand.crowded_and_torn(jnp.asarray(s))
    right.plot(s, np.asarray(torn), color=RED, label="neighbors torn apart")
    right.plot(s, np.asarray(crowded), color=BLUE, label="strangers crowded")
    right.set_ylim(0, 2.4)
    label(right, "What KL(P‖Q) charges, four points", "share within the pairs", "KL(P‖Q)",
          legend="upper left")  # fmt: skip
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
    "tsne": Figure(_tsne, (
        "A map of handwritten digits: equal digits lie together",
        "Cost of tearing neighbors apart and of crowding strangers against their share",
    )),
}  # fmt: skip
