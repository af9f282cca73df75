"""Scalers by hand: their parameters from pairs and ranks, their Jacobians by the chain rule."""
