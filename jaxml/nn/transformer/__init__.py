"""The transformer block, and a decoder language model made of it."""

from jaxml.nn.transformer import block, decoder

__all__ = ["block", "decoder"]
