"""Machine-learning algorithms as pure, jitted JAX functions, each checked by a hand derivation.

    losses penalties    pointwise mathematics
    optim               first-order methods, Newton, L-BFGS, proximal gradient, coordinate descent
    linear              least_squares ridge lasso elastic_net logistic softmax
    latent              tsne
    neighbors           knn
    model_selection     splits as weights, cross-validation in one compiled call
    analysis            convexity
    datasets            small real data sets, shipped with the package

Apart from these stand the evidence, ``jaxml.closed_form`` and ``jaxml.verify``, and the command
``jaxml verify``; they are imported only when asked for.
"""

import warnings

import jax

from jaxml import (
    analysis,
    datasets,
    latent,
    linear,
    losses,
    model_selection,
    neighbors,
    optim,
    penalties,
)
from jaxml._loop import Code, ConvergenceWarning, Fit, FitError, Info, check

__all__ = [
    "Code", "ConvergenceWarning", "Fit", "FitError", "Info", "analysis", "check", "datasets",
    "latent", "linear", "losses", "model_selection", "neighbors", "optim", "penalties",
]  # fmt: skip
__version__ = "0.1.0"

if jax.__version__ == "0.10.2":
    warnings.warn(
        "jax 0.10.2 returns wrong numbers on CPU (jax#39103): install another version",
        RuntimeWarning,
        stacklevel=2,
    )
