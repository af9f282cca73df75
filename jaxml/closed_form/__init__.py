"""Hand derivations, a mirror of the library: no autodiff, no helper shared with what they judge."""
