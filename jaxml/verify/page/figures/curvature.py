"""Convexity: what a curvature bounded from below is good for."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import losses
from jaxml.analysis import convexity
from jaxml.closed_form.optim import first_order as by_hand
from jaxml.linear import logistic
from jaxml.optim import gradient_descent
from jaxml.verify.page.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, Axes, label, log
from jaxml.verify.page.figures.figure import Figure, quick
from jaxml.verify.page.figures.optimization import path_of

__all__ = ["FIGURES"]


def _convexity(left: Axes, right: Axes) -> str:
    z = np.linspace(-2.5, 2.5, 201)
    scores, one = jnp.asarray(z), jnp.ones(z.size)
    for name, loss, color, dash in (
        ("squared", losses.squared, BLUE, "-"),
        ("Huber", losses.huber, GREEN, "--"),
        ("logistic", losses.logistic, ORANGE, "-"),
        ("hinge", losses.hinge, PURPLE, "--"),
        ("exponential", losses.exponential, RED, ":"),
    ):
        left.plot(z, np.asarray(loss(scores, one)), dash, color=color, label=name)
    left.set_ylim(-0.1, 4.5)
    label(left, "Losses at y = 1: all convex", "score z", legend="upper right")

    def valley(x):
        return x**4 - 1.5 * x**2

    found = convexity.classify(valley, jax.random.normal, key=jax.random.key(0), n_samples=32)
    w = found.witness
    a, b = (float(x) for x in (w.a, w.b)) if w else (0.0, 0.0)
    x = np.linspace(-1.5, 1.5, 151)
    right.plot(x, valley(x), color=BLUE)
    right.plot([a, b], [valley(a), valley(b)], "o--", color=RED, label="the witness: a chord below")
    label(right, "x⁴ − 1.5 x²: refuted", "x", legend="upper center")
    return (
        f"The search reports {found.convex.name}: between {min(a, b):.2f} and {max(a, b):.2f} the "
        f"function exceeds its chord by {float(w.violation) if w else 0:.2f}, and its least "
        f"curvature seen is {found.curvature:.2f}."
    )


def _strong_convexity(left: Axes, right: Axes) -> str:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((60, 6)) * np.geomspace(1, 0.1, 6)
    y = (X @ np.ones(6) + rng.standard_normal(60) > 0).astype(int)
    params = logistic.Params(jnp.zeros(6), jnp.zeros(()))

    def loss(w, l2):
        return logistic.loss(params._replace(coef=w), jnp.asarray(X), jnp.asarray(y), l2=l2)

    curvature = quick(jax.hessian(loss))
    for l2, color, mark in ((0.0, GREY, "o"), (0.05, BLUE, "s"), (0.2, ORANGE, "^")):
        values = np.linalg.eigvalsh(curvature(jnp.zeros(6), l2))
        left.plot(np.arange(1, 7), values, mark + "-", color=color, label=f"l2 = {l2:g}", lw=1)
        left.axhline(l2, color=color, linewidth=0.7, linestyle=":")
    label(left, "Eigenvalues of the Hessian + l2", "index", legend="upper left")
    H = np.diag([1.0, 0.3, 0.1])
    steps = np.arange(61)
    w = jnp.ones(3)
    for mu, color in ((0.1, BLUE), (0.3, ORANGE)):
        A = jnp.asarray(np.maximum(H, np.diag(np.full(3, mu))))
        path = np.asarray(path_of(A, w, 1.0, optimizer=gradient_descent))
        gap = np.einsum("ti,ij,tj->t", path, np.asarray(A), path) / 2
        bound = [float(by_hand.rate_bound(gap[0], mu=mu, smoothness=1.0, t=int(t))) for t in steps]
        right.plot(steps, gap, color=color, label=f"μ = {mu:g}")
        right.plot(steps, bound, ":", color=color, linewidth=1.2)
    log(right, "y")
    right.set_ylim(1e-12, 5)
    label(right, "Gap to the minimum, L = 1", "step", legend="upper right")
    return (
        "l2 lifts every eigenvalue by exactly l2 (dotted: the floor it sets). Gradient descent "
        "with step 1/L stays below the bound that strong convexity proves (dotted)."
    )


FIGURES = {
    "convexity": Figure(_convexity, (
        "Five convex losses against the score: squared, Huber, logistic, hinge and exponential",
        "A double well with a chord that lies below the curve, the witness against convexity",
    )),
    "strong-convexity": Figure(_strong_convexity, (
        "Eigenvalues of a logistic Hessian for three values of l2, each set shifted by l2",
        "Gap of gradient descent on a logarithmic scale, below the straight line of the bound",
    )),
}  # fmt: skip
