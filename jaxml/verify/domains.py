"""Where claims are tested: seeded points, drawn afresh each time, at several shapes.

A sample is drawn by NumPy in float64 and then rounded to the dtype asked for, so both see the
same point and drawing compiles nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxml._typing import Key
from jaxml.verify.case import Point
from jaxml.verify.evidence import cast

__all__ = [
    "Domain", "away_from", "design", "labels", "logits", "regression", "seed", "signs", "vector",
]  # fmt: skip

Generator = np.random.Generator
Numbers = Any  # NumPy arrays, which a draw turns into JAX arrays


def seed(key: Key) -> Generator:
    """Return the NumPy generator that belongs to a JAX key."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())


@dataclass(frozen=True)
class Domain:
    """A draw, called as (key, dtype) -> arguments, that also knows other shapes to try.

    Attributes:
      sample: (generator, *shape) -> tuple of arguments, or Point.
      shapes: The first is what a call draws; all are tried by the engine.
    """

    sample: Callable[..., tuple | Point]
    shapes: tuple[tuple[int, ...], ...] = ((),)

    def __call__(self, key: Key, dtype: Any) -> tuple | Point:
        """Draw at the first shape."""
        return self.at(self.shapes[0], key, dtype)

    def at(self, shape: tuple[int, ...], key: Key, dtype: Any) -> tuple | Point:
        """Draw at a shape."""
        return cast(self.sample(seed(key), *shape), dtype)

    def each(self) -> tuple[Callable[[Key, Any], tuple | Point], ...]:
        """Return one draw per shape."""
        return tuple(lambda key, dtype, s=shape: self.at(s, key, dtype) for shape in self.shapes)


def vector(rng: Generator, n: int, *, scale: float = 1.0) -> Numbers:
    """N normal numbers."""
    return scale * rng.standard_normal(n)


def logits(rng: Generator, n: int) -> Numbers:
    """N scores from the middle and from both tails, where sigmoids saturate."""
    return rng.standard_normal(n) * rng.choice([0.3, 2.0, 12.0], size=n)


def away_from(values: Numbers, kinks: tuple[float, ...], gap: float = 0.05) -> Numbers:
    """Move values so that none lies within gap of a kink: 10 steps of the stencil and more."""
    for kink in kinks:
        side = np.where(values >= kink, 1.0, -1.0)
        values = np.where(np.abs(values - kink) < gap, kink + side * gap * 1.5, values)
    return values


def signs(rng: Generator, n: int) -> Numbers:
    """N labels in {-1, 1}, both present for n >= 2."""
    return 2.0 * labels(rng, n, 2) - 1.0


def labels(rng: Generator, n: int, n_classes: int) -> Numbers:
    """N integer labels in 0..n_classes-1, all present for n >= n_classes."""
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, size=n)])[:n]
    return rng.permutation(y).astype(np.int32)


def design(rng: Generator, n: int, d: int, *, correlation: float = 0.4) -> Numbers:
    """(n, d) features of unequal scale, mean and some correlation, well-conditioned for n > d."""
    X = rng.standard_normal((n, d)) + correlation * rng.standard_normal((n, 1))
    return X * rng.uniform(0.5, 2.0, size=d) + rng.normal(scale=0.5, size=d)


def regression(rng: Generator, n: int, d: int) -> tuple[Numbers, Numbers, Numbers]:
    """Features, targets with noise, and unequal positive weights."""
    X = design(rng, n, d)
    y = X @ rng.standard_normal(d) + 0.7 + 0.5 * rng.standard_normal(n)
    return X, y, rng.uniform(0.5, 2.0, size=n)
