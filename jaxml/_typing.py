"""Array types and the glossary of axis letters.

    n  samples          d  features           k  classes, clusters or components
    t  time             b  batch              h  heads or hidden units

Arrays are annotated as ``Float[Array, "n d"]``; a lone axis is written ``" n"``. The aliases below
are the commonest. Annotations document: what users pass in is checked by ``jaxml._check``.
"""

from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

__all__ = [
    "Array",
    "ArrayLike",
    "Bool",
    "Column",
    "Float",
    "Int",
    "Key",
    "Labels",
    "PyTree",
    "Real",
    "Rows",
    "Scalar",
    "Weights",
]

Rows = Float[Array, "n d"]  # features, one row per sample
Column = Float[Array, " n"]  # one number per sample
Labels = Int[Array, " n"]  # one class per sample, 0..k-1
Scalar = Float[Array, ""]
Real = float | Scalar  # a traced hyperparameter
Weights = Column | None  # sample_weight; None stands for ones
