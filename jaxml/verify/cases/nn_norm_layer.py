"""Layer normalization: backward through the moments; constant and distant rows, for both norms."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.nn.norm import batch_norm as hand
from jaxml.closed_form.nn.norm import layer_norm as hand_layer
from jaxml.nn.norm import layer_norm
from jaxml.nn.norm.batch_norm import Params, State
from jaxml.verify.case import ROUNDING, Case, Point, point
from jaxml.verify.cases.nn_norm import EPS, TOPIC, normalized, parameters
from jaxml.verify.domains import Domain, Generator, vector

__all__ = ["CASES", "SPECIAL"]


def _row(rng: Generator, d: int) -> Point:
    params = layer_norm.Params(*parameters(rng, d))
    return point((params, 2.0 + vector(rng, d)), vector(rng, d))


ROW = Domain(_row, ((5,), (2,)))


def _row_seen(at: Any, g: Array) -> Array:
    params, x = at
    return (g * layer_norm.apply(params, x, eps=EPS)).sum()


def _row_backward(at: Any, g: Array) -> Any:
    params, dx = hand_layer.backward(at[0], at[1], g, eps=EPS)
    return layer_norm.Params(*params), dx


CASES = (
    Case("nn.norm.layer_norm/value", TOPIC, "identity",
         lambda at, g: layer_norm.apply(*at, eps=EPS), lambda at, g: hand_layer.apply(*at, eps=EPS),
         ROW, ROUNDING, "Ba, Kiros, Hinton (2016), eq. (4)"),
    Case("nn.norm.layer_norm/gradient", TOPIC, "gradient",
         jax.grad(_row_seen), _row_backward, ROW, ROUNDING, "Ba, Kiros, Hinton (2016), eq. (4)",
         _row_seen),
)  # fmt: skip


def _constant(key: Any, dtype: Any) -> tuple:
    """A constant channel and a constant row."""
    x = jnp.full((4, 3), 7.25, dtype)
    ones = jnp.ones(3, dtype)
    return (
        (Params(2.0 * ones, 0.5 * ones), x),
        State(0.0 * ones, ones),
        jnp.cos(x * 0 + jnp.arange(3.0, dtype=dtype)[None, :]),
    )


def _flat(at: Any, state: State, g: Array) -> tuple:
    """Values, and gradients in x."""
    params, x = at
    of_batch = jax.grad(lambda x: (g * normalized((params, x), state)).sum())(x)
    row = layer_norm.Params(*params)
    of_rows = jax.grad(lambda x: (g * layer_norm.apply(row, x, eps=EPS)).sum())(x)
    return normalized(at, state), layer_norm.apply(row, x, eps=EPS), of_batch, of_rows


def _flat_by_hand(at: Any, state: State, g: Array) -> tuple:
    # xhat = 0: y = bias, dx = (scale g - mean(scale g)) / sqrt(eps); g is constant down a column
    (scale, bias), x = at
    y = jnp.broadcast_to(bias[None, :], x.shape)
    h = scale[None, :] * g
    return y, y, 0.0 * x, (h - h.mean(axis=1, keepdims=True)) / EPS**0.5


def _far(key: Any, dtype: Any) -> tuple:
    """A batch and rows at 1450 +- 1, exact in every dtype."""
    x = jnp.asarray(
        1450.0
        + np.array([[-1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, -0.5], [0.25, -1.0, -1.0]]),
        dtype,
    )
    ones = jnp.ones(3, dtype)
    return (Params(ones, 0.0 * ones), x), State(0.0 * ones, ones), x


def _far_values(at: Any, state: State, g: Array) -> tuple[Array, Array]:
    return normalized(at, state), layer_norm.apply(layer_norm.Params(*at[0]), at[1], eps=EPS)


def _near_values(at: Any, state: State, g: Array) -> tuple[Array, Array]:
    """The same numbers, moved to where nothing cancels."""
    params, x = at
    x = x - 1450.0
    return hand.apply(params, x, eps=EPS), jax.vmap(lambda x: hand_layer.apply(params, x, eps=EPS))(
        x
    )


SPECIAL = (
    Case("nn.norm/value-and-gradient@constant", TOPIC, "identity",
         _flat, _flat_by_hand, _constant, ROUNDING._replace(scale=1.0), "xhat = 0"),
    Case("nn.norm/value@1450", TOPIC, "identity",
         _far_values, _near_values, _far, ROUNDING._replace(float32=2e-6),
         "y does not see a shift of x"),
)  # fmt: skip
