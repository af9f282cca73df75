"""First-order methods: what a step size, a memory and a sample of the rows do."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxml import losses
from jaxml.closed_form.optim import first_order as by_hand
from jaxml.closed_form.optim import stochastic
from jaxml.optim import adam, adamw, gradient_descent, momentum
from jaxml.verify.page.canvas import BLUE, GREEN, GREY, ORANGE, RED, Axes, label, log
from jaxml.verify.page.figures.figure import Figure

__all__ = ["FIGURES", "path_of"]


@partial(jax.jit, static_argnames=("optimizer", "steps"))
def path_of(
    H: jax.Array, w: jax.Array, learning_rate: float, *, optimizer: Callable, steps: int = 61
) -> jax.Array:
    """Return the iterates of an optimizer on 1/2 w'Hw, from w on."""
    rule = optimizer(learning_rate)

    def step(carry, _):
        w, state = carry
        updates, state = rule.update(H @ w, state, w)
        return (optax.apply_updates(w, updates), state), w

    return jax.lax.scan(step, (w, rule.init(w)), None, length=steps)[1]


def _gradient_descent(left: Axes, right: Axes) -> str:
    H = jnp.diag(jnp.array([1.0, 0.25]))
    start = jnp.array([1.0, 2.5])
    a, b = np.meshgrid(np.linspace(-1.6, 1.6, 80), np.linspace(-2.7, 2.7, 80))
    left.contour(a, b, (a**2 + 0.25 * b**2) / 2, levels=8, colors=GREY, linewidths=0.6)
    rates = ((0.5, BLUE, "o"), (1.8, GREEN, "s"), (2.05, RED, "^"))
    for rate, color, mark in rates:
        path = np.asarray(path_of(H, start, rate, optimizer=gradient_descent))
        few = path[:16]
        left.plot(*few.T, mark + "-", color=color, markersize=3, linewidth=0.9)
        right.plot(np.linalg.norm(path, axis=1), color=color, label=f"rate {rate:g}")
        hand = [np.linalg.norm(by_hand.gradient_descent_error(H, start, learning_rate=rate, t=t))
                for t in (0, 20, 40, 60)]  # fmt: skip
        right.plot([0, 20, 40, 60], hand, mark, color=color)
    left.set(xlim=(-1.7, 1.7), ylim=(-2.7, 2.7))
    label(left, "Sixteen steps on a bowl", "w₁, curvature 1", "w₂, curvature 1/4")
    log(right, "y")
    label(right, "Distance to the minimum", "step", legend="lower left")
    return (
        "L = 1, so the limit of stability is a rate of 2. At 1.8 the steep direction changes "
        "side at every step and still converges; at 2.05 it grows. Marks: (I − rate H)ᵗ by hand."
    )


def _momentum(left: Axes, right: Axes) -> str:
    H = jnp.diag(jnp.array([1.0, 0.02]))
    start = jnp.array([1.0, 2.5])
    plain = np.asarray(path_of(H, start, 1.0, optimizer=gradient_descent, steps=81))
    heavy = np.asarray(path_of(H, start, 1.0, optimizer=momentum, steps=81))
    hand = [np.linalg.norm(by_hand.momentum_error(H, start, learning_rate=1.0, decay=0.9, t=t))
            for t in range(0, 81, 10)]  # fmt: skip
    left.plot(np.linalg.norm(plain, axis=1), color=GREY, label="gradient descent")
    left.plot(np.linalg.norm(heavy, axis=1), color=BLUE, label="momentum 0.9")
    left.plot(range(0, 81, 10), hand, "o", color=BLUE, label="companion matrix by hand")
    log(left, "y")
    left.set_ylim(1e-3, 10)
    label(left, "Distance to the minimum, κ = 50", "step", legend="lower left")
    h = np.geomspace(1e-3, 4.2, 300)
    for decay, color in ((0.0, GREY), (0.5, GREEN), (0.9, BLUE)):
        M = np.array([[[1 - x + decay, -decay], [1, 0]] for x in h])
        right.plot(
            h, np.abs(np.linalg.eigvals(M)).max(axis=1), color=color, label=f"decay {decay:g}"
        )
    right.axhline(1.0, color=RED, linewidth=0.8)
    log(right, "x")
    right.set_ylim(0.4, 1.4)
    label(right, "Spectral radius of a step", "rate × curvature", legend="lower left")
    return (
        f"After 80 steps momentum is {np.linalg.norm(plain[80]) / np.linalg.norm(heavy[80]):.0f} "
        "times nearer. A step is stable where the spectral radius of its companion matrix is below "
        "1: up to 2 (1 + decay), and momentum is best where that radius is √decay."
    )


