"""Instruments that look at a loss or a network instead of fitting it."""

from jaxml.analysis import convexity, gradient_flow

__all__ = ["convexity", "gradient_flow"]
