"""Losses of probabilities and their split over bins. Letters as in jaxml.metrics.calibration."""

import jax.numpy as jnp

from jaxml._typing import Array, Column, Float, Labels, Scalar

__all__ = [
    "brier_gradient", "calibration_error", "calibration_gradient", "decomposition",
    "log_likelihood", "log_loss_gradient", "log_loss_gradient_of_classes", "squares",
]  # fmt: skip


def log_likelihood(y: Labels, p: Column, *, sample_weight: Column) -> Scalar:
    """Minus 1/S log of the product of the chances of what happened."""
    chance = p**y * (1 - p) ** (1 - y)
    return -jnp.log(jnp.prod(chance**sample_weight)) / sample_weight.sum()


def log_loss_gradient(p: Column, y: Labels, s: Column) -> Column:
    """dL/dp."""
    # l = -y log p - (1 - y) log(1 - p)  =>  dl/dp = -y/p + (1 - y)/(1 - p) = (p - y) / (p (1 - p))
    return s / s.sum() * (p - y) / (p * (1 - p))


def log_loss_gradient_of_classes(
    p: Float[Array, "n k"], y: Labels, s: Column
) -> Float[Array, "n k"]:
    """dL/dp of all classes."""
    # l = -log p_y  =>  dl/dp_c = -[c = y]/p_c
    told = (y[:, None] == jnp.arange(p.shape[1])[None, :]).astype(p.dtype)
    return -(s / s.sum())[:, None] * told / p


def squares(y: Labels, p: Column, *, sample_weight: Column) -> Scalar:
    """The Brier score from (p - y)^2 = p^2 (1 - y) + (1 - p)^2 y, as y is 0 or 1."""
    each = p**2 * (1 - y) + (1 - p) ** 2 * y
    return (sample_weight * each).sum() / sample_weight.sum()


def brier_gradient(p: Column, y: Labels, s: Column) -> Column:
    """dB/dp."""
    # b = (p - y)^2  =>  db/dp = 2 (p - y)
    return 2 * s / s.sum() * (p - y)


def _inside(p: Column, b: int, n_bins: int) -> Array:
    upper = p < (b + 1) / n_bins if b + 1 < n_bins else p <= 1
    return (p >= b / n_bins) & upper


def calibration_error(y: Labels, p: Column, *, n_bins: int, sample_weight: Column) -> Scalar:
    """ECE bin by bin: its weight, its mean probability, its share of y = 1."""
    s, off = sample_weight, []
    for b in range(n_bins):
        w = s * _inside(p, b, n_bins)
        W = jnp.where(w.sum() > 0, w.sum(), 1.0)  # an empty bin adds 0
        off.append(w.sum() / s.sum() * jnp.abs((w * y).sum() / W - (w * p).sum() / W))
    return sum(off, jnp.zeros((), p.dtype))


def calibration_gradient(p: Column, y: Labels, s: Column, *, n_bins: int) -> Column:
    """DECE/dp at fixed bins."""
    # ECE = 1/S sum_b |a_b|, a_b = sum_{i in b} s_i (y_i - p_i)
    # => dECE/dp_i = -s_i/S sign(a_b), b the bin of i
    g = jnp.zeros_like(p)
    for b in range(n_bins):
        inside = _inside(p, b, n_bins)
        g = g - jnp.where(inside, s / s.sum() * jnp.sign((s * inside * (y - p)).sum()), 0.0)
    return g


def decomposition(
    y: Labels, p: Column, *, n_bins: int, sample_weight: Column
) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """Reliability, resolution, uncertainty, and what is left of the score within the bins."""
    # In bin b, with means f, o of p, y over it:  p - y = (p - f) - (y - o) + (f - o)
    # => E_b (p - y)^2 = E_b [(p - f)^2 - 2 (p - f)(y - o)] + Var_b y + (f - o)^2
    # Var_b y summed over bins, the variance of y less that of the means:  o(1 - o) - resolution
    s = sample_weight / sample_weight.sum()
    reliability = resolution = within = jnp.zeros((), p.dtype)
    base = (s * y).sum()
    for b in range(n_bins):
        w = s * _inside(p, b, n_bins)
        W = jnp.where(w.sum() > 0, w.sum(), 1.0)
        f, o = (w * p).sum() / W, (w * y).sum() / W
        reliability = reliability + w.sum() * (f - o) ** 2
        resolution = resolution + w.sum() * (o - base) ** 2
        within = within + (w * (p - f) ** 2).sum() - 2 * (w * (p - f) * (y - o)).sum()
    return reliability, resolution, base * (1 - base), within
