"""Batch normalization: backward through the moments, running state, the whole batch."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml._typing import Array
from jaxml.closed_form.nn.norm import batch_norm as hand
from jaxml.nn.norm import batch_norm
from jaxml.nn.norm.batch_norm import Params, State
from jaxml.verify.case import ROUNDING, Case, Point, Tolerance, point
from jaxml.verify.domains import Domain, Generator, Numbers, design, vector

__all__ = ["CASES", "EPS", "TOPIC", "normalized", "parameters"]

TOPIC = ("batch-norm",)
SHAPES = ((6, 3), (2, 1))
REF = "Ioffe, Szegedy (2015), section 3"
EPS = 0.1  # large enough that a formula without it would be seen
NULL = Tolerance(1e-10, 1e-3, "rounding; the answer is 0", scale=1.0)


def parameters(rng: Generator, d: int) -> Params:
    """A scale away from 0, and a bias."""
    scale: Numbers = rng.uniform(0.5, 2.0, size=d)
    return Params(scale, vector(rng, d))


def _state(rng: Generator, d: int) -> State:
    variance: Numbers = rng.uniform(0.5, 2.0, size=d)
    return State(vector(rng, d), variance)


def _batch(rng: Generator, n: int, d: int) -> Point:
    x = design(rng, n, d)
    return point((parameters(rng, d), x), _state(rng, d), rng.standard_normal((n, d)))


BATCH = Domain(_batch, SHAPES)


def normalized(at: Any, state: State, *, training: bool = True, **kw: Any) -> Array:
    """Y of the library, at (params, x)."""
    params, x = at
    return batch_norm.apply(params, state, x, training=training, eps=EPS, **kw)[0]


def _value(at: Any, state: State, g: Array) -> Array:
    return normalized(at, state)


def _seen(at: Any, state: State, g: Array) -> Array:
    return (g * normalized(at, state)).sum()


def _backward(at: Any, state: State, g: Array) -> Any:
    params, dx = hand.backward(at[0], at[1], g, eps=EPS)
    return Params(*params), dx


def _frozen(at: Any, state: State, g: Array) -> Any:
    """The wrong version: only the direct path."""
    params, _ = hand.backward(at[0], at[1], g, eps=EPS)
    return Params(*params), hand.backward_with_frozen_moments(at[0], at[1], g, eps=EPS)


def _without_mean(at: Any, state: State, g: Array) -> Any:
    params, x = _backward(at, state, g)
    s = jnp.sqrt(hand.moments(at[1])[1] + EPS)
    return params, x + (at[0][0] * g.mean(axis=0) / s)[None, :]


# -- what dropping the paths through the moments costs, as a number
def _error_of_dropping(at: Any, state: State, g: Array) -> Array:
    """|wrong - right| / |wrong|, channel by channel; wrong takes the moments for constants."""
    params, x = at
    frozen = State(*hand.moments(x))

    def seen(x: Array, state: State, training: bool) -> Array:
        return (g * normalized((params, x), state, training=training)).sum()

    right = jax.grad(seen)(x, state, True)
    wrong = jax.grad(seen)(x, frozen, False)
    return jnp.sqrt(((wrong - right) ** 2).sum(axis=0) / (wrong**2).sum(axis=0))


def _for_nothing(at: Any, state: State, g: Array) -> tuple[Array, Array]:
    """L = sum_i y_i^2/2 does not depend on x for eps = 0; the wrong gradient is scale y/s.

    The right gradient over the length of the wrong one, and the share that is wrong.
    """
    (scale, bias), x = at
    tiny = float(jnp.finfo(x.dtype).eps) ** 2

    def energy(x: Array, state: State, training: bool) -> Array:
        y, _ = batch_norm.apply(Params(scale, bias), state, x, training=training, eps=tiny)
        return 0.5 * (y**2).sum()

    right = jax.grad(energy)(x, state, True)
    wrong = jax.grad(energy)(x, State(*hand.moments(x)), False)
    size = jnp.sqrt((wrong**2).sum(axis=0))
    return right / size[None, :], jnp.sqrt(((wrong - right) ** 2).sum(axis=0)) / size


def _nothing(at: Any, state: State, g: Array) -> tuple[Array, Array]:
    return jnp.zeros_like(at[1]), jnp.ones_like(at[1][0])


# -- what the gradient is orthogonal to
def _sums(at: Any, state: State, g: Array) -> tuple[Array, Array]:
    """sum dx and sum dx xhat, for an eps below rounding."""
    params, x = at
    tiny = float(jnp.finfo(x.dtype).eps) ** 2

    def seen(x: Array) -> Array:
        return (g * batch_norm.apply(params, state, x, training=True, eps=tiny)[0]).sum()

    dx = jax.grad(seen)(x)
    xhat = batch_norm.apply(Params(0 * params[0] + 1, 0 * params[1]), state, x, training=True,
                            eps=tiny)[0]  # fmt: skip
    return dx.sum(axis=0), (dx * xhat).sum(axis=0)


def _zeros(at: Any, state: State, g: Array) -> tuple[Array, Array]:
    return jnp.zeros_like(at[1][0]), jnp.zeros_like(at[1][0])


# -- the state
def _after_three(at: Any, state: State, g: Array, *, unbiased: bool) -> State:
    params, x = at
    for k in range(3):
        _, state = batch_norm.apply(params, state, x * (k + 1), training=True, momentum=0.8,
                                    unbiased=unbiased)  # fmt: skip
    return state


def _after_three_by_hand(at: Any, state: State, g: Array, *, unbiased: bool) -> State:
    for k in range(3):
        x = at[1] * (k + 1)
        state = State(*hand.updated(state, x, momentum=0.8, unbiased=unbiased))
    return state


def _seen_state(x: Array, at: Any, state: State, g: Array) -> Array:
    """A loss on the new state: its derivative passes as well."""
    new = batch_norm.apply(at[0], state, x, training=True, momentum=0.8, eps=EPS)[1]
    return (g[0] * new.mean).sum() + (g[1] * new.variance).sum()


def _state_backward(x: Array, at: Any, state: State, g: Array) -> Array:
    return 0.2 * hand.backward_of_moments(x, g[0], g[1])


def _with_x(rng: Generator, n: int, d: int) -> Point:
    at = _batch(rng, n, d)
    return point(at.args[0][1], *at.args)


# -- a batch spread over an axis
def _spread(at: Any, state: State, g: Array) -> Any:
    """y, the state and all gradients of a batch of which each member of an axis holds two rows."""
    params, x = at
    shape = (-1, 2, x.shape[1])

    def member(params: Params, x: Array) -> tuple[Array, State]:
        return batch_norm.apply(params, state, x, training=True, momentum=0.8, eps=EPS,
                                axis_name="members")  # fmt: skip

    def whole(params: Params, x: Array) -> tuple[Array, tuple[Array, State]]:
        y, new = jax.vmap(member, (None, 0), axis_name="members")(params, x.reshape(shape))
        return (g * y.reshape(x.shape)).sum(), (y.reshape(x.shape), new)

    (_, (y, new)), grads = jax.value_and_grad(whole, (0, 1), has_aux=True)(params, x)
    return y, State(*(leaf[0] for leaf in new)), grads


def _whole(at: Any, state: State, g: Array) -> Any:
    params, x = at
    new = State(*hand.updated(state, x, momentum=0.8, unbiased=True))
    return hand.apply(params, x, eps=EPS), new, _backward(at, state, g)


CASES = (
    Case("nn.norm.batch_norm/value", TOPIC, "identity",
         _value, lambda at, state, g: hand.apply(*at, eps=EPS), BATCH, ROUNDING, REF),
    Case("nn.norm.batch_norm/gradient", TOPIC, "gradient",
         jax.grad(_seen), _backward, BATCH, ROUNDING, REF, _seen,
         mutants=(_frozen, _without_mean)),
    Case("nn.norm.batch_norm/what-dropping-the-paths-through-the-moments-costs", TOPIC, "identity",
         _error_of_dropping, lambda at, state, g: hand.dropped(at[1], g, eps=EPS), BATCH,
         ROUNDING._replace(float32=1e-4), "orthogonality of 1 and xhat"),
    Case("nn.norm.batch_norm/a-gradient-where-there-is-none", TOPIC, "identity",
         _for_nothing, _nothing, Domain(_batch, SHAPES[:1]),
         NULL, "sum xhat^2 = n whatever x is"),
    Case("nn.norm.batch_norm/gradient-sums-to-0", TOPIC, "identity",
         _sums, _zeros, BATCH, NULL, "y does not see x + c and x c"),
    *(Case(f"nn.norm.batch_norm/state-{name}", TOPIC, "identity",
           partial(_after_three, unbiased=unbiased),
           partial(_after_three_by_hand, unbiased=unbiased), BATCH, ROUNDING,
           "Ioffe, Szegedy (2015), Algorithm 2",
           mutants=(partial(_after_three_by_hand, unbiased=not unbiased),))
      for name, unbiased in (("unbiased", True), ("biased", False))),
    Case("nn.norm.batch_norm/gradient-through-the-state", TOPIC, "gradient",
         jax.grad(_seen_state), _state_backward, Domain(_with_x, SHAPES), ROUNDING,
         "moments, entry by entry", _seen_state),
    Case("nn.norm.batch_norm/spread-over-an-axis", TOPIC, "identity",
         _spread, _whole, Domain(_batch, ((6, 3), (4, 1))), ROUNDING, REF),
)  # fmt: skip
