"""Machine-learning algorithms as pure, jitted JAX functions, each checked by a hand derivation.

    losses penalties kernels    pointwise mathematics
    optim               first-order methods, Newton, L-BFGS, proximal gradient, coordinate descent
    linear              least_squares ridge lasso elastic_net logistic softmax
    bayes               gaussian multinomial bernoulli, from statistics that merge
    svm                 dual primal, several classes by one_vs_rest and one_vs_one
    latent              pca kmeans gmm tsne
    trees               impurity tree boosting
    neighbors           knn
    nn                  initializers activations dense dropout norm conv pool residual lstm
                        attention positional transformer
    metrics             classification ranking calibration regression, exact and weighted
    preprocessing       standard min_max robust
    model_selection     splits as weights, cross-validation in one compiled call
    analysis            convexity bias_variance gradient_flow
    datasets            small real data sets and a text, shipped with the package
    training            networks trained by a configuration: log, checkpoints, resumption

Apart from these stand the evidence, ``jaxml.closed_form`` and ``jaxml.verify``, and the command
``jaxml verify``; they are imported only when asked for.
"""

import warnings

import jax

from jaxml import (
    analysis,
    bayes,
    datasets,
    kernels,
    latent,
    linear,
    losses,
    metrics,
    model_selection,
    neighbors,
    nn,
    optim,
    penalties,
    preprocessing,
    svm,
    training,
    trees,
)
from jaxml._loop import Code, ConvergenceWarning, Fit, FitError, Info, check

__all__ = [
    "Code", "ConvergenceWarning", "Fit", "FitError", "Info", "analysis", "bayes", "check",
    "datasets", "kernels", "latent", "linear", "losses", "metrics", "model_selection", "neighbors",
    "nn", "optim", "penalties", "preprocessing", "svm", "training", "trees",
]  # fmt: skip
__version__ = "0.1.0"

if jax.__version__ == "0.10.2":
    warnings.warn(
        "jax 0.10.2 returns wrong numbers on CPU (jax#39103): install another version",
        RuntimeWarning,
        stacklevel=2,
    )
