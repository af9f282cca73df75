"""Convolution, pooling, memory and the softmax: what a layer does and what flows back."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import datasets
from jaxml.nn import activations, conv, lstm, pool
from jaxml.verify.page.canvas import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    Axes,
    label,
    log,
    picture,
)  # fmt: skip
from jaxml.verify.page.figures.figure import Figure, quick

__all__ = ["FIGURES"]


def _digit() -> np.ndarray:
    return np.asarray(datasets.digits().X, np.float64)[3].reshape(8, 8) / 16


def _conv1x1(left: Axes, middle: Axes, right: Axes) -> str:
    x = jnp.asarray(_digit())[None, :, :, None]
    smooth = np.outer([1.0, 2.0, 1.0], [1.0, 0.0, -1.0]) / 4
    edges = conv.Params(
        jnp.asarray(np.stack([smooth, smooth.T], axis=-1)[:, :, None]), jnp.zeros(2)
    )
    mix = conv.Params(jnp.asarray([[[[0.8, -0.6], [0.6, 0.8]]]]), jnp.zeros(2))  # a rotation

    def compute(x: jax.Array) -> tuple:
        channels = conv.apply(edges, x)
        mixed, pull = jax.vjp(lambda W: conv.apply(mix._replace(kernel=W), channels), mix.kernel)
        rows = channels.reshape(-1, 2)
        by_matrix = (rows @ mix.kernel[0, 0]).reshape(mixed.shape)
        return channels, mixed, by_matrix, pull(mixed)[0], rows.T @ mixed.reshape(-1, 2)

    channels, mixed, by_matrix, found, hand = quick(compute)(x)
    picture(left, np.asarray(x)[0, :, :, 0], title="A digit, 8 × 8", signed=False)
    picture(middle, channels[0, :, :, 0], title="3 × 3: edges across")
    picture(right, mixed[0, :, :, 0], title="1 × 1: edges along a diagonal")
    return (
        "A window of one pixel turns the two edge channels into another direction, at every "
        "pixel by one matrix: convolution and product differ by "
        f"{np.abs(mixed - by_matrix).max():.0e}, the gradient by autodiff and X'G by "
        f"{np.abs(found - hand).max():.0e}."
    )


def _max_pool(left: Axes, middle: Axes, right: Axes) -> str:
    x = _digit()

    def gradients(x: jax.Array) -> tuple:
        image = x[None, :, :, None]
        most = jax.grad(lambda x: pool.max_pool(x, window=2).sum())(image)
        mean = jax.grad(lambda x: pool.avg_pool(x, window=2).sum())(image)
        return most[0, :, :, 0], mean[0, :, :, 0]

    most, mean = quick(gradients)(x)
    for ax, values, title in (
        (left, x, "Pixels, in windows of 2 × 2"), (middle, most, "To the winner of each"),
        (right, mean, "A mean spreads it evenly"),
    ):  # fmt: skip
        picture(ax, values, title=title, signed=False)
        for cut in (1.5, 3.5, 5.5):
            ax.axhline(cut, color=RED, linewidth=0.8)
            ax.axvline(cut, color=RED, linewidth=0.8)
    tied = sum(
        (window == window.max()).sum() > 1
        for window in x.reshape(4, 2, 4, 2).transpose(0, 2, 1, 3).reshape(16, 4)
    )
    return (
        f"Gradient of the sum of all outputs. {tied} of 16 windows hold equal largest pixels: the "
        f"first of them gets it all, so that each window passes on exactly 1 ({most.sum():.0f} in "
        "all)."
    )


def _lstm(left: Axes, right: Axes) -> str:
    steps = 40
    x = np.zeros((steps, 1, 1))
    x[[5, 20]] = [[[2.0]], [[-2.0]]]
    biases = np.array([-1.0, 1.0, 3.0])

    def run(bias: jax.Array, x: jax.Array) -> tuple:
        params = lstm.init(key=jax.random.key(2), d=1, n_hidden=4, dtype=jnp.float64)
        h = params.bias.size // 4
        params = params._replace(bias=params.bias.at[h : 2 * h].set(bias))

        def out(x: jax.Array) -> jax.Array:
            return lstm.apply(params, x)[0]

        hidden = out(x)
        before = jnp.concatenate([jnp.zeros((1, 1, h)), hidden[:-1]])
        last = jax.jacobian(lambda x: out(x)[-1, 0])(x)
        return lstm.gates(params, x, before), jnp.linalg.norm(last[:, :, 0, 0], axis=0)

    gates, reach = quick(jax.vmap(run, (0, None)))(biases, x)
    left.bar(range(steps), x[:, 0, 0] / 2, color=GREY, alpha=0.4, label="input / 2")
    for name, color, dash in (
        ("i", BLUE, "-"),
        ("f", GREEN, "-"),
        ("o", PURPLE, "--"),
        ("g", ORANGE, ":"),
    ):
        left.plot(getattr(gates, name)[1, :, 0, 0], dash, color=color, label=name, linewidth=1.3)
    left.set_ylim(-1.15, 1.75)
    left.legend(loc="upper right", ncols=5, columnspacing=0.8)
    left.set(title="Gates of one unit, two pulses", xlabel="step")
    for bias, norms, color in zip(biases, reach, (RED, BLUE, GREEN), strict=True):
        right.plot(np.arange(steps), norms, ".-", color=color, label=f"forget bias {bias:g}")
    log(right, "y")
    label(right, "How far back the last output sees", "step of the input", "|∂h₄₀/∂xₜ|",
          legend="lower right")  # fmt: skip
    low, high = gates.f.min(), gates.f.max()
    return (
        f"i, f and o stay between 0 and 1 (f: {low:.2f} to {high:.2f}), g between −1 and 1. What "
        "is carried over a step is multiplied by f, so that the bias of f decides how far "
        "gradients reach."
    )


def _softmax(left: Axes, right: Axes) -> str:
    z = np.linspace(-2, 2, 8)

    def compute(z: jax.Array) -> tuple:
        J = jax.jacobian(activations.softmax)(z)
        s = activations.softmax(z)
        return J, jnp.diag(s) - s[:, None] * s[None, :]

    J, hand = quick(compute)(z)
    picture(left, J, title="Jacobian of eight scores: diag(s) − ss'", bar=True)
    c = np.geomspace(1, 1e4, 60)
    shifted = np.asarray(activations.softmax(jnp.asarray(z[None] + c[:, None])))
    s = np.asarray(activations.softmax(jnp.asarray(z)))
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(z[None] + c[:, None])
        naive = e / e.sum(axis=1, keepdims=True)
    kept, broken = (np.maximum(np.abs(a - s).max(axis=1), 1e-17) for a in (shifted, naive))
    right.plot(c, kept, ".-", color=BLUE, label="jaxml: less the largest score first")
    right.plot(c, broken, "--", color=RED, label="exp over sum of exp")
    right.axvline(709.8, color=GREY, linewidth=0.8)
    right.text(780, 1e-6, "exp overflows:\nNaN from here", color=RED, fontsize=8)
    log(right, "x", "y")
    right.set_ylim(1e-17, 1e-2)
    label(right, "Change of softmax(z + c)", "shift c", legend="upper left")
    return (
        f"Jacobian by autodiff and by hand differ by {np.abs(J - hand).max():.0e}; its rows sum to "
        f"{np.abs(J.sum(axis=1)).max():.0e}, which is shift invariance."
    )


FIGURES = {
    "conv1x1": Figure(_conv1x1, (
        "A digit as 8 by 8 gray pixels", "Its horizontal edges, positive and negative",
        "A mixture of both edge channels, along a diagonal",
    )),
    "max-pool": Figure(_max_pool, (
        "A digit cut into sixteen windows", "Gradient of max pooling: one pixel of each window",
        "Gradient of mean pooling: one quarter at every pixel",
    )),
    "lstm": Figure(_lstm, (
        "Gates of one unit over 40 steps, reacting to two pulses",
        "Sensitivity of the last output to earlier inputs: the higher the forget bias, the longer",
    )),
    "softmax": Figure(_softmax, (
        "Jacobian of the softmax as colors: positive diagonal, negative elsewhere",
        "Error under a shift of all scores: rounding for jaxml, missing beyond 709 for the naive "
        "form",
    )),
}  # fmt: skip
