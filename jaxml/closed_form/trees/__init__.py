"""Trees by hand."""
