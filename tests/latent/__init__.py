"""The tests of latent structure."""
