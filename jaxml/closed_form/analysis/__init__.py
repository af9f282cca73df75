"""Instruments by hand."""
