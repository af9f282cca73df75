"""Linear models by hand. z = X w + b; p_i = s_i / sum s."""
