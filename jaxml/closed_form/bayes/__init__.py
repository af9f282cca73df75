"""Naive Bayes by hand: p(c, x) = pi_c prod_j p(x_j | c)."""
