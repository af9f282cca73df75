"""Tolerances per dtype and backend: the one table of the suite."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["Tolerance", "of"]


class Tolerance(NamedTuple):
    """Relative tolerances of the comparisons that tests make."""

    rounding: float  # two orders of the same short sum: a few eps
    routes: float  # jit, eager, vmap, loop, shards: eps times the length of a fit
    fit: float  # two fits of one problem by different ways, a gradient tolerance apart
    weights: float  # integer weights against replicated rows
    derivative: float  # implicit derivative against finite differences of refits


TABLE = {
    ("float32", "cpu"): Tolerance(1e-6, 1e-5, 2e-4, 1e-3, 1e-2),
    ("float64", "cpu"): Tolerance(1e-14, 1e-12, 1e-9, 1e-7, 1e-7),
    # Reductions on a GPU run as trees of another shape, and float64 exp keeps one digit less.
    ("float32", "gpu"): Tolerance(2e-6, 5e-5, 5e-4, 2e-3, 1e-2),
    ("float64", "gpu"): Tolerance(1e-13, 1e-11, 1e-9, 1e-7, 1e-7),
}


def of(dtype: Any) -> Tolerance:
    """Return the row of the table for dtype on the backend in use."""
    return TABLE[jnp.dtype(dtype).name, jax.default_backend()]
