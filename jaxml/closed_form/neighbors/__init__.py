"""Nearest neighbors by hand."""
