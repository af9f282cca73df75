"""Standardization by hand. Letters as in jaxml.preprocessing.standard; p_i = s_i / S."""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Rows, Scalar

__all__ = ["jacobian", "mixture", "parameters"]


def parameters(X: Rows, *, sample_weight: Column) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """Mean and deviation, the latter from the differences of all pairs."""
    # 1/2 sum_ij p_i p_j (x_i - x_j)^2 = sum_i p_i x_i^2 - m^2 = r^2
    p = sample_weight / sample_weight.sum()
    squares = (X[:, None, :] - X[None, :, :]) ** 2
    both = p[:, None, None] * p[None, :, None]
    return (p[:, None] * X).sum(axis=0), jnp.sqrt((both * squares).sum(axis=(0, 1)) / 2)


def jacobian(x: Column, s: Column) -> Float[Array, "n n"]:
    """dz_i/dx_k of one column z = (x - m)/r."""
    # dm/dx_k = p_k;  r^2 = sum_i p_i (x_i - m)^2, and sum_i p_i (x_i - m) = 0
    # => 2 r dr/dx_k = 2 p_k (x_k - m)  =>  dr/dx_k = p_k z_k
    # => dz_i/dx_k = ([i = k] - p_k)/r - (x_i - m)/r^2 p_k z_k = ([i = k] - p_k - z_i p_k z_k)/r
    # Its rows annihilate 1 and z: a shift or a stretch of x leaves z as it is.
    p = s / s.sum()
    m = (p * x).sum()
    r = jnp.sqrt((p * (x - m) ** 2).sum())
    z = (x - m) / r
    return (jnp.eye(len(x), dtype=x.dtype) - p[None, :] - z[:, None] * (p * z)[None, :]) / r


def mixture(m: Scalar, r: Scalar, share: Scalar, far: Scalar) -> tuple[Scalar, Scalar]:
    """Mean and deviation after a share of the rows has gone to a number far off."""
    # Two groups: (1 - e) of mean m and variance r^2, e at D:  mean (1 - e) m + e D,
    # variance (1 - e) r^2 + e (1 - e)(D - m)^2: a single row moves both without bound
    variance = (1 - share) * r**2 + share * (1 - share) * (far - m) ** 2
    return (1 - share) * m + share * far, jnp.sqrt(variance)
