"""One step of training, compiled once: draw the batch, differentiate, refuse or apply.

    (l, s'), g = value_and_grad loss(theta, s, batch_t)
    sound      = l, g, s' and theta' hold only finite numbers
    theta, s, m <- theta', s', m'   where sound, else as before; the step is counted as skipped

Everything that the next step depends on is in ``Carry``, and the batch and the noise of step t are
functions of (seed, t) alone: a run that is continued from a saved Carry takes the same steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxml._loop import all_finite
from jaxml._table import ConfigError
from jaxml._typing import Array, Float, Int, Key, PyTree
from jaxml.training.task import Task

__all__ = ["Carry", "Keys", "Report", "check_drives", "initial", "keys", "make_step"]


class Keys(NamedTuple):
    """The streams of random numbers of one seed."""

    init: Key  # of the parameters
    data: Key  # of the order of the data
    noise: Key  # of dropout; the step is folded in
    sample: Key  # of the text at the end


class Carry(NamedTuple):
    """What goes from step to step, and into a checkpoint."""

    params: PyTree
    state: PyTree  # of the layers: running statistics
    memory: PyTree  # of the optimizer
    step: Int[Array, ""]  # steps done, skipped ones among them
    skipped: Int[Array, ""]  # steps refused
    streak: Int[Array, ""]  # of these, the latest ones in a row
    total: Float[Array, ""]  # sum of the losses since the last record of the log
    counted: Int[Array, ""]  # how many these are


class Report(NamedTuple):
    """What the host wants to know of a step."""

    loss: Float[Array, ""]  # of this step; not finite if it was skipped for that
    mean: Float[Array, ""]  # of the losses since the last record; NaN if all steps were skipped
    skipped: Int[Array, ""]
    streak: Int[Array, ""]


def keys(seed: int) -> Keys:
    """Return the streams that belong to a seed."""
    return Keys(*jax.random.split(jax.random.key(seed), 4))


def initial(task: Task, transformation: Any, key: Key) -> Carry:
    """Return the Carry before the first step."""
    params, state = task.init(key)
    zero = jnp.int32(0)
    return Carry(
        params, state, transformation.init(params), zero, zero, zero, jnp.float32(0.0), zero
    )


def _like(tree: PyTree, like: PyTree) -> PyTree:
    # optax keeps part of its state in the default float, which may be wider than the parameters.
    return jax.tree.map(
        lambda a, b: a if a.dtype == b.dtype else jnp.asarray(a, b.dtype), tree, like
    )


def make_step(
    task: Task, transformation: Any, *, streams: Keys, log_every: int, clip_norm: float
) -> Callable[[Carry, PyTree], tuple[Carry, Report]]:
    """Return the compiled step (carry, data) -> (carry, report); it consumes the carry.

    Args:
      task: The model and its loss.
      transformation: An optax optimizer; one that evaluates the loss (L-BFGS) gets this batch's.
      streams: Random streams; only data and noise are used.
      log_every: After so many steps the mean of the losses begins anew.
      clip_norm: The gradient is scaled down to this norm; inf leaves it as it is.
    """
    optimizer = optax.with_extra_args_support(transformation)

    def step(carry: Carry, data: PyTree) -> tuple[Carry, Report]:
        batch = task.batch(streams.data, carry.step, data)
        noise = jax.random.fold_in(streams.noise, carry.step)

        def loss_at(params: PyTree) -> tuple[Array, PyTree]:
            return task.loss(params, carry.state, batch, noise)

        (loss, state), grads = jax.value_and_grad(loss_at, has_aux=True)(carry.params)
        clipped = grads
        if clip_norm < float("inf"):
            norm = optax.tree.norm(grads)
            scale = jnp.where(norm > clip_norm, clip_norm / norm, 1.0)
            clipped = jax.tree.map(lambda g: scale.astype(g.dtype) * g, grads)
        updates, memory = optimizer.update(
            clipped,
            carry.memory,
            carry.params,
            value=loss,
            grad=clipped,
            value_fn=lambda params: loss_at(params)[0],
        )
        new = (
            _like(optax.apply_updates(carry.params, updates), carry.params),
            _like(state, carry.state),
            _like(memory, carry.memory),
        )
        sound = all_finite((loss, grads, new[0], new[1]))
        old = (carry.params, carry.state, carry.memory)
        params, state, memory = jax.tree.map(lambda n, o: jnp.where(sound, n, o), new, old)
        fresh = carry.step % log_every == 0
        one = sound.astype(jnp.int32)
        carry = Carry(
            params,
            state,
            memory,
            step=carry.step + 1,
            skipped=carry.skipped + 1 - one,
            streak=jnp.where(sound, 0, carry.streak + 1),
            total=jnp.where(fresh, 0.0, carry.total) + jnp.where(sound, loss, 0.0),
            counted=jnp.where(fresh, 0, carry.counted) + one,
        )
        carry = carry._replace(total=carry.total.astype(jnp.float32))
        return carry, Report(loss, carry.total / carry.counted, carry.skipped, carry.streak)

    return jax.jit(step, donate_argnums=0)


def check_drives(transformation: Any, carry: Carry) -> None:
    """Raise ConfigError unless the optimizer makes, of gradients, updates of the same shapes.

    Args:
      transformation: An optax optimizer.
      carry: Arrays or their shapes.
    """

    def update(params: PyTree, memory: PyTree) -> PyTree:
        value = jnp.float32(0.0)
        more = {"value": value, "grad": params, "value_fn": lambda params: value}
        optimizer = optax.with_extra_args_support(transformation)
        return optax.apply_updates(params, optimizer.update(params, memory, params, **more)[0])

    try:
        made = jax.eval_shape(update, carry.params, carry.memory)
    except Exception as error:  # whatever an optimizer of another kind stumbles over
        raise ConfigError(f"optimizer: it cannot drive this loop: {error}") from error
    pairs = zip(jax.tree.leaves(made), jax.tree.leaves(carry.params), strict=True)
    if wrong := [(new.shape, old.shape) for new, old in pairs if new.shape != old.shape]:
        new, old = wrong[0]
        raise ConfigError(f"optimizer: it cannot drive this loop: expected {old}, got {new}")
