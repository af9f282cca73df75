"""Hand derivations for latent models."""
