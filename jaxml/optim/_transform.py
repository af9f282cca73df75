"""What the optimizers share: the step along a direction, and the refusal of a non-finite gradient.

    theta_{t+1} = theta_t - lr_t d_t,    d_t the direction made of g_1 .. g_t

Each optimizer is its direction; ``transformation`` makes it an optax.GradientTransformation, so
that it runs in any optax loop, chain or schedule. A gradient that holds NaN or inf would enter the
moments and stay there for ever: such a step changes nothing and is counted.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxml import _check
from jaxml._loop import all_finite
from jaxml._typing import Array, ArrayLike, Int, PyTree, Real

__all__ = ["State", "like", "transformation", "unit_interval"]

# (grads, memory, params, t) -> (d_t, memory), with t = 1, 2, ... the number of the step
Direction = Callable[[PyTree, PyTree, PyTree, Array], tuple[PyTree, PyTree]]


class State(NamedTuple):
    """What an optimizer carries from step to step."""

    applied: Int[Array, ""]  # steps taken; schedules are functions of it
    skipped: Int[Array, ""]  # steps refused, since the gradient was not finite
    memory: PyTree  # velocity or moments, () for plain gradient descent


def like(value: ArrayLike, leaf: Array) -> Array:
    """Return a hyperparameter in the dtype of the leaf that it multiplies."""
    return jnp.asarray(value, leaf.dtype)


def unit_interval(name: str, value: Real) -> None:
    """Raise ValueError unless value, when concrete, lies in [0, 1)."""
    value = _check.at_least(name, value, 0, dtype=float)
    if _check.is_concrete(value) and not float(value) < 1:
        raise ValueError(f"{name} must be in [0, 1): got {float(value)}")


def transformation(
    learning_rate: Real | optax.Schedule,
    memory: Callable[[PyTree], PyTree],
    direction: Direction,
) -> optax.GradientTransformation:
    """Return the optimizer that steps by -lr_t d_t and skips gradients that are not finite.

    Args:
      learning_rate: A number >= 0, a traced scalar, or a schedule: steps applied -> lr.
      memory: params -> what the direction remembers at the start.
      direction: (grads, memory, params, t) -> (d_t, memory).
    """
    if not callable(learning_rate):
        _check.at_least("learning_rate", learning_rate, 0, dtype=float)

    def init(params: PyTree) -> State:
        return State(jnp.int32(0), jnp.int32(0), memory(params))

    def update(updates: PyTree, state: Any, params: Any = None) -> tuple[PyTree, State]:
        grads = updates
        d, remembered = direction(grads, state.memory, params, state.applied + 1)
        lr = learning_rate(state.applied) if callable(learning_rate) else learning_rate
        sound = all_finite(grads)
        updates = jax.tree.map(lambda d: jnp.where(sound, -like(lr, d) * d, 0), d)
        kept = jax.tree.map(lambda new, old: jnp.where(sound, new, old), remembered, state.memory)
        one = sound.astype(jnp.int32)
        return updates, State(state.applied + one, state.skipped + 1 - one, kept)

    return optax.GradientTransformation(init, update)
