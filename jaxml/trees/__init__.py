"""Decision trees, alone and in ensembles: rules of thresholds, each found by greedy search."""

from jaxml.trees import boosting, impurity, tree

__all__ = ["boosting", "impurity", "tree"]
