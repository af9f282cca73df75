"""Batch statistics and random masks: what a layer adds to its inputs' fate."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml.closed_form.nn.norm import batch_norm as norm_by_hand
from jaxml.nn import dropout
from jaxml.nn.norm import batch_norm
from jaxml.verify.page.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, Axes, label, log
from jaxml.verify.page.figures.figure import Figure, quick

__all__ = ["FIGURES"]


def _batch_norm(left: Axes, right: Axes) -> str:
    rng = np.random.default_rng(2)
    n = 16
    x = np.sort(rng.standard_normal(n))[:, None] * 2 + 3
    g = 0.5 * x + 1.0 + 0.6 * rng.standard_normal((n, 1))
    params, state = batch_norm.init(1, dtype=jnp.float64)

    def computed(x: jax.Array, g: jax.Array) -> tuple:
        y, pull = jax.vjp(lambda x: batch_norm.apply(params, state, x, training=True)[0], x)
        wrong = norm_by_hand.backward_with_frozen_moments(params, x, g, eps=1e-5)
        return y, pull(g)[0], wrong, norm_by_hand.dropped(x, g, eps=1e-5)

    y, true, wrong, dropped = quick(computed)(x, g)
    at = np.arange(n)
    left.plot(at, x[:, 0], "o", color=GREY, label="x")
    left.plot(at, y[:, 0], "s", color=BLUE, label="normalized")
    left.axhline(0, color=GREY, linewidth=0.7)
    label(left, "A batch of 16 numbers", "row", legend="upper left")
    right.bar(at - 0.2, wrong[:, 0], 0.4, color=RED, label="moments taken for constants")
    right.bar(at + 0.2, true[:, 0], 0.4, color=BLUE, label="all three paths")
    label(right, "dL/dx", "row", legend="upper left")
    right.set_ylim(top=1.35 * wrong.max())
    return (
        f"The paths through mean and variance take away {float(dropped[0]):.0%} of what the direct "
        f"path brings (norm of the difference over that of the wrong gradient). The true gradient "
        f"sums to {abs(true.sum()):.0e}: shifting the batch changes nothing."
    )


def _dropout(left: Axes, right: Axes) -> str:
    rates = np.array([0.125, 0.25, 0.5, 0.75])
    x = jnp.ones((20000,))
    mean, variance = [], []
    for i, rate in enumerate(rates):
        y = np.asarray(dropout.apply(x, rate=float(rate), key=jax.random.key(i)), np.float64)
        mean.append(y.mean())
        variance.append(y.var())
    grid = np.linspace(0, 0.8, 81)
    left.plot(grid, grid / (1 - grid), color=BLUE, label="p / (1 − p)")
    left.plot(rates, variance, "o", color=ORANGE, label="variance of 20 000 ones")
    left.plot(rates, mean, "s", color=GREEN, label="their mean")
    left.axhline(1.0, color=GREY, linewidth=0.7)
    label(left, "Inverted dropout keeps the mean", "rate p", legend="upper left")
    n = np.unique(np.geomspace(10, 20000, 60).astype(int))
    y = np.asarray(dropout.apply(x, rate=0.5, key=jax.random.key(9)), np.float64)
    running = np.cumsum(y)[n - 1] / n
    right.fill_between(n, 1 - 2 / np.sqrt(n), 1 + 2 / np.sqrt(n), color=BLUE, alpha=0.15,
                       label="two standard errors", linewidth=0)  # fmt: skip
    right.plot(n, running, color=PURPLE, label="running mean")
    log(right, "x")
    right.set_ylim(0.4, 1.8)
    label(right, "p = 1/2", "entries", legend="upper right")
    worst = max(abs(v - p / (1 - p)) for v, p in zip(variance, rates, strict=True))
    return (
        f"What survives is divided by 1 − p. Largest gap between measured and stated variance: "
        f"{worst:.3f}."
    )


FIGURES = {
    "batch-norm": Figure(_batch_norm, (
        "Sixteen numbers before and after normalization to mean 0 and variance 1",
        "Bars of the gradient: large and all positive with frozen moments, small with all paths",
    )),
    "dropout": Figure(_dropout, (
        "Variance against rate on the curve p/(1-p); the mean stays at 1",
        "Running mean converging to 1 within a funnel of two standard errors",
    )),
}  # fmt: skip
