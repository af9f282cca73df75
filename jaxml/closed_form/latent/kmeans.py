"""k-means by hand. Letters as in jaxml.latent.kmeans: centroids c_j, labels l_i, weights s_i."""

from functools import partial

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Column, Float, Labels, Rows, Scalar

__all__ = [
    "decrease", "derivative", "distortion", "envelope", "gradient", "inertia", "labels", "means",
    "two_on_a_line", "two_on_a_rectangle",
]  # fmt: skip

Centroids = tuple[Float[Array, "k d"]]  # (c,), like Params
dot = partial(jnp.dot, precision=Precision.HIGHEST)


def labels(params: Centroids, X: Rows) -> Labels:
    """Return l_i = argmin_j ||x_i - c_j||^2, every distance by differences."""
    (C,) = params
    return ((X[:, None, :] - C[None, :, :]) ** 2).sum(axis=2).argmin(axis=1)


def _chosen(params: Centroids, X: Rows, s: Column) -> Float[Array, "n k"]:
    return jnp.where(
        labels(params, X)[:, None] == jnp.arange(len(params[0]))[None], s[:, None], 0.0
    )


def distortion(params: Centroids, X: Rows, l: Labels, *, sample_weight: Column) -> Scalar:
    """Return sum_i s_i ||x_i - c_{l_i}||^2 for any labels; Bishop (2006), eq. (9.1)."""
    (C,) = params
    return (sample_weight * ((X - C[l]) ** 2).sum(axis=1)).sum()


def inertia(params: Centroids, X: Rows, *, sample_weight: Column) -> Scalar:
    """Return J, the distortion at the labels that make it least; eq. (9.2)."""
    return distortion(params, X, labels(params, X), sample_weight=sample_weight)


def gradient(params: Centroids, X: Rows, *, sample_weight: Column) -> Centroids:
    """Return dJ/dc at fixed labels."""
    # d/dc_j sum_{l_i = j} s_i ||x_i - c_j||^2 = 2 sum_{l_i = j} s_i (c_j - x_i)
    # labels do not move with c where no row has two nearest centroids  (eq. 9.3)
    R = _chosen(params, X, sample_weight)
    return (2 * (R.sum(axis=0)[:, None] * params[0] - dot(R.T, X)),)


def means(params: Centroids, X: Rows, *, sample_weight: Column) -> Centroids:
    """Return the stationary point of the distortion at the labels of params."""
    # 2 sum_{l_i = j} s_i (c_j - x_i) = 0  =>  c_j = sum s_i x_i / sum s_i  (eq. 9.4)
    R = _chosen(params, X, sample_weight)
    return (dot(R.T, X) / R.sum(axis=0)[:, None],)


def decrease(params: Centroids, X: Rows, *, sample_weight: Column) -> Scalar:
    """Return by how much moving to the means lowers the distortion at the labels of params."""
    # sum s ||x - c||^2 = sum s ||x - m||^2 + N ||m - c||^2, since sum s (x - m) = 0
    # => D(c) - D(m) = sum_j N_j ||m_j - c_j||^2
    N = _chosen(params, X, sample_weight).sum(axis=0)
    (M,) = means(params, X, sample_weight=sample_weight)
    return (N * ((M - params[0]) ** 2).sum(axis=1)).sum()


def derivative(X: Rows, params: Centroids, *, sample_weight: Column) -> Float[Array, "k d n d"]:
    """Return dc_j/dx_i of the cluster means, at fixed labels."""
    # c_j = sum_i [l_i = j] s_i x_i / N_j  =>  dc_ja/dx_ib = [l_i = j] s_i / N_j [a = b]
    R = _chosen(params, X, sample_weight)
    share = (R / R.sum(axis=0)[None]).T
    return share[:, None, :, None] * jnp.eye(X.shape[1], dtype=X.dtype)[None, :, None, :]


def envelope(X: Rows, params: Centroids, *, sample_weight: Column) -> Rows:
    """Return d/dX of min_c J(c; X), at the minimizer params."""
    # dJ/dX = dJ/dX|_c + dJ/dc dc/dX, and dJ/dc = 0 at a minimizer
    # => d/dx_i = 2 s_i (x_i - c_{l_i})
    return 2 * sample_weight[:, None] * (X - params[0][labels(params, X)])


def two_on_a_line(x: Column, *, sample_weight: Column) -> Centroids:
    """Return the best two centroids of rows on a line, the lower first."""
    # Both clusters of a minimizer are intervals, so the cut is at one of n - 1 places. With the
    # prefix sums N, T, U of s, s x, s x^2, a cluster has distortion U - T^2 / N.
    order = jnp.argsort(x)
    x, s = x[order], sample_weight[order]
    left = [jnp.cumsum(s * x**power)[:-1] for power in (0, 1, 2)]
    right = [(s * x**power).sum() - part for power, part in zip((0, 1, 2), left, strict=True)]
    J_left, J_right = (U - T**2 / N for N, T, U in (left, right))
    cut = (J_left + J_right).argmin()
    return (jnp.stack([left[1][cut] / left[0][cut], right[1][cut] / right[0][cut]])[:, None],)


def two_on_a_rectangle(width: Scalar, height: Scalar) -> tuple[Scalar, Scalar]:
    """Return J of the two stationary splits of a rectangle's corners: left-right, top-bottom."""
    # left-right: centroids at the middles of the upright sides, each corner height/2 away
    # => J = 4 (height/2)^2 = height^2; the other split: width^2
    return height**2, width**2
