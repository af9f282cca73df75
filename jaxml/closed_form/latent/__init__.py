"""Models with latent variables by hand. p_i = s_i / sum s; r_ij posterior of component j."""
