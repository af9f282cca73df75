"""Latent structure: directions, groups and mixtures behind the rows of X."""

from jaxml.latent import pca

__all__ = ["pca"]
"""Models with latent variables: which cluster, component or direction a row belongs to."""

from jaxml.latent import gmm, kmeans

__all__ = ["gmm", "kmeans"]
"""Structure without labels."""

from jaxml.latent import tsne

__all__ = ["tsne"]
