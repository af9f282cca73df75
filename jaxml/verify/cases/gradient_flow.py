"""Claims about gradients through depth: sigma' <= 1/4 and what follows from it."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.analysis.gradient_flow import gradient_norms
from jaxml.closed_form.analysis import gradient_flow as hand
from jaxml.nn import activations
from jaxml.verify.case import ELEMENTWISE, Case, Tolerance
from jaxml.verify.domains import Domain, Generator

__all__ = ["CASES"]

TOPICS = ("vanishing-gradient",)
LOGARITHM = Tolerance(1e-12, 1e-4, "rounding of a logarithm of a product", scale=1.0)


def _dense(theta: tuple[Array, Array], h: Array) -> Array:
    W, b = theta
    return jnp.matmul(h, W, precision="highest") + jnp.broadcast_to(b, h.shape)


def _sigmoid(theta: Any, h: Array) -> Array:
    return activations.sigmoid(_dense(theta, h))


def _relu(theta: Any, h: Array) -> Array:
    return activations.relu(_dense(theta, h))


def _residual(theta: Any, h: Array) -> Array:
    return h + _sigmoid(theta, h)


LAYERS = {"sigmoid": _sigmoid, "relu": _relu, "residual": _residual}


def _measured(params: Any, x: Array, G: Array, *, kind: str) -> tuple[Array, Array]:
    # The output enters J linearly: <G, h_L>, as the last of the layers.
    layers = [LAYERS[kind]] * len(params) + [lambda G, h: jnp.sum(G * h)[None]]
    flow = gradient_norms(layers, [*params, G], x, loss=jnp.sum)
    return flow.inputs[:-1], flow.params[:-1]


def _at_the_input(params: Any, x: Array, G: Array, *, kind: str) -> Array:
    return _measured(params, x, G, kind=kind)[0][0]


def _stack(rng: Generator, L: int, d: int, *, kind: str, size: float = 1.5, n: int = 3) -> tuple:
    """Orthogonal weights times size; biases that put the mean of every preactivation near 0."""
    h = x = rng.standard_normal((n, d))
    params = []
    for _ in range(L):
        W = size * np.linalg.qr(rng.standard_normal((d, d)))[0]
        b = -(h @ W).mean(axis=0) + 0.1 * rng.standard_normal(d)
        z = h @ W + b
        s = np.maximum(z, 0.0) if kind == "relu" else 1 / (1 + np.exp(-z))
        h = h + s if kind == "residual" else s
        params.append((W, b))
    return tuple(params), x, rng.standard_normal((n, d))


def _one_row(rng: Generator, L: int, d: int, *, kind: str) -> tuple:
    """One input, so that every preactivation lies near 0, where the bound is attained."""
    return _stack(rng, L, d, kind=kind, size=0.8 if kind == "residual" else 2.0, n=1)


def _steeper(params: Any, x: Array, G: Array) -> Array:
    return hand.sigmoid_bound(params, G) + len(params) * jnp.log(0.2 / 0.25)


def _without_a_norm(params: Any, x: Array, G: Array) -> Array:
    return hand.sigmoid_bound(params[1:], G) + jnp.log(0.25)


def _kept_whole(params: Any, x: Array, G: Array) -> Array:
    return -jnp.log(jnp.linalg.norm(G)) - 1.0


def _identity(kind: str) -> Case:
    return Case(
        f"analysis.gradient_flow/{kind}", TOPICS, "identity", partial(_measured, kind=kind),
        partial(hand.gradient_norms, kind=kind),
        Domain(partial(_stack, kind=kind), ((4, 3), (1, 2))), LOGARITHM, "the chain rule",
    )  # fmt: skip


CASES = (
    Case("analysis.gradient_flow/slope", TOPICS, "bound",
         jax.vmap(jax.grad(activations.sigmoid)), hand.sigmoid_slope_bound,
         Domain(lambda rng: (np.concatenate([np.linspace(-0.1, 0.1, 5),
                                             6.0 * rng.standard_normal(40)]),)),
         ELEMENTWISE, "s (1 - s) = 1/4 - (s - 1/2)^2",
         mutants=(lambda z: 0.8 * hand.sigmoid_slope_bound(z),)),
    *(_identity(kind) for kind in LAYERS),
    Case("analysis.gradient_flow/sigmoid-bound", TOPICS, "bound",
         partial(_at_the_input, kind="sigmoid"), lambda params, x, G: hand.sigmoid_bound(params, G),
         Domain(partial(_one_row, kind="sigmoid"), ((5, 3), (2, 4))), LOGARITHM,
         "Bengio et al. (1994), section 4", mutants=(_steeper, _without_a_norm)),
    Case("analysis.gradient_flow/residual-bound", TOPICS, "bound",
         lambda params, x, G: -_at_the_input(params, x, G, kind="residual"),
         lambda params, x, G: -hand.residual_bound(params, G),
         Domain(partial(_one_row, kind="residual"), ((5, 3), (2, 4))), LOGARITHM,
         "||g + g'|| >= ||g|| - ||g'||", mutants=(_kept_whole,)),
)  # fmt: skip
