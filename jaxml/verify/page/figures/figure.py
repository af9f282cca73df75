"""What a figure is: a function that draws panels and says in one sentence what is seen."""

from collections.abc import Callable
from importlib import metadata
from typing import Any, NamedTuple

import jax
import numpy as np

__all__ = ["Figure", "quick"]


class Figure(NamedTuple):
    """A figure of a topic."""

    draw: Callable[..., str]  # (*panels) -> caption, with the numbers measured as it was drawn
    alts: tuple[str, ...]  # one per panel: what it shows, in words
    height: float = 2.9  # of a panel, in inches


def quick(f: Callable[..., Any]) -> Callable[..., Any]:
    """F compiled as a whole and without the optimizer, returning NumPy arrays.

    What a figure computes runs once on small data: compiling is what it costs.
    """
    compiled = jax.jit(f, compiler_options=_cheap())
    return lambda *args: jax.tree.map(np.asarray, compiled(*args))


def _cheap() -> dict[str, Any] | None:
    if jax.default_backend() != "cpu":
        return None
    options: dict[str, Any] = {"xla_backend_optimization_level": 0}
    if metadata.version("jaxlib").startswith("0.10."):
        # Its fusion emitters take two thirds of the time.
        options["xla_cpu_use_fusion_emitters"] = False
    return options
