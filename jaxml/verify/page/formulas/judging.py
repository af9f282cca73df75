"""Equations of scores, of scaling, and of what a fit's error is made of."""

__all__ = ["JUDGING"]

JUDGING = {
    "bias-variance": ("Bias and variance", (
        r"E (y - \hat{f})^2 = (E \hat{f} - f)^2 + \operatorname{Var} \hat{f} + \sigma^2",
        r"\overline{(F - f)^2} = (\bar{F} - f)^2 + \overline{(F - \bar{F})^2}",
    )),
    "kfold": ("Cross-validation", (
        r"w_{fi} = [\, i \text{ is not held out in fold } f \,], \quad \sum_f (1 - w_{fi}) = 1",
        r"\operatorname{CV} = \frac{1}{F} \sum_f \operatorname{score}(\hat{\theta}(w_f),\, 1 - "
        r"w_f)",
    )),
    "scaling": ("Scaling", (
        r"z = \frac{x - \bar{x}}{s}, \quad \frac{x - \min}{\max - \min}, \quad "
        r"\frac{x - \operatorname{median}}{\operatorname{IQR}}",
        r"\frac{\partial z_i}{\partial x_k} = "
        r"\frac{1}{s} \left( \delta_{ik} - \frac{1}{n} - \frac{z_i z_k}{n} \right)",
    )),
    "r2": ("Coefficient of determination", (
        r"R^2 = 1 - \frac{\sum_i (y_i - \hat{y}_i)^2}{\sum_i (y_i - \bar{y})^2}",
        r"\bar{R}^2 = 1 - (1 - R^2) \frac{n - 1}{n - d - 1}",
    )),
    "f1": ("Precision, recall, F1", (
        r"F_1 = \frac{2 P R}{P + R} = "
        r"\frac{2 \mathit{TP}}{2 \mathit{TP} + \mathit{FP} + \mathit{FN}}",
        r"F_1 \le 2 \min(P, R)",
    )),
    "auc": ("Area under the ROC curve", (
        r"\operatorname{AUC} = P(s^+ > s^-) + \tfrac{1}{2} P(s^+ = s^-)",
        r"\operatorname{AUC} = \frac{U}{n_+ n_-}",
    )),
    "calibration": ("Calibration", (
        r"\operatorname{ECE} = \sum_b \frac{n_b}{n} \left| \bar{y}_b - \bar{p}_b \right|",
        r"\operatorname{Brier} = \text{reliability} - \text{resolution} + \text{uncertainty}",
    )),
}  # fmt: skip
