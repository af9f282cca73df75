"""What a family states about each of its jobs, so that the harness can run them all alike."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Contestant", "Job", "Problem"]

Contestant = tuple[
    Callable[[], Any], Callable[[Any], tuple]
]  # run, and read: run's answer -> gap's


def _linear(fit: Any) -> tuple[np.ndarray, ...]:
    return np.asarray(fit.params.coef), np.asarray(fit.params.intercept)


class Problem(NamedTuple):
    """One job at its sizes."""

    arrays: tuple[np.ndarray, ...]  # what jaxml gets, placed on the device before any clock
    fit: Callable[..., Any]  # (*arrays, tol=...) -> Fit, or arrays; can be jitted
    given: dict[str, Any]  # what the peers get
    gap: Callable[..., float]  # what a side's read returns -> suboptimality; for a linear fit J's
    work: Callable[[int], tuple[float, float]]  # iterations -> (bytes, flops)
    read: Callable[[Any], tuple] = _linear  # what fit returns -> the arguments of gap


class Job(NamedTuple):
    """A kind of problem: its keyword-only arguments are the keys of the configuration."""

    build: Callable[..., Problem]  # (rng, dtype, *, sizes) -> Problem
    peer: Callable[..., Contestant]  # (given, tol, *, options) -> (run, read)
