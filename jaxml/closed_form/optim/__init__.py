"""Optimizers by hand: on quadratics, and step by step."""
