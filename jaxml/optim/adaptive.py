"""Adam, and AdamW: steps in units of the gradient's own size.

    m_t = b1 m_{t-1} + (1 - b1) g_t                 first moment
    v_t = b2 v_{t-1} + (1 - b2) g_t^2               second moment, entry by entry
    d_t = m_t / (1 - b1^t) / (sqrt(v_t / (1 - b2^t)) + eps)
    Adam   theta <- theta - lr d_t
    AdamW  theta <- theta - lr (d_t + weight_decay theta)

m and v start at 0, so E[m_t] = (1 - b1^t) E[g]: the divisions remove that bias. The first step is
-lr g / (|g| + eps), about lr in every entry. Adding (l2/2) ||theta||^2 to the loss of Adam is not
AdamW: there the penalty passes through the moments and is divided by the gradient's size too.

Reference: Kingma, Ba (2015), Adam, Algorithm 1; Loshchilov, Hutter (2019), Decoupled weight decay
regularization, Algorithm 2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxml import _check
from jaxml._numerics import safe_sqrt
from jaxml._typing import Array, PyTree, Real
from jaxml.optim._transform import like, transformation, unit_interval

__all__ = ["adam", "adamw"]


class Moments(NamedTuple):
    """Running means of the gradient and of its square; trees like the parameters."""

    m: PyTree
    v: PyTree


def _zeros(params: PyTree) -> Moments:
    return Moments(jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params))


def _direction(
    grads: PyTree, memory: Moments, t: Array, *, b1: Real, b2: Real, eps: Real
) -> tuple[PyTree, Moments]:
    m = jax.tree.map(lambda m, g: like(b1, m) * m + like(1 - b1, m) * g, memory.m, grads)
    v = jax.tree.map(lambda v, g: like(b2, v) * v + like(1 - b2, v) * g**2, memory.v, grads)
    # The powers are taken in the default float: in bfloat16 b2 = 0.999 would round to 1.
    c1, c2 = (1 - jax.lax.pow(jnp.asarray(b, float), t) for b in (b1, b2))

    def corrected(m: Array, v: Array) -> Array:
        return m / like(c1, m) / (safe_sqrt(v / like(c2, v)) + like(eps, v))

    return jax.tree.map(corrected, m, v), Moments(m, v)


def _check_moments(b1: Real, b2: Real, eps: Real) -> None:
    unit_interval("b1", b1)
    unit_interval("b2", b2)
    _check.at_least("eps", eps, 0, dtype=float)


def adam(
    learning_rate: Real | optax.Schedule, b1: Real = 0.9, b2: Real = 0.999, eps: Real = 1e-8
) -> optax.GradientTransformation:
    """Return Adam. Gradients with NaN or inf are skipped and counted.

    Args:
      learning_rate: lr >= 0, about the length of a step in each entry: a number, a traced scalar or
        an optax schedule.
      b1: Decay of the mean of the gradients, in [0, 1).
      b2: Decay of the mean of their squares, in [0, 1).
      eps: Added to the root, >= 0, in units of the gradient. 0 gives 0/0 where a gradient is 0.

    Returns:
      An optax optimizer with the steps of optax.adam.

    Raises:
      ValueError: A concrete hyperparameter lies outside its interval.

    Example:
      >>> opt = adam(0.1, eps=0.0)
      >>> updates, _ = opt.update(jnp.array([5.0, -1e-3]), opt.init(jnp.zeros(2)))
      >>> bool(jnp.allclose(updates, jnp.array([-0.1, 0.1]), rtol=1e-3))  # -lr sign(g)
      True
    """
    _check_moments(b1, b2, eps)

    def direction(g: PyTree, memory: Moments, params: PyTree, t: Array) -> tuple[PyTree, Moments]:
        return _direction(g, memory, t, b1=b1, b2=b2, eps=eps)

    return transformation(learning_rate, _zeros, direction)


def adamw(
    learning_rate: Real | optax.Schedule,
    b1: Real = 0.9,
    b2: Real = 0.999,
    eps: Real = 1e-8,
    weight_decay: Real = 1e-4,
) -> optax.GradientTransformation:
    """Return Adam with decoupled weight decay. Skips and counts NaN and inf.

    Args:
      learning_rate: lr >= 0; it multiplies the decay too.
      b1: Decay of the mean of the gradients, in [0, 1).
      b2: Decay of the mean of their squares, in [0, 1).
      eps: Added to the root, >= 0, in units of the gradient.
      weight_decay: >= 0; each step shrinks theta by the factor 1 - lr weight_decay.

    Returns:
      An optax optimizer with the steps of optax.adamw; its update needs params.

    Raises:
      ValueError: A concrete hyperparameter lies outside its interval, or update is given no params.
    """
    _check_moments(b1, b2, eps)
    _check.at_least("weight_decay", weight_decay, 0, dtype=float)

    def direction(g: PyTree, memory: Moments, params: PyTree, t: Array) -> tuple[PyTree, Moments]:
        if params is None:
            raise ValueError("adamw decays the parameters: expected update(grads, state, params)")
        d, memory = _direction(g, memory, t, b1=b1, b2=b2, eps=eps)
        return jax.tree.map(lambda d, p: d + like(weight_decay, p) * p, d, params), memory

    return transformation(learning_rate, _zeros, direction)
