"""Support vector machines, min 1/2 ||w||^2 + C sum_i s_i loss(f(x_i), y_i)."""

from jaxml.svm import dual

__all__ = ["dual"]
