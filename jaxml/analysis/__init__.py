"""Instruments that look at a loss, a fit or a network instead of fitting it."""

from jaxml.analysis import bias_variance, convexity, gradient_flow

__all__ = ["bias_variance", "convexity", "gradient_flow"]
