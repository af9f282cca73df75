"""Latent structure by hand."""
