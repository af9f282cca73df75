"""Compile what runs a few times on small data: there the optimizer is what costs."""

from collections.abc import Callable
from importlib import metadata
from typing import Any

import jax

__all__ = ["quick"]


def quick(f: Callable[..., Any]) -> Callable[..., Any]:
    """Jit f without the optimizer, on a CPU."""
    if jax.default_backend() != "cpu":
        return jax.jit(f)
    options: dict[str, Any] = {"xla_backend_optimization_level": 0}
    if metadata.version("jaxlib").startswith("0.10."):
        options["xla_cpu_use_fusion_emitters"] = False  # they take two thirds of the time
    return jax.jit(f, compiler_options=options)
