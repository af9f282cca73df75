"""Small real data sets, shipped with the package and read without a network.

Example:
  >>> from jaxml import datasets
  >>> X, y, *_ = datasets.iris()
  >>> X.shape, y.shape
  ((150, 4), (150,))
  >>> len(datasets.devils_dictionary())
  382611
"""

from jaxml.datasets.tables import Dataset, breast_cancer, diabetes, digits, iris, wine
from jaxml.datasets.texts import devils_dictionary

__all__ = [
    "Dataset",
    "breast_cancer",
    "devils_dictionary",
    "diabetes",
    "digits",
    "iris",
    "wine",
]
