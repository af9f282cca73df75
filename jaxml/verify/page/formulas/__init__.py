"""What a page says of each topic before any number: its name and its equations, in LaTeX."""

from jaxml.verify.page.formulas.judging import JUDGING
from jaxml.verify.page.formulas.models import MODELS
from jaxml.verify.page.formulas.networks import NETWORKS

__all__ = ["CHAPTERS", "FORMULAS"]

FORMULAS: dict[str, tuple[str, tuple[str, ...]]] = {**MODELS, **NETWORKS, **JUDGING}

CHAPTERS = {  # topics in reading order
    "Linear models": (
        "normal-equation", "l1-l2", "bayesian-regularization", "logistic", "softmax-regression",
        "mse-classification", "class-weight",
    ),
    "Optimization": (
        "convexity", "strong-convexity", "gradient-descent", "momentum", "adam", "sgd",
    ),
    "Margins, neighbors, Bayes": ("svm", "kernel-trick", "knn", "naive-bayes"),
    "Trees and ensembles": ("decision-tree", "gini", "bagging", "boosting", "adaboost"),
    "Structure without labels": ("pca", "kmeans", "gmm", "em", "tsne"),
    "Networks": (
        "xavier", "vanishing-gradient", "resnet", "batch-norm", "dropout", "conv1x1", "max-pool",
        "lstm", "softmax", "attention", "positional-encoding", "transformer",
    ),
    "Judging models": (
        "bias-variance", "kfold", "scaling", "r2", "f1", "auc", "calibration",
    ),
}  # fmt: skip
