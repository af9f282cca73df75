"""Latent structure: directions, groups and mixtures behind the rows of X."""

from jaxml.latent import pca

__all__ = ["pca"]
