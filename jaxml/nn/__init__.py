"""Neural layers as pure functions: ``init`` returns parameters, ``apply`` maps an input.

Parameters are NamedTuples of arrays in the dtype given to ``init``; ``apply`` computes in the dtype
of its input, to which the parameters are cast, and takes sums over many terms (moments, softmax)
in float32 at least. Matrix products follow JAX's default precision.
"""

from jaxml.nn import (
    activations,
    attention,
    conv,
    dense,
    dropout,
    initializers,
    norm,
    positional,
    residual,
    transformer,
)

__all__ = [
    "activations", "attention", "conv", "dense", "dropout", "initializers", "norm", "positional",
    "residual", "transformer",
]  # fmt: skip
