"""Naive Bayes, p(c, x) = pi_c prod_j p(x_j | c): features are independent given the class."""

from jaxml.bayes import bernoulli, gaussian, multinomial

__all__ = ["bernoulli", "gaussian", "multinomial"]
