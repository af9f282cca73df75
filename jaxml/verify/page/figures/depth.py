"""Signals and gradients through many layers, and what keeps them alive."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from jaxml.analysis.gradient_flow import gradient_norms
from jaxml.nn import activations, initializers
from jaxml.verify.page.canvas import BLUE, GREEN, GREY, INK, ORANGE, RED, Axes, label, log
from jaxml.verify.page.figures.figure import Figure, quick

__all__ = ["FIGURES"]

WIDTH, DEPTH, DEEP = 100, 30, 12


def _xavier(left: Axes, right: Axes) -> str:
    """Mean squares up and down 30 layers, for three sizes of weights."""

    def flow(x: jax.Array, g: jax.Array, scale: jax.Array, relu: jax.Array) -> tuple:
        def up(y: jax.Array, key: jax.Array) -> tuple:
            W = scale * jax.random.normal(key, (WIDTH, WIDTH), y.dtype)
            z = y @ W
            gate = jnp.where(relu, (z > 0).astype(z.dtype), 1.0)
            y = z * gate
            return y, (jnp.mean(y**2), W, gate)

        _, (signal, W, gate) = jax.lax.scan(up, x, jax.random.split(jax.random.key(0), DEPTH))

        def down(g: jax.Array, layer: tuple) -> tuple:
            W, gate = layer
            g = (g * gate) @ W.T
            return g, jnp.mean(g**2)

        _, gradient = jax.lax.scan(down, g, (W, gate), reverse=True)
        return signal, gradient

    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 64, WIDTH))
    he = float(jnp.std(initializers.he_normal((WIDTH, WIDTH), key=jax.random.key(1))))
    xavier = float(jnp.std(initializers.xavier_normal((WIDTH, WIDTH), key=jax.random.key(1))))
    rows = (
        ("He, with ReLU", he, True, GREEN, "-"), ("Xavier, linear", xavier, False, BLUE, "--"),
        ("Xavier, with ReLU", xavier, True, ORANGE, "-"), ("sd 0.2, linear", 0.2, False, RED, ":"),
    )  # fmt: skip
    signals, gradients = quick(jax.vmap(flow, (None, None, 0, 0)))(
        x, g, np.array([r[1] for r in rows]), np.array([r[2] for r in rows])
    )
    for (name, _, _, color, dash), up, down in zip(rows, signals, gradients, strict=True):
        left.plot(np.arange(1, DEPTH + 1), up, dash, color=color, label=name)
        right.plot(np.arange(DEPTH), down, dash, color=color)
    for ax, title in ((left, "Mean square of the signal"), (right, "Mean square of the gradient")):
        log(ax, "y")
        ax.set_ylim(1e-10, 1e20)
        label(ax, title, "layer", legend="upper left" if ax is left else "")
    return (
        f"After 30 layers of 100: He with ReLU {signals[0][-1]:.2g}, Xavier without "
        f"{signals[1][-1]:.2g}, Xavier with ReLU {signals[2][-1]:.1e} (1/2 per layer), standard "
        f"deviation 0.2 {signals[3][-1]:.1e} (4 per layer)."
    )


def _stack(kind: str, depth: int, d: int) -> tuple[list, list]:
    def layer(W: jax.Array, h: jax.Array) -> jax.Array:
        z = h @ W
        if kind == "relu":
            return activations.relu(z)
        s = activations.sigmoid(z)
        return h + s if kind == "residual" else s

    init = initializers.he_normal if kind == "relu" else initializers.xavier_normal
    keys = jax.random.split(jax.random.key(3), depth)
    return [layer] * depth, [init((d, d), key=k, dtype=jnp.float64) for k in keys]


@cache
def _norms(kind: str, depth: int, d: int = 32) -> tuple[np.ndarray, float]:
    layers, params = _stack(kind, depth, d)
    x = jax.random.normal(jax.random.key(4), (16, d), jnp.float64)
    flow = quick(lambda W, x: gradient_norms(layers, list(W), x, loss=_half_square))(params, x)
    bound = sum(np.log(np.linalg.norm(np.asarray(W), 2) / 4) for W in params)
    return flow.inputs - flow.inputs[-1], float(bound)


def _half_square(h: jax.Array) -> jax.Array:
    return jnp.sum(h**2) / 2


def _vanishing_gradient(left: Axes, right: Axes) -> str:
    z = np.linspace(-8, 8, 161)
    for f, color, name in (
        (activations.sigmoid, RED, "sigmoid"), (activations.tanh, ORANGE, "tanh"),
        (activations.relu, BLUE, "ReLU"),
    ):  # fmt: skip
        left.plot(z, np.asarray(jax.vmap(jax.grad(f))(jnp.asarray(z))), color=color, label=name)
    left.axhline(0.25, color=GREY, linewidth=0.8, linestyle="--")
    label(left, "Slopes; sigmoid's is at most 1/4", "z", legend="upper left")
    depth, ends = DEEP, {}
    for kind, color in (("sigmoid", RED), ("relu", BLUE), ("residual", GREEN)):
        norms, bound = _norms(kind, depth)
        ends[kind] = np.exp(norms[0])
        right.plot(np.arange(depth + 1), np.exp(norms), ".-", color=color, label=kind)
        if kind == "sigmoid":
            right.plot(0, np.exp(bound), "v", color=INK, label="bound of sigmoid")
    log(right, "y")
    label(right, "Gradient on its way down", "layer", "norm, 1 at the output",
          legend="center right")  # fmt: skip
    return (
        f"Through 12 sigmoid layers the gradient falls to {ends['sigmoid']:.0e}, through ReLU "
        f"layers to {ends['relu']:.2g}; with skips it is {ends['residual']:.2g}."
    )


def _resnet(left: Axes, right: Axes) -> str:
    # Above its layer l a stack of 12 is a stack of 12 - l, and its norms are those of all depths.
    found = {kind: np.exp(_norms(kind, DEEP)[0])[::-1] for kind in ("sigmoid", "residual")}
    left.plot(found["sigmoid"], "o-", color=RED, label="H = F(x)")
    left.plot(found["residual"], "s-", color=GREEN, label="H = F(x) + x")
    log(left, "y")
    label(left, "Gradient at the input, 1 at the output", "layers", legend="center left")
    rng = np.random.default_rng(1)
    W = 0.5 * rng.standard_normal((2, 12, 12)) / np.sqrt(12)

    def branch(x: jax.Array) -> jax.Array:
        return jnp.asarray(W[1]) @ activations.relu(jnp.asarray(W[0]) @ x)

    x = jnp.asarray(rng.standard_normal(12))
    F = np.asarray(jax.jacobian(branch)(x))
    whole = np.asarray(jax.jacobian(lambda x: branch(x) + x)(x))
    image = right.imshow(whole, vmin=-1.2, vmax=1.2)
    right.figure.colorbar(image, shrink=0.85)
    right.grid(visible=False)
    label(right, "dH/dx = dF/dx + I", "input", "output")
    return (
        f"Of 12 layers the plain stack hands down {found['sigmoid'][-1]:.0e} of the gradient, the "
        f"one with skips {found['residual'][-1]:.2g}. The Jacobian of a block is that of its "
        f"branch plus I: they differ by {np.abs(whole - F - np.eye(12)).max():.0e}."
    )


FIGURES = {
    "xavier": Figure(_xavier, (
        "Mean square of the signal over thirty layers: level for He with ReLU and Xavier without, "
        "falling or exploding otherwise",
        "Mean square of the gradient from the output down: the same four behaviors",
    )),
    "vanishing-gradient": Figure(_vanishing_gradient, (
        "Slopes of sigmoid, tanh and ReLU; sigmoid's peaks at one quarter",
        "Norm of the gradient over layers: collapsing for sigmoid, level for ReLU and residual",
    )),
    "resnet": Figure(_resnet, (
        "Gradient at the input against depth: falling by orders of magnitude without skips",
        "Jacobian of a residual block as colors: a diagonal of ones over small entries",
    )),
}  # fmt: skip
