"""Linear models, J = (1/s) sum_i s_i loss(z_i, y_i) + l1 ||w||_1 + l2/2 ||w||_2^2, z = X w + b."""

from jaxml.linear import elastic_net, lasso, least_squares, logistic, ridge, softmax

__all__ = ["elastic_net", "lasso", "least_squares", "logistic", "ridge", "softmax"]
