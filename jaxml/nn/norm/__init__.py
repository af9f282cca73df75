"""Normalization over the features of a row (layer_norm) or over a batch (batch_norm)."""

from jaxml.nn.norm import batch_norm, layer_norm

__all__ = ["batch_norm", "layer_norm"]
