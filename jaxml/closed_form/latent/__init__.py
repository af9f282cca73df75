"""Latent models by hand."""
