"""The fit of the decision tree in the shape that most of its tests share."""

import jax
import numpy as np

from jaxml import Code
from jaxml.trees import tree
from tests.trees.oracle import K

__all__ = ["CRITERIA", "DEPTH", "code", "fit", "same"]

CRITERIA = ("gini", "entropy", "variance")
DEPTH = 3


def classes(criterion):
    """n_classes for a criterion."""
    return None if criterion == "variance" else K


def fit(X, y, s=None, *, criterion="gini", depth=DEPTH, **other):
    """Fit with the number of classes that the criterion needs."""
    return tree.fit(
        X, y, criterion=criterion, max_depth=depth, n_classes=classes(criterion), sample_weight=s,
        **other,
    )  # fmt: skip


def same(a, b):
    """Whether two trees are equal bit by bit."""
    return all(
        np.asarray(p).tobytes() == np.asarray(q).tobytes()
        for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def code(info):
    """The code of a fit as a Code."""
    return Code(int(info.code))
