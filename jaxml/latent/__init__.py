"""Models with latent variables: which cluster, component or direction a row belongs to."""

from jaxml.latent import gmm, kmeans

__all__ = ["gmm", "kmeans"]
