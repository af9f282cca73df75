"""Neural layers by hand."""
