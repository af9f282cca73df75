"""Attention, positions and the transformer block."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxml.closed_form.nn import attention as by_hand
from jaxml.nn import positional
from jaxml.nn.attention import scaled_dot_product
from jaxml.nn.transformer import block
from jaxml.verify.page.canvas import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    Axes,
    label,
    log,
    picture,
)
from jaxml.verify.page.figures.figure import Figure, quick

__all__ = ["FIGURES"]


def _attention(left: Axes, middle: Axes, right: Axes) -> str:
    rng = np.random.default_rng(0)
    sizes = np.array([2, 4, 8, 16, 32, 64, 128, 256])
    n = 2000
    raw, slopes, kept = [], [], []
    for d in sizes:
        q, k1, k2 = rng.standard_normal((3, n, d))
        a, b = (q * k1).sum(axis=1), (q * k2).sum(axis=1)
        raw.append(np.mean(a**2))
        for scale, out in ((1.0, slopes), (d**-0.5, kept)):
            # Two keys, values (1, 0): the output is the weight of the first.
            p = 1 / (1 + np.exp(-scale * (a - b)))
            out.append(np.mean(p * (1 - p)))
    left.plot(sizes, sizes, color=GREY, label="d")
    left.plot(sizes, raw, "o", color=RED, label="q'k")
    left.plot(sizes, np.array(raw) / sizes, "s", color=BLUE, label="q'k / √d")
    log(left, "x", "y", base=10)
    label(left, "Variance of a score", "dimension d", legend="upper left")
    fine = np.geomspace(2, 256, 50)
    law = quick(jax.vmap(lambda v: by_hand.softmax_slope(v, 1).mean))
    middle.plot(fine, law(2 * fine), color=RED, linewidth=1)
    middle.plot(fine, law(np.full(50, 2.0)), color=BLUE, linewidth=1)
    middle.plot(sizes, slopes, "o", color=RED, label="without scaling")
    middle.plot(sizes, kept, "s", color=BLUE, label="scaled")
    log(middle, "x", "y")
    middle.set_ylim(0.01, 0.4)
    label(middle, "Mean slope of the softmax", "dimension d", legend="lower left")
    t = 12
    q, k = rng.standard_normal((2, 1, t, 1, 16))
    v = np.eye(t)[None, :, None, :]  # the output is the row of weights
    weights = quick(lambda q, k, v: scaled_dot_product(q, k, v, causal=True))(q, k, v)[0, :, 0]
    picture(right, weights, title="Causal weights, 12 positions", signed=False, bar=True)
    right.set(xlabel="key", ylabel="query")
    return (
        f"At d = 256 an unscaled score has variance {raw[-1]:.0f} and the softmax lets through "
        f"{slopes[-1]:.3f} of a gradient, by theory (4πd)^(−1/2) = "
        f"{(4 * np.pi * 256) ** -0.5:.3f}; scaled it lets through {kept[-1]:.2f} at every d."
    )


def _positional_encoding(left: Axes, right: Axes) -> str:
    d, length = 64, 96
    P = np.asarray(positional.sinusoidal(length, d, dtype=jnp.float64))
    image = left.imshow(
        P.T, aspect="auto", vmin=-1, vmax=1, origin="lower", interpolation="nearest"
    )
    left.grid(visible=False)
    left.figure.colorbar(image, shrink=0.85)
    label(left, "PE, 64 channels", "position", "channel")
    k = np.arange(48)
    for pos, color, mark in ((0, BLUE, "-"), (16, ORANGE, "--"), (48, GREEN, ":")):
        right.plot(
            k, P[pos : pos + 48] @ P[pos], mark, color=color, label=f"pos = {pos}", linewidth=2
        )
    label(right, "PE(pos)'PE(pos + k): one curve", "shift k", legend="upper right")
    R = np.asarray(positional.shift_matrix(7.0, d, dtype=jnp.float64))
    gap = np.abs(P[:-7] @ R.T - P[7:]).max()
    orthogonal = np.abs(R @ R.T - np.eye(d)).max()
    return (
        f"One rotation R(7) carries every position to the seventh after it, to {gap:.0e}; it is "
        f"orthogonal to {orthogonal:.0e}. So the product of two encodings depends on their "
        "distance alone."
    )


def _transformer(left: Axes, right: Axes) -> str:
    depth, d, t = 12, 16, 10
    make = quick(lambda key: block.init(key=key, d_model=d, n_heads=2, d_hidden=32, dtype=float))
    params = [make(key) for key in jax.random.split(jax.random.key(0), depth)]
    x, target = np.random.default_rng(1).standard_normal((2, 1, t, d))
    found = {}
    for norm in ("post", "pre"):
        found[norm], back = _norms_of_blocks(norm, params, x, target)

    # Row i: what output i, summed over its channels, owes to every input.
    rows = [back(params[0], x, np.eye(t)[None, i, :, None] * np.ones(d))[1][0] for i in range(t)]
    reach = np.linalg.norm(np.array(rows), axis=2)
    for norm, color, mark in (("pre", BLUE, "o"), ("post", ORANGE, "s")):
        left.plot(
            np.arange(1, depth + 1), found[norm], mark + "-", color=color, label=f"{norm}-norm"
        )
    log(left, "y")
    label(left, "Gradient for the parameters", "block", "norm", legend="lower left")
    picture(right, np.log10(np.where(reach > 0, reach, np.nan)), title="log₁₀ of ∂out/∂in, causal",
            signed=False, bar=True, span=(None, None))  # fmt: skip
    right.set(xlabel="position in", ylabel="position out")
    ahead = np.abs(np.triu(reach, 1)).max()
    return (
        "Twelve blocks as drawn by init: from the last to the first block the gradient changes "
        f"by a factor of {found['pre'][0] / found['pre'][-1]:.1f} with pre-norm, "
        f"{found['post'][0] / found['post'][-1]:.1f} with post-norm. No output sees a later "
        f"position: the largest derivative above the diagonal is {ahead:g}."
    )


def _norms_of_blocks(
    norm: str, params: list, x: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, Callable]:
    """Norms of the gradient of mean(h_L target) for every block; the derivative of a block."""

    def apply(p: block.Params, h: jax.Array) -> jax.Array:
        return block.apply(p, h, causal=True, norm=norm)

    def back(p: block.Params, h: jax.Array, g: jax.Array) -> tuple:
        return jax.vjp(apply, p, h)[1](g)

    forward, backward = quick(apply), quick(back)
    inputs = [x]
    for p in params:
        inputs.append(forward(p, inputs[-1]))
    g, sizes = target / target.size, []
    for p, h in zip(params[::-1], inputs[-2::-1], strict=True):
        dp, g = backward(p, h, g)
        sizes.append(np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(dp))))
    return np.array(sizes[::-1]), backward


FIGURES = {
    "attention": Figure(_attention, (
        "Variance of scores grows as d without scaling and stays 1 with it",
        "Slope of the softmax falls with d without scaling and stays level with it",
        "Weights of causal attention: a lower triangle, each row summing to 1",
    )),
    "positional-encoding": Figure(_positional_encoding, (
        "Encodings as colors: waves of falling frequency over the channels",
        "Products of encodings against their distance: the same curve from every position",
    )),
    "transformer": Figure(_transformer, (
        "Gradient norm of each of twelve blocks, for pre-norm and post-norm",
        "Derivative of every output in every input of a causal block: nothing above the diagonal",
    )),
}  # fmt: skip