def _adam(left: Axes, right: Axes) -> str:
    rng = np.random.default_rng(0)
    b1, b2, t = 0.9, 0.999, np.arange(1, 61)
    g = 1.0 + 0.3 * rng.standard_normal(60)
    m = v = 0.0
    raw, corrected = [], []
    for i, x in enumerate(g, start=1):
        m, v = b1 * m + (1 - b1) * x, b2 * v + (1 - b2) * x**2
        raw.append((m, v))
        corrected.append((m / (1 - b1**i), v / (1 - b2**i)))
    for j, (color, name, true) in enumerate(((BLUE, "mean", 1.0), (ORANGE, "square", 1.09))):
        left.axhline(true, color=GREY, linewidth=0.8)
        left.plot(t, np.array(raw)[:, j], ":", color=color, label=f"{name}, raw")
        left.plot(t, np.array(corrected)[:, j], color=color, label=f"{name}, corrected")
    left.set_ylim(0, 2.0)
    label(left, "Moments of a noisy gradient", "step", legend="upper right")
    H = jnp.diag(jnp.array([100.0, 1.0]))
    start = jnp.array([1.0, 1.0])
    for optimizer, rate, color, name in (
        (gradient_descent, 0.019, GREY, "gradient descent"), (adam, 0.1, BLUE, "Adam"),
    ):  # fmt: skip
        path = np.asarray(path_of(H, start, rate, optimizer=optimizer))
        right.plot(*path.T, ".-", color=color, markersize=3, linewidth=0.9, label=name)
    decayed = [float(path_of(jnp.zeros((1, 1)), jnp.ones(1), 0.1, optimizer=adamw)[-1][0])]
    right.plot(0, 0, "+", color=RED, markersize=8)
    label(right, "Curvatures 100 and 1", "w₁", "w₂", legend="lower right")
    return (
        "Without the correction the first estimates are 10 and 1000 times too small. Adam's steps "
        "have one size whatever the curvature, gradient descent must suit the steepest. AdamW "
        f"shrinks weights without a gradient: to {decayed[0]:.4f} in 60 steps."
    )


def _sgd(left: Axes, right: Axes) -> str:
    rng = np.random.default_rng(2)
    n, d = 64, 2
    X = rng.standard_normal((n, d)) + 0.5
    y = rng.integers(0, 2, n).astype(float)
    w = np.array([0.3, -0.2])

    def loss(w, X, y):
        return jnp.mean(losses.logistic(X @ w, y))

    rows = jax.vmap(jax.grad(loss), (None, 0, 0))(
        jnp.asarray(w), jnp.asarray(X[:, None]), jnp.asarray(y[:, None])
    )
    each, full = np.asarray(rows), np.asarray(rows).mean(axis=0)
    sizes = np.array([1, 2, 4, 8, 16, 32, 48, 60])
    spread = []
    for size in sizes:
        taken = rng.permuted(np.tile(np.arange(n), (2000, 1)), axis=1)[:, :size]
        batch = each[taken].mean(axis=1)
        spread.append(batch.var(axis=0).sum())
        if size in (2, 16):
            color = ORANGE if size == 2 else BLUE
            left.plot(*batch[:250].T, ".", color=color, markersize=2.5, label=f"B = {size}")
    left.plot(*full, "+", color=RED, markersize=10, markeredgewidth=1.8, label="all rows")
    label(left, "Gradients of mini-batches", "∂J/∂w₁", "∂J/∂w₂", legend="upper left")
    grid = np.arange(1, n)
    law = [float(stochastic.variance(rows, batch_size=int(b)).sum()) for b in grid]
    right.plot(grid, law, color=BLUE, label="with the finite population")
    right.plot(grid, each.var(axis=0).sum() / grid, ":", color=GREY, label="1/B")
    right.plot(sizes, spread, "o", color=ORANGE, label="2000 batches")
    log(right, "x", "y")
    label(right, "Their variance, n = 64", "batch size B", legend="lower left")
    return (
        "Batches are drawn without replacement, so the variance falls faster than 1/B and "
        "reaches 0 at B = n. Largest relative gap between measured and law: "
        f"{max(abs(m / law[b - 1] - 1) for m, b in zip(spread, sizes, strict=True)):.2f}."
    )


FIGURES = {
    "gradient-descent": Figure(_gradient_descent, (
        "Paths on elliptic contours: smooth at a small rate, zigzag at 1.8, leaving at 2.05",
        "Distance to the minimum against steps: falling for rates below 2, growing above",
    )),
    "momentum": Figure(_momentum, (
        "Distance to the minimum: momentum oscillates and falls far faster than gradient descent",
        "Spectral radius against rate times curvature for three decays, each rising above 1",
    )),
    "adam": Figure(_adam, (
        "Raw moment estimates start near 0, corrected ones at the true values from the first step",
        "Paths to a minimum: Adam takes both coordinates alike, gradient descent zigzags",
    )),
    "sgd": Figure(_sgd, (
        "Mini-batch gradients scatter around the full gradient, more tightly for larger batches",
        "Their variance against batch size on logarithmic axes, on the curve of theory",
    )),
}  # fmt: skip
