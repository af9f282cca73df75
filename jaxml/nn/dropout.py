"""Inverted dropout: entries become 0 with probability p, and the others grow by 1 / (1 - p).

    y = x m / (1 - p),   m = 1 with probability 1 - p, else 0, independently:   E y = x,
    Var y = x^2 p / (1 - p)

m is drawn by comparing random integers of few bits with a threshold, so the probability realized
is a multiple of 2^-8, 2^-16 or 2^-32: the fewest bits that bring it within 1/1000 of the rate asked
for, relative to the smaller of rate and 1 - rate. p above, in the scale as well, is the probability
realized, so that E y = x holds exactly; ``realized_rate`` tells it (0.5 for 0.5, 6554 / 2^16 =
0.1000061 for 0.1).

Reference: Srivastava et al. (2014), Dropout, section 10, for the scaling in training.
"""

import numbers
from functools import partial

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Float, Key
from jaxml.nn._bits import integers
from jaxml.nn._tensor import statistics_dtype, tensor

__all__ = ["apply", "realized_rate"]


def apply(x: Float[Array, "..."], *, rate: float, key: Key) -> Float[Array, "..."]:
    """Return x m / (1 - p), in the dtype of x.

    The derivative is the same mask and scale. What is dropped is 0 whatever it held, and passes no
    gradient.

    Args:
      x: Any shape.
      rate: Static, a Python number in [0, 1]: 0 returns x, 1 returns zeros.
      key: A JAX random key, a new one for each call. Examples of a batch that are to keep their
        masks wherever they stand in it get keys of their own:
        ``jax.vmap(lambda x, key: apply(x, rate=0.1, key=key))(x, jax.random.split(key, len(x)))``.

    Raises:
      ValueError: rate lies outside [0, 1].
      TypeError: rate is not a number known before tracing.

    Example:
      >>> y = apply(jnp.ones(1000), rate=0.5, key=jax.random.key(0))
      >>> sorted(set(y.tolist()))
      [0.0, 2.0]
    """
    bits, threshold = _threshold(rate)
    x = tensor("x", x, "...")
    if threshold == 0:
        return x
    if threshold == 2**bits:
        return jnp.zeros_like(x)
    return _apply(x, key, bits=bits, threshold=threshold)


def realized_rate(rate: float) -> float:
    """Return p, the probability with which apply drops an entry when asked for rate.

    Example:
      >>> realized_rate(0.25), realized_rate(0.1)
      (0.25, 0.100006103515625)
    """
    bits, threshold = _threshold(rate)
    return threshold / 2**bits


def _threshold(rate: float) -> tuple[int, int]:
    """(bits, t): an integer of that many random bits lies below t with probability t / 2^bits."""
    if isinstance(rate, bool) or not isinstance(rate, numbers.Real):
        raise TypeError(f"rate is static and must be a Python number: got {type(rate).__name__}")
    rate = float(rate)
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"rate must lie in [0, 1]: got {rate}")
    if rate in (0.0, 1.0):
        return 0, int(rate)
    bits, t = 32, 0
    for bits in (8, 16, 32):
        t = min(max(round(rate * 2**bits), 1), 2**bits - 1)
        if abs(t / 2**bits - rate) <= 1e-3 * min(rate, 1.0 - rate):
            break
    return bits, t


@partial(jax.jit, static_argnames=("bits", "threshold"))
def _apply(x: Array, key: Key, *, bits: int, threshold: int) -> Array:
    drawn = integers(key, x.shape, bits)
    keep = drawn >= drawn.dtype.type(threshold)
    # In 16 bits the scale would be rounded before it multiplies: E y = (1 + 2^-9) x.
    grown = x.astype(statistics_dtype(x.dtype)) * (2**bits / (2**bits - threshold))
    return jnp.where(keep, grown, 0).astype(x.dtype)
