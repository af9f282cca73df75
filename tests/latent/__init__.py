"""Tests of jaxml.latent."""
