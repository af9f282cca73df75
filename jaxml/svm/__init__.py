"""Support vector machines, min 1/2 ||w||^2 + C sum_i s_i loss(f(x_i), y_i)."""

from jaxml.svm import dual, primal
from jaxml.svm.multiclass import (
    one_vs_one,
    one_vs_one_predict,
    one_vs_rest,
    one_vs_rest_predict,
)

__all__ = [
    "dual",
    "one_vs_one",
    "one_vs_one_predict",
    "one_vs_rest",
    "one_vs_rest_predict",
    "primal",
]
