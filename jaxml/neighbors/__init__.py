"""Models that keep their data: nearest neighbors."""

from jaxml.neighbors import knn

__all__ = ["knn"]
