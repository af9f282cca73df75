"""What ``import jaxml`` adds to ``import jax``: pairs of fresh processes, clocked inside."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["measure"]

CLOCK = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def _once(modules: str) -> float:
    command = [sys.executable, "-c", CLOCK.format(modules)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(repeats: int, aim: float, tick: Callable[[], None]) -> dict[str, Any]:
    """Time both imports in turn; a first process only fills the file caches.

    Args:
      repeats: Pairs to time.
      aim: Seconds that may be added.
      tick: Called after each pair.

    Returns:
      Medians, the median difference with the ends of its 95 % bootstrap interval, and the verdict.
    """
    _once("jax, jaxml")
    alone, both = [], []
    for _ in range(repeats):
        alone.append(_once("jax"))
        both.append(_once("jax, jaxml"))
        tick()
    added = np.subtract(both, alone)
    drawn = np.random.default_rng(0).choice(added, (2000, repeats))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    median = float(np.median(added))
    return {
        "jax_s": float(np.median(alone)), "both_s": float(np.median(both)), "added_s": median,
        "low": float(low), "high": float(high), "repeats": repeats, "aim": aim,
        "met": median <= aim,
    }  # fmt: skip
