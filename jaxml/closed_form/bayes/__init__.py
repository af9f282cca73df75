"""Hand derivations for the naive Bayes models."""
