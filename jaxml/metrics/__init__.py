"""How good predictions are: exact, weighted, jittable; what is undefined is NaN, never 0 or 1/2.

    classification  accuracy precision recall f1 confusion_matrix
    ranking         roc_curve roc_auc
    calibration     log_loss brier_score brier_decomposition expected_calibration_error
    regression      mean_squared_error r2 adjusted_r2
    surrogates      soft_auc soft_f1, differentiable, the metric itself as the temperature falls

Weights: integer weights are repeated rows, weight 0 is a removed row whatever it holds. Concrete
inputs that are wrong raise ValueError; under a trace the same facts turn the result into NaN.
"""

from jaxml.metrics.calibration import (
    BrierDecomposition,
    brier_decomposition,
    brier_score,
    expected_calibration_error,
    log_loss,
)
from jaxml.metrics.classification import accuracy, confusion_matrix, f1, precision, recall
from jaxml.metrics.ranking import RocCurve, roc_auc, roc_curve
from jaxml.metrics.regression import adjusted_r2, mean_squared_error, r2
from jaxml.metrics.surrogates import soft_auc, soft_f1

__all__ = [
    "BrierDecomposition", "RocCurve", "accuracy", "adjusted_r2", "brier_decomposition",
    "brier_score", "confusion_matrix", "expected_calibration_error", "f1", "log_loss",
    "mean_squared_error", "precision", "r2", "recall", "roc_auc", "roc_curve", "soft_auc",
    "soft_f1",
]  # fmt: skip
