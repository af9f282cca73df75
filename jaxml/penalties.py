"""Penalties on a coefficient vector and their proximal operators, as values without their weight.

    prox_{s g}(v) = argmin_w 1/2 ||w - v||^2 + s g(w)

Reference: Parikh, Boyd (2014), Proximal algorithms, section 6.5.
"""

import jax.numpy as jnp

from jaxml import losses
from jaxml._typing import Array, Float, Real, Scalar

__all__ = ["elastic_net", "l1", "l2", "prox_elastic_net", "prox_l1"]


def l1(w: Float[Array, "..."]) -> Scalar:
    """||w||_1 = sum |w_j|. Convex; the subgradient taken at w_j = 0 is 0.

    Minus the log density of a Laplace prior of scale 1, up to a constant.
    """
    return jnp.sum(losses.absolute(w, jnp.zeros_like(w)))


def l2(w: Float[Array, "..."]) -> Scalar:
    """1/2 ||w||_2^2 = 1/2 sum w_j^2. Strongly convex, mu = 1; gradient w.

    Minus the log density of a standard normal prior, up to a constant.
    """
    return 0.5 * jnp.sum(w**2)


def elastic_net(w: Float[Array, "..."], *, l1_ratio: Real) -> Scalar:
    """l1_ratio ||w||_1 + (1 - l1_ratio)/2 ||w||_2^2, l1_ratio in [0, 1].

    Reference: Zou, Hastie (2005), Regularization and variable selection via the elastic net.
    """
    return l1_ratio * l1(w) + (1.0 - l1_ratio) * l2(w)


def prox_l1(v: Float[Array, "..."], step: Real) -> Float[Array, "..."]:
    """Soft threshold sign(v) max(|v| - step, 0), step >= 0: exact zeros for |v| <= step.

    Example:
      >>> prox_l1(jnp.array([3.0, -0.5, -2.0]), 1.0).tolist()
      [2.0, 0.0, -1.0]
    """
    # v - clip(v) rather than sign * max: the same value, and +0 where it is zero.
    return v - jnp.clip(v, -step, step)


def prox_elastic_net(v: Float[Array, "..."], step: Real, *, l1_ratio: Real) -> Float[Array, "..."]:
    """prox_l1(v, step l1_ratio) / (1 + step (1 - l1_ratio)), step >= 0, l1_ratio in [0, 1]."""
    return prox_l1(v, step * l1_ratio) / (1.0 + step * (1.0 - l1_ratio))
