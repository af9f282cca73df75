"""Models with latent variables: which direction, cluster, component or place a row belongs to."""

from jaxml.latent import gmm, kmeans, pca, tsne

__all__ = ["gmm", "kmeans", "pca", "tsne"]
