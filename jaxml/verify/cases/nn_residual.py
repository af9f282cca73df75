"""Residual blocks: the full backward pass, the identity in it, and a gradient against depth."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.nn import residual as hand
from jaxml.nn import conv
from jaxml.nn.activations import relu
from jaxml.nn.norm import batch_norm
from jaxml.nn.residual import basic, bottleneck
from jaxml.verify.case import EXACT, Case, Point, Tolerance, point
from jaxml.verify.domains import Domain, Generator, vector

__all__ = ["CASES", "SPECIAL"]

TOPIC = ("resnet",)
REF = "He, Zhang, Ren, Sun (2016), Identity mappings in deep residual networks, eq. (5)"
EPS = 0.1  # large enough that a formula without it would be seen
MARGIN = 0.03  # of every ReLU's argument from 0: beyond what the stencil moves it by
BLOCK = Tolerance(1e-11, 1e-4, "rounding through two or three norms", stencil=1e-7)
LAYERS, SHRINK = 8, 0.2  # of the networks whose depth matters

_margin = jax.jit(hand.least_margin, static_argnames=("strides", "preactivation"))


def _kernel(rng: Generator, window: int, a: int, b: int) -> conv.Params:
    return conv.Params(rng.standard_normal((window, window, a, b)) / window, None)


def _moments(rng: Generator, d: int) -> tuple[batch_norm.Params, batch_norm.State]:
    # Small biases: a channel that a ReLU lets through whole has no gradient before a norm.
    params = batch_norm.Params(rng.uniform(0.5, 2.0, size=d), vector(rng, d, scale=0.3))
    return params, batch_norm.State(vector(rng, d), rng.uniform(0.5, 2.0, size=d))


def _block(
    rng: Generator, channels: tuple[int, ...], *, stride: int, preactivation: bool
) -> tuple[basic.Params, basic.State]:
    windows = (3, 3) if len(channels) == 3 else (1, 3, 1)
    steps = list(zip(channels[:-1], channels[1:], windows, strict=True))
    norms = [_moments(rng, a if preactivation else b) for a, b, _ in steps]
    projection = moments = None
    if stride > 1 or channels[0] != channels[-1]:
        norm, moments = (None, None) if preactivation else _moments(rng, channels[-1])
        projection = basic.Projection(_kernel(rng, 1, channels[0], channels[-1]), norm)
    convs = tuple(_kernel(rng, window, a, b) for a, b, window in steps)
    params = basic.Params(convs, tuple(p for p, _ in norms), projection)
    return params, basic.State(tuple(s for _, s in norms), moments)


def _strides(channels: tuple[int, ...], stride: int) -> tuple[int, ...]:
    return (stride, 1) if len(channels) == 3 else (1, stride, 1)


def _away_from_kinks(
    rng: Generator, n: int, h: int, w: int, *, channels: tuple[int, ...], stride: int = 1,
    preactivation: bool = False,
) -> Point:  # fmt: skip
    options = {"strides": _strides(channels, stride), "preactivation": preactivation, "eps": EPS}
    while True:  # one draw in ten or so will do
        params, state = _block(rng, channels, stride=stride, preactivation=preactivation)
        x = rng.standard_normal((n, h, w, channels[0]))
        if _margin(params, x, **options) > MARGIN:
            break
    shape = (n, -(-h // stride), -(-w // stride), channels[-1])
    return point((params, x), state, rng.standard_normal(shape))


def _apply(at: Any, state: basic.State, *, channels: tuple[int, ...], **static: Any) -> Array:
    kind = basic if len(channels) == 3 else bottleneck
    return kind.apply(*at[:1], state, at[1], training=True, eps=EPS, **static)[0]


def _seen(at: Any, state: basic.State, g: Array, **static: Any) -> Array:
    """L = <g, y>, so that dL/dy = g."""
    return (g * _apply(at, state, **static)).sum()


def _backward(
    at: Any, state: basic.State, g: Array, *, channels: tuple[int, ...], stride: int = 1,
    preactivation: bool = False, skip: bool = True,
) -> Any:  # fmt: skip
    del state  # in training it has no part in y
    options = {"strides": _strides(channels, stride), "preactivation": preactivation, "eps": EPS}
    params, x = hand.backward(*at, g, skip=skip, **options)
    return jax.tree.unflatten(jax.tree.structure(at), jax.tree.leaves((params, x)))


def _gradient(name: str, *channels: int, **static: Any) -> Case:
    static = {"channels": channels, **static}
    value = partial(_seen, **static)
    return Case(
        f"nn.residual.{name}", TOPIC, "gradient", jax.grad(value), partial(_backward, **static),
        Domain(partial(_away_from_kinks, **static), ((2, 3, 2),)), BLOCK, REF, value,
        (partial(_backward, skip=False, **static),),
    )  # fmt: skip


# -- dL/dx = dL/dH (dF/dx + I)
PRE = {"channels": (2, 2, 2), "preactivation": True}


def _x_first(rng: Generator, n: int, h: int, w: int) -> Point:
    (params, x), state, _ = _away_from_kinks(rng, n, h, w, **PRE).args
    return point(x, params, state)


def _H(x: Array, params: basic.Params, state: basic.State) -> Array:
    return _apply((params, x), state, **PRE).ravel()


def _branch_and_identity(
    x: Array, params: basic.Params, state: basic.State, *, identity: float = 1.0
) -> Array:
    """dF/dx, row by row from the backward pass of F alone, and I."""
    I = jnp.eye(x.size, dtype=x.dtype)

    def row(g: Array) -> Array:
        return _backward((params, x), state, g.reshape(x.shape), skip=False, **PRE)[1].ravel()

    J = jax.vmap(row)(I) + identity * I
    return J.reshape(x.size, *x.shape)


# -- gain 0
def _without_gain(rng: Generator, n: int, h: int, w: int, *, channels: tuple[int, ...]) -> Point:
    params, state = _block(rng, channels, stride=1, preactivation=False)
    nothing = batch_norm.Params(np.zeros(channels[-1]), np.zeros(channels[-1]))
    params = params._replace(norms=(*params.norms[:-1], nothing))
    return point((params, rng.standard_normal((n, h, w, channels[0]))), state)


def _gainless(name: str, *channels: int) -> Case:
    return Case(
        f"nn.residual.{name}/gain-zero", TOPIC, "identity", partial(_apply, channels=channels),
        lambda at, state: jnp.maximum(at[1], 0.0),
        Domain(partial(_without_gain, channels=channels), ((2, 3, 2),)), EXACT,
        "He, Zhang, Ren, Sun (2016), Deep residual learning, eq. (1): F = 0 leaves relu(x)",
    )  # fmt: skip


# -- depth: layers h <- F_k h or h + F_k h with F_k h = W_k relu(h), W_k orthogonal times SHRINK
def _deep(rng: Generator, n: int, h: int, w: int, c: int) -> Point:
    rotations = np.linalg.qr(rng.standard_normal((LAYERS, c, c)))[0]
    shape = (n, h, w, c)
    return point(
        1.0 + np.abs(rng.standard_normal(shape)), SHRINK * rotations, rng.standard_normal(shape)
    )


def _through(x: Array, W: Array, g: Array, *, skip: bool) -> Array:
    """||dL/dx|| for L = <g, h_L>."""

    def loss(x: Array) -> Array:
        h = x
        for k in range(LAYERS):
            F = conv.apply(conv.Params(W[k][None, None], None), relu(h))
            h = h + F if skip else F
        return (g * h).sum()

    return jnp.sqrt((jax.grad(loss)(x) ** 2).sum())


def _plain_and_residual(x: Array, W: Array, g: Array) -> tuple[Array, Array]:
    # The second is bounded from below: its negative from above.
    return _through(x, W, g, skip=False), -_through(x, W, g, skip=True)


def _bounds(x: Array, W: Array, g: Array, *, plain: float, skip: float) -> tuple[Array, Array]:
    # ||F_k'|| <= a: a gradient shrinks to a^L; with a skip ||(F_k' + I)'g|| >= (1 - a) ||g||
    del x, W
    size = jnp.sqrt((g**2).sum())
    return plain**LAYERS * size, -(skip**LAYERS) * size


CASES = (
    _gradient("basic/gradient", 2, 2, 2),
    _gradient("basic/gradient-projection", 1, 2, 2, stride=2),
    _gradient("basic/gradient-preactivation-projection", 2, 1, 1, stride=2, preactivation=True),
    _gradient("bottleneck/gradient", 2, 1, 1, 3),
    _gradient("bottleneck/gradient-preactivation", 3, 1, 1, 3, preactivation=True),
    Case("nn.residual.basic/skip-jacobian", TOPIC, "jacobian", jax.jacrev(_H),
         _branch_and_identity, Domain(_x_first, ((1, 3, 2),)), BLOCK, REF, _H,
         (partial(_branch_and_identity, identity=0.0),)),
    Case("nn.residual/depth", ("resnet",), "bound", _plain_and_residual,
         partial(_bounds, plain=SHRINK, skip=1.0 - SHRINK), Domain(_deep, ((2, 1, 2, 3),)),
         Tolerance(1e-12, 1e-5, "rounding of a product of eight matrices"),
         "||A'g|| <= ||A|| ||g|| and ||(A + I)'g|| >= (1 - ||A||) ||g||",
         mutants=(partial(_bounds, plain=SHRINK**2, skip=1.0 - SHRINK),
                  partial(_bounds, plain=SHRINK, skip=1.0 + SHRINK))),
)  # fmt: skip
SPECIAL = (_gainless("basic", 2, 2, 2), _gainless("bottleneck", 4, 1, 1, 4))
