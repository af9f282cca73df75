"""Dropout by hand: y = x m / (1 - p), m = 1 with probability 1 - p, else 0."""

from jaxml._typing import Array, Bool, Float

__all__ = ["backward", "spread", "squared_error", "standard_error"]

Entries = Float[Array, "..."]


def backward(kept: Bool[Array, "..."], g: Entries, *, p: float) -> Entries:
    """Return dL/dx for the mask that was drawn."""
    # y_i = x_i m_i / (1 - p): a diagonal map, its own transpose
    return g * kept / (1.0 - p)


def standard_error(x: Entries, *, p: float, count: int) -> Entries:
    """Return the standard deviation of the mean of y over count draws; E y = x."""
    # E y   = x (1 - p)/(1 - p) = x
    # E y^2 = x^2 (1 - p)/(1 - p)^2 = x^2/(1 - p)
    # Var y = x^2 (1/(1 - p) - 1) = x^2 p/(1 - p)
    return abs(x) * (p / (1.0 - p) / count) ** 0.5


def squared_error(x: Entries, *, p: float) -> Entries:
    """Return Var y = E (y - x)^2 = x^2 p/(1 - p)."""
    return x**2 * (p / (1.0 - p))


def spread(x: Entries, *, p: float, count: int) -> Entries:
    """Return the standard deviation of the mean of (y - x)^2 over count draws."""
    # y - x = -x with probability p, x p/(1 - p) with probability 1 - p
    # Var (y - x)^2 = p (1 - p) [x^2 - x^2 p^2/(1 - p)^2]^2 = p (1 - p) x^4 [(1 - 2p)/(1 - p)^2]^2
    # (two values a, b with probabilities p, 1 - p have variance p (1 - p)(a - b)^2)
    r = abs(1.0 - 2.0 * p) / (1.0 - p) ** 2
    return x**2 * r * (p * (1.0 - p) / count) ** 0.5
