"""Trees, alone and in ensembles."""
