"""Metrics by hand: from pairs, counts and sums, as they are defined."""
