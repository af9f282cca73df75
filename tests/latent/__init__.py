"""The tests of models with latent variables."""
