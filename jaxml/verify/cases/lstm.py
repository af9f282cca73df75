"""Claims about the LSTM: cell equations, back-propagation through time, ranges, padding."""

from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.nn import lstm as hand
from jaxml.nn import lstm
from jaxml.verify.case import ROUNDING, Case, Point, Tolerance, point
from jaxml.verify.domains import Domain, Generator

__all__ = ["CASES"]

THROUGH_TIME = Tolerance(1e-12, 2e-5, "rounding carried through some steps")
RANGE = Tolerance(1e-15, 1e-7, "a sigmoid rounds to 0 or 1 in its tails")


def _weights(rng: Generator, d: int, h: int, scale: float = 0.7) -> lstm.Params:
    kernel, recurrent, bias = (
        scale * rng.standard_normal(shape) for shape in ((d, 4 * h), (h, 4 * h), (4 * h,))
    )
    return lstm.Params(cast(Array, kernel), cast(Array, recurrent), cast(Array, bias))


def _sample(rng: Generator, t: int, b: int, d: int, h: int) -> Point:
    """Everything that has a gradient first, then lengths and a cotangent of every output."""
    state = lstm.State(*(cast(Array, part) for part in rng.standard_normal((2, b, h))))
    inputs = _weights(rng, d, h), rng.standard_normal((t, b, d)), state
    lengths = rng.permutation(np.arange(b) % (t + 1)).astype(np.int32)  # 0 among them
    G = rng.standard_normal((t, b, h)), tuple(rng.standard_normal((2, b, h)))
    return point(inputs, lengths, G)


def _paired(out: Any, G: Any) -> Array:
    pairs = zip(jax.tree.leaves(out), jax.tree.leaves(G), strict=True)
    return jnp.sum(jnp.stack([jnp.sum(a * b) for a, b in pairs]))


def _whole(inputs: Any, lengths: Array, G: Any) -> Array:
    return _paired(lstm.apply(*inputs), G)


def _padded(inputs: Any, lengths: Array, G: Any) -> Array:
    return _paired(lstm.apply(*inputs, lengths=lengths), G)


def _hand(inputs: Any, lengths: Array, G: Any, *, padded: bool) -> tuple:
    if not padded:
        lengths = jnp.full_like(lengths, inputs[1].shape[0])
    params, x, state = inputs
    gy, last = G
    return hand.backward(params, x, state, lengths, gy, last)


def _outputs(inputs: Any, lengths: Array, G: Any) -> tuple:
    params, x, state = inputs
    return hand.forward(params, x, state, lengths)


def _without_the_cell_path(inputs: Any, lengths: Array, G: Any) -> tuple:
    gy, (gh, gc) = G
    return _hand(inputs, lengths, (gy, (gh, jnp.zeros_like(gc))), padded=True)


def _in_pieces(inputs: Any, lengths: Array, G: Any) -> tuple:
    params, x, state = inputs
    middle = x.shape[0] // 2
    y, state = lstm.apply(params, x[:middle], state, lengths=jnp.minimum(lengths, middle))
    z, state = lstm.apply(params, x[middle:], state, lengths=jnp.maximum(lengths - middle, 0))
    return jnp.concatenate([y, z]), state


def _ranges(inputs: Any, lengths: Array, G: Any) -> tuple:
    params, x, state = inputs
    gates = lstm.gates(params, x[0], state.hidden)
    y, last = lstm.apply(params, x, state)
    return jnp.abs(jnp.stack(gates)), jnp.abs(y), jnp.abs(last.cell)


def _tight_ranges(inputs: Any, lengths: Array, G: Any) -> tuple:
    gates, y, cell = hand.bounds(*inputs[1:])
    return 0.5 * gates, y, cell


def _small_outputs(inputs: Any, lengths: Array, G: Any) -> tuple:
    gates, y, cell = hand.bounds(*inputs[1:])
    return gates, 0.1 * y, cell


def _cell_that_cannot_grow(inputs: Any, lengths: Array, G: Any) -> tuple:
    gates, y, cell = hand.bounds(*inputs[1:])
    return gates, y, 0.2 * cell


def _saturated(rng: Generator, t: int, b: int, d: int, h: int) -> Point:
    (_, x, state), lengths, G = _sample(rng, t, b, d, h).args
    bias = 5.0 * rng.choice([-1.0, 1.0], size=4 * h)
    return point((_weights(rng, d, h, 3.0)._replace(bias=bias), x, state), lengths, G)


def _from_the_cell(inputs: Any, lengths: Array, G: Any) -> Array:
    params, x, (hidden, cell) = inputs
    alone = params._replace(recurrent=jnp.zeros_like(params.recurrent))
    return jax.grad(
        lambda cell: lstm.apply(alone, x, lstm.State(hidden, cell))[1].cell.sum()
    )(cell)  # fmt: skip


SHAPES = ((4, 3, 2, 3), (1, 2, 1, 1), (3, 1, 1, 2))  # t, b, d, h
CASES = (
    Case("nn.lstm/forward", ("lstm",), "identity",
         lambda inputs, lengths, G: lstm.apply(*inputs, lengths=lengths),
         _outputs,
         Domain(_sample, SHAPES), THROUGH_TIME, "Gers et al. (2000), eq. (1)-(8)"),
    Case("nn.lstm/gates", ("lstm",), "identity",
         lambda inputs, lengths, G: lstm.gates(inputs[0], inputs[1][0], inputs[2].hidden),
         lambda inputs, lengths, G: hand.gates(inputs[0], inputs[1][0], inputs[2].hidden),
         Domain(_sample, SHAPES[:2]), ROUNDING, "sigmoid(z) = (1 + tanh(z/2)) / 2"),
    Case("nn.lstm/gradient", ("lstm",), "gradient", jax.grad(_whole),
         partial(_hand, padded=False), Domain(_sample, SHAPES), THROUGH_TIME,
         "Gers et al. (2000), section 3", value=_whole),
    Case("nn.lstm/padded-gradient", ("lstm",), "gradient", jax.grad(_padded),
         partial(_hand, padded=True), Domain(_sample, SHAPES), THROUGH_TIME,
         "a step behind the end leaves h and c as they are", value=_padded,
         mutants=(_without_the_cell_path, partial(_hand, padded=False))),
    Case("nn.lstm/in-pieces", ("lstm",), "identity", _in_pieces,
         _outputs,
         Domain(_sample, SHAPES), THROUGH_TIME, "the state is all that passes from step to step"),
    Case("nn.lstm/ranges", ("lstm",), "bound", _ranges,
         lambda inputs, lengths, G: hand.bounds(*inputs[1:]),
         Domain(_saturated, ((4, 3, 2, 3), (1, 2, 1, 1))), RANGE, "0 < sigmoid < 1, |tanh| < 1",
         mutants=(_tight_ranges, _small_outputs, _cell_that_cannot_grow)),
    Case("nn.lstm/carousel", ("lstm", "vanishing-gradient"), "identity", _from_the_cell,
         lambda inputs, lengths, G: hand.carousel(*inputs),
         Domain(_sample, SHAPES), THROUGH_TIME, "Gers et al. (2000), section 2"),
)  # fmt: skip
