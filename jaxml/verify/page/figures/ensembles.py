"""What many trees do together: averaged, added up, and voting."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import datasets, losses
from jaxml.analysis import bias_variance
from jaxml.trees import adaboost, boosting, tree
from jaxml.verify.page.canvas import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, Axes, label, log
from jaxml.verify.page.figures.figure import Figure, quick

__all__ = ["FIGURES"]


def _bagging(left: Axes, right: Axes) -> str:
    rng = np.random.default_rng(0)
    sets, members, n = 30, 32, 60
    x, z = np.sort(rng.uniform(-1, 1, n)), np.linspace(-0.95, 0.95, 40)
    truth = np.sin(4 * z)
    targets = np.sin(4 * x) + 0.4 * rng.standard_normal((sets, n))
    counts = rng.multinomial(n, np.full(n, 1 / n), (sets, members)).astype(float)

    def one(y: jax.Array, s: jax.Array) -> jax.Array:
        fitted = tree.fit(x[:, None], y, criterion="variance", max_depth=5, sample_weight=s)
        return tree.predict(fitted.params, z[:, None])

    each = jax.vmap(jax.vmap(one, (None, 0)))
    F = quick(lambda y, s: jax.lax.map(lambda a: each(a[0][None], a[1][None])[0], (y, s)))(
        targets, counts
    )
    left.plot(z, F[0, :8].T, color=GREY, linewidth=0.6)
    left.plot(z, F[0].mean(axis=0), color=BLUE, linewidth=2, label="mean of 32 trees")
    left.plot(z, truth, "--", color=INK, linewidth=1.2, label="truth")
    label(left, "Trees on resampled rows", "x", legend="upper center")
    whole = bias_variance.average(F)
    s2, rho = float(whole.member), float(whole.correlation)
    sizes = np.array([1, 2, 4, 8, 16, 32])
    center = F - F.mean(axis=0)
    measured = [
        np.mean(
            [center[:, k : k + B].mean(axis=1).var(axis=0).mean() for k in range(0, members, B)]
        )
        for B in sizes
    ]
    fine = np.geomspace(1, 32, 60)
    right.plot(fine, rho * s2 + (1 - rho) * s2 / fine, color=BLUE, label="ρs² + (1 − ρ)s²/B")
    right.plot(sizes, measured, "o", color=ORANGE, label="measured, 30 data sets")
    right.axhline(rho * s2, color=GREY, linestyle=":", label="ρs²")
    right.set_ylim(0)
    log(right, "x", base=2)
    label(right, "Variance of the mean", "trees B", legend="upper right")
    gap = abs(float(whole.measured) - float(whole.formula)) / float(whole.formula)
    return (
        f"Two trees on resamples of the same rows correlate with {rho:.2f}, so no number of them "
        f"gets below {rho:.2f} of one tree's variance. At B = 32 measured and formula differ by "
        f"{gap:.0e}."
    )


def _boosting(left: Axes, right: Axes) -> str:
    data = datasets.breast_cancer()
    X, y = np.asarray(data.X, np.float64), np.asarray(data.y, np.float64)
    rows = np.random.default_rng(0).permutation(len(y))
    train, test = rows[:380], rows[380:]
    rates = np.array([0.05, 0.3, 1.0])
    rounds = 40

    def staged(X: jax.Array, y: jax.Array) -> jax.Array:
        def at(rate: jax.Array) -> tuple:
            fit = partial(boosting.fit, n_estimators=rounds, max_depth=2, n_bins=32)
            params = fit(X[train], y[train], learning_rate=rate).params

            def after(t: jax.Array) -> tuple:
                kept = jnp.where(jnp.arange(rounds)[:, None, None] < t, params.value, 0.0)
                z = boosting.decision_function(params._replace(value=kept), X)
                loss = losses.logistic(z, y)
                return loss[train].mean(), loss[test].mean()

            return jax.lax.map(after, jnp.arange(rounds + 1))

        return jax.lax.map(at, rates)

    fitted, held = quick(staged)(X, y)
    for i, (rate, color) in enumerate(zip(rates, (BLUE, GREEN, ORANGE), strict=True)):
        left.plot(fitted[i], "--", color=color, linewidth=1)
        left.plot(held[i], color=color, label=f"rate {rate:g}")
    left.plot([], [], "--", color=GREY, linewidth=1, label="rows it grew on")
    log(left, "y")
    label(left, "Log loss on tumors held out", "trees", legend="lower left")
    p = 1 / (1 + np.exp(-np.array([-1.0, 0.5, 1.5, 0.2])))
    g, h = p - np.array([0, 1, 1, 1]), p * (1 - p)
    w = np.linspace(-0.6, 1.6, 200)
    for l2, color in ((0.0, GREY), (1.0, BLUE), (5.0, PURPLE)):
        J = g.sum() * w + (h.sum() + l2) * w**2 / 2
        best = float(boosting.leaf_weight(g.sum(), h.sum(), l2))
        right.plot(w, J, color=color, label=f"l2 = {l2:g}")
        right.plot(best, g.sum() * best + (h.sum() + l2) * best**2 / 2, "o", color=color)
    right.set_ylim(-0.7, 1.0)
    label(right, "Gw + (H + l2)w²/2 of a leaf", "leaf weight w", legend="upper right")
    return (
        f"Held-out loss after {rounds} trees: "
        + ", ".join(f"{v:.3f} at rate {r:g}" for v, r in zip(held[:, -1], rates, strict=True))
        + ". On the right the marks are −G/(H + l2), the lowest points of the curves."
    )


def _adaboost(left: Axes, right: Axes) -> str:
    eps = np.linspace(0.02, 0.98, 97)
    left.plot(eps, np.log((1 - eps) / eps) / 2, color=BLUE)
    for e in (0.1, 0.3, 0.5):
        a = np.log((1 - e) / e) / 2
        slope = jax.grad(lambda a, e=e: (1 - e) * jnp.exp(-a) + e * jnp.exp(a))(a)
        left.plot(e, a, "o", color=RED)
        left.text(e + 0.03, a + 0.1, f"dL/dα = {float(slope):.0e}", fontsize=8)
    left.axhline(0, color=GREY, linewidth=0.7)
    label(left, "Weight α of a learner", "weighted error ε", "α")
    rng = np.random.default_rng(1)
    X = rng.standard_normal((300, 4))
    y = (np.sum(X**2, axis=1) > 3.4).astype(int)
    rounds = 60

    def fitted(X: jax.Array) -> tuple:
        params = adaboost.fit(X, y, n_estimators=rounds, n_bins=32).params
        return params.weights, adaboost.staged_decision_function(params, X)

    alpha, scores = quick(fitted)(X)
    margin = (2 * y - 1) * scores * np.cumsum(alpha)[:, None]  # a stage is a mean of votes
    right.plot(np.arange(1, rounds + 1), np.exp(-margin).mean(axis=1), color=BLUE,
               label="exponential loss")  # fmt: skip
    right.plot(np.arange(1, rounds + 1), (margin <= 0).mean(axis=1), color=ORANGE,
               label="training error")  # fmt: skip
    right.set_ylim(0, 1.05)
    label(right, "Stumps on a sphere", "round", legend="upper right")
    first = (margin[0] <= 0).mean()
    return (
        f"The loss bounds the error from above in every round. One stump errs on {first:.0%} of "
        f"the rows, sixty on {(margin[-1] <= 0).mean():.0%}; their weights fall from "
        f"{float(alpha[0]):.2f} to {float(alpha[-1]):.2f}."
    )


FIGURES = {
    "bagging": Figure(_bagging, (
        "Ragged trees on resampled rows and their much smoother mean",
        "Variance of the mean against the number of trees, on the curve of the formula",
    )),
    "boosting": Figure(_boosting, (
        "Log loss against the number of trees for three learning rates, fitted and held out",
        "Quadratic objectives of a leaf for three penalties, their minima marked",
    )),
    "adaboost": Figure(_adaboost, (
        "Weight of a learner against its error: large for good ones, 0 at one half, then negative",
        "Exponential loss and training error falling over sixty rounds, the loss always above",
    )),
}  # fmt: skip
