"""Convolution: gradients for every stride, padding, dilation and groups; one pixel = a matrix."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml._typing import Array
from jaxml.closed_form.nn import conv as hand
from jaxml.nn import _winograd, conv
from jaxml.verify.case import ROUNDING, Case, Point, point
from jaxml.verify.domains import Domain, Generator, vector

__all__ = ["CASES", "SPECIAL"]

TOPIC = ("conv1x1",)
REF = "Dumoulin, Visin (2016), sections 2 and 4; the chain rule"
FRAME = ((2, 1), (0, 2))  # unequal on all sides


def _drawn(
    rng: Generator, n: int, h: int, w: int, r: int, q: int, c: int, c_out: int, *, groups: int = 1
) -> tuple[conv.Params, Any]:
    W = rng.standard_normal((r, q, c, c_out))
    return conv.Params(W, vector(rng, c_out)), rng.standard_normal((n, h, w, c * groups))


def _with_cotangent(rng: Generator, *shape: int, groups: int = 1, **options: Any) -> Point:
    params, x = _drawn(rng, *shape, groups=groups)
    f = partial(conv.apply, groups=groups, **options)
    y = jax.eval_shape(f, params, x)
    return point((params, x), rng.standard_normal(y.shape))


def _seen(at: Any, g: Array, **options: Any) -> Array:
    """L = <g, y>, so that dL/dy = g."""
    return (g * conv.apply(*at, **options)).sum()


def _backward(at: Any, g: Array, **options: Any) -> Any:
    options = {
        name: _pair(v) if name in ("stride", "dilation") else v for name, v in options.items()
    }
    params, x = hand.backward(*at, g, **options)
    return conv.Params(*params), x


def _pair(v: Any) -> tuple[int, int]:
    return (v, v) if isinstance(v, int) else v


def _tiled(rng: Generator, *shape: int) -> Point:
    return _with_cotangent(rng, *shape, padding=FRAME)


def _seen_by_tiles(at: Any, g: Array) -> Array:
    """L = <g, y>, the way that a CPU takes for large images."""
    (W, b), x = at
    return (g * (_winograd.convolved(x, W, FRAME) + b[None, None, None, :])).sum()


def _unturned(at: Any, g: Array, **options: Any) -> Any:
    """The wrong version: the gradient of x by a window that was not turned around."""
    (W, b), x = at
    params, _ = _backward(at, g, **options)
    return params, _backward((conv.Params(W[::-1, ::-1], b), x), g, **options)[1]


def _gradient(name: str, *shapes: tuple[int, ...], **options: Any) -> Case:
    value = partial(_seen, **options)
    return Case(
        f"nn.conv/gradient-{name}", TOPIC, "gradient", jax.grad(value),
        partial(_backward, **options), Domain(partial(_with_cotangent, **options), shapes),
        ROUNDING, REF, value, (partial(_unturned, **options),),
    )  # fmt: skip


def _strided(params: conv.Params, x: Array) -> Array:
    return conv.apply(params, x, stride=(2, 3))


def _matrix(params: conv.Params, x: Array) -> Array:
    return hand.pointwise(params, x)


def _each_pixel(params: conv.Params, x: Array) -> Array:
    """The matrix of a pixel, W[0, 0]', written as a map of its channels."""
    pixel = jax.vmap(
        jax.vmap(jax.vmap(jax.jacfwd(lambda c: conv.apply(params, c[None, None, None])[0, 0, 0])))
    )
    return pixel(x)


def _the_matrix(params: conv.Params, x: Array) -> Array:
    W = params.kernel[0, 0].T
    return jnp.broadcast_to(W[None, None, None], (*x.shape[:3], *W.shape))


def _pixels(rng: Generator, *shape: int) -> tuple:
    return _drawn(rng, *shape)


PIXELS = Domain(_pixels, ((2, 3, 4, 1, 1, 3, 2), (1, 1, 1, 1, 1, 1, 4)))
CASES = (
    Case("nn.conv/1x1", TOPIC, "identity", conv.apply, _matrix, PIXELS, ROUNDING,
         "Lin, Chen, Yan (2014), section 3.1: y = W'x at each pixel"),
    Case("nn.conv/1x1-strided", TOPIC, "identity", _strided,
         lambda params, x: hand.pointwise(params, x[:, ::2, ::3]), PIXELS, ROUNDING,
         "the same at every second row and third column"),
    Case("nn.conv/1x1-jacobian", TOPIC, "identity", _each_pixel, _the_matrix,
         Domain(_pixels, ((1, 2, 2, 1, 1, 3, 2),)), ROUNDING,
         "dy/dx of a pixel is W', the same at all pixels, and 0 between them"),
    Case("nn.conv/forward", TOPIC, "identity",
         partial(conv.apply, stride=2, padding=FRAME, dilation=(1, 2), groups=2),
         partial(hand.apply, stride=(2, 2), padding=FRAME, dilation=(1, 2), groups=2),
         Domain(partial(_drawn, groups=2), ((2, 5, 4, 3, 2, 2, 4),)), ROUNDING, REF),
    _gradient("same", (2, 4, 3, 3, 2, 2, 2), (1, 1, 2, 3, 3, 1, 2)),
    _gradient("same-strided", (2, 4, 5, 3, 2, 2, 2), (1, 6, 2, 3, 3, 1, 1), stride=(2, 3)),
    _gradient("valid", (2, 4, 4, 3, 2, 1, 2), (1, 3, 3, 3, 3, 2, 1), padding="VALID"),
    _gradient("dilated", (1, 4, 5, 2, 3, 2, 2), padding=FRAME, dilation=(3, 2)),
    _gradient("grouped", (2, 4, 3, 3, 2, 1, 4), (1, 3, 3, 2, 2, 2, 2), groups=2, stride=2),
    _gradient("all", (1, 5, 4, 2, 3, 1, 4), padding=FRAME, groups=2, stride=(2, 1), dilation=(2, 1)),
    Case("nn.conv/gradient-by-tiles", TOPIC, "identity", jax.grad(_seen_by_tiles),
         partial(_backward, padding=FRAME), Domain(_tiled, ((2, 3, 4, 3, 3, 2, 2),)), ROUNDING,
         "Lavin, Gray (2016), eq. (8): the same sums in another order"),
)  # fmt: skip
SPECIAL = (
    Case("nn.conv/window-larger-than-image", TOPIC, "identity", conv.apply, hand.apply,
         Domain(_pixels, ((2, 1, 2, 3, 5, 2, 2), (1, 1, 1, 3, 3, 1, 1))), ROUNDING,
         "SAME fills up with zeros"),
)  # fmt: skip
