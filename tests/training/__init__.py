"""Training: configurations, checkpoints, the loop and the two shipped runs."""
