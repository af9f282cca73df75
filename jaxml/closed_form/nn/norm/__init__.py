"""Normalizations by hand."""
