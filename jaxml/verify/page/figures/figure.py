"""What a figure is: a function that draws panels and says in one sentence what is seen."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxml.verify import compilation

__all__ = ["Figure", "quick"]


class Figure(NamedTuple):
    """A figure of a topic."""

    draw: Callable[..., str]  # (*panels) -> caption, with the numbers measured as it was drawn
    alts: tuple[str, ...]  # one per panel: what it shows, in words
    height: float = 2.9  # of a panel, in inches


def quick(f: Callable[..., Any]) -> Callable[..., Any]:
    """F compiled as a whole and quickly, returning NumPy arrays."""
    compiled = compilation.quick(f)
    return lambda *args: jax.tree.map(np.asarray, compiled(*args))
