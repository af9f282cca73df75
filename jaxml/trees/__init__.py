"""Decision trees, alone and in ensembles: rules of thresholds, each found by greedy search."""

from jaxml.trees import adaboost, forest, impurity, tree

__all__ = ["adaboost", "forest", "impurity", "tree"]
