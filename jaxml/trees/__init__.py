"""Decision trees, alone and in ensembles: rules of thresholds, each found by greedy search."""

from jaxml.trees import adaboost, boosting, forest, impurity, permutation, tree

__all__ = ["adaboost", "boosting", "forest", "impurity", "permutation", "tree"]
