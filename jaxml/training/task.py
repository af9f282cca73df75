"""What is trained: pure functions over one tree of arrays, compiled into one step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxml._typing import Array, Int, Key, PyTree, Scalar

__all__ = ["Task", "n_parameters"]


class Task(NamedTuple):
    """A model, its data and its measure, as pure functions; none of them holds an array."""

    data: PyTree  # the arrays that batch and evaluate read, training and held-out
    init: Callable[[Key], tuple[PyTree, PyTree]]  # key -> params, state (running statistics; or ())
    # (key, step, data) -> batch. The key is the same at every step: fold the step in, so that the
    # order of the data is a function of the step alone and an interrupted run finds it again.
    batch: Callable[[Key, Int[Array, ""], PyTree], PyTree]
    # (params, state, batch, key) -> loss, state; the key is this step's own, for dropout
    loss: Callable[[PyTree, PyTree, PyTree, Key], tuple[Scalar, PyTree]]
    evaluate: Callable[[PyTree, PyTree, PyTree], dict[str, Scalar]]  # (params, state, data)
    facts: dict[str, Any]  # what is known before the first step, for the log: sizes, entropies
    about: tuple[str, ...] = ()  # the same in sentences, for the terminal
    sample: Callable[[PyTree, PyTree, Key], str] | None = None  # a text made by the trained model


def n_parameters(init: Callable[[Key], tuple[PyTree, PyTree]]) -> int:
    """Return how many numbers the parameters are, without drawing them."""
    params, _ = jax.eval_shape(init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(params))
