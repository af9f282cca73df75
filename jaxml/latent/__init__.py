"""Structure without labels."""

from jaxml.latent import tsne

__all__ = ["tsne"]
