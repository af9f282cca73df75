"""The transformer block and the two ends of a decoder, by hand."""
