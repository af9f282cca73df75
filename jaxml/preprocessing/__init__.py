"""Features brought to one scale: fit, transform, inverse_transform.

A column that does not vary keeps its unit: its scale is 1. Not to vary is relative: a spread of at
most one unit in the last place of the column's size, eps |x|, is what rounding alone may leave.
"""

from jaxml.preprocessing import min_max, robust, standard

__all__ = ["min_max", "robust", "standard"]
