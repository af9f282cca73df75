"""Instruments that look at a loss instead of fitting it."""

from jaxml.analysis import convexity

__all__ = ["convexity"]
