"""Argument checks at the public boundary: what is expected, and what came.

Static facts (shapes, dtypes, Python numbers) are checked always. Values are checked when they are
concrete; under a trace the same facts show in ``info.code``. Features are the one argument too
large to read twice: a fit finds NaN in them on its way, and ``raise_for`` turns the code into an
error when the arguments were concrete.
"""

from jaxml._check.arrays import array, finite, is_concrete, rows, scores
from jaxml._check.settings import above, at_least, choice, integer, is_positive, is_zero, key, like
from jaxml._check.targets import classified, labels, raise_for, signed, supervised, weights

__all__ = [
    "above", "array", "at_least", "choice", "classified", "finite", "integer", "is_concrete",
    "is_positive", "is_zero", "key", "labels", "like", "raise_for", "rows", "scores", "signed",
    "supervised", "weights",
]  # fmt: skip
