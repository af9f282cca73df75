"""Gradient descent, plain and with momentum.

    gradient descent   theta <- theta - lr g
    momentum           v <- decay v + g,    theta <- theta - lr v              (heavy ball)
    Nesterov           v <- decay v + g,    theta <- theta - lr (g + decay v)

With a constant lr the heavy ball is the textbook v <- decay v + lr g, theta <- theta - v; with a
schedule the two differ, and lr stands outside of the velocity, as in optax and PyTorch.

On a quadratic of curvatures mu <= lambda <= L gradient descent converges iff lr < 2/L, the heavy
ball iff lr < 2 (1 + decay)/L. Derivations: jaxml.closed_form.optim.

Reference: Polyak (1964), Some methods of speeding up the convergence of iteration methods, eq. (9);
Sutskever et al. (2013), On the importance of initialization and momentum in deep learning,
eqs. (1)-(4).
"""

import jax
import jax.numpy as jnp
import optax

from jaxml._typing import Array, PyTree, Real
from jaxml.optim._transform import like, transformation, unit_interval

__all__ = ["gradient_descent", "momentum"]


def gradient_descent(learning_rate: Real | optax.Schedule) -> optax.GradientTransformation:
    """Return theta <- theta - lr g. Gradients with NaN or inf are skipped and counted.

    Args:
      learning_rate: lr >= 0: a number, a traced scalar or an optax schedule; below 2/L it descends.

    Returns:
      An optax optimizer with the steps of optax.sgd(learning_rate).

    Raises:
      ValueError: A concrete learning_rate is negative or NaN.

    Example:
      >>> opt = gradient_descent(0.25)
      >>> updates, _ = opt.update(jnp.array([4.0, -2.0]), opt.init(jnp.zeros(2)))
      >>> updates.tolist()
      [-1.0, 0.5]
    """
    return transformation(learning_rate, lambda params: (), lambda g, v, params, t: (g, v))


def momentum(
    learning_rate: Real | optax.Schedule, decay: Real = 0.9, nesterov: bool = False
) -> optax.GradientTransformation:
    """Return the heavy-ball method, or Nesterov's form of it. Skips and counts NaN and inf.

    Args:
      learning_rate: lr >= 0: a number, a traced scalar or an optax schedule.
      decay: Share of the velocity kept, in [0, 1); 0 is gradient descent.
      nesterov: Whether to look ahead along the new velocity; static.

    Returns:
      An optax optimizer with the steps of optax.sgd(learning_rate, decay, nesterov).

    Raises:
      ValueError: A concrete learning_rate is negative, or a concrete decay outside [0, 1).
    """
    unit_interval("decay", decay)

    def accumulate(g: PyTree, v: PyTree) -> PyTree:
        return jax.tree.map(lambda g, v: g + like(decay, v) * v, g, v)

    def direction(g: PyTree, v: PyTree, params: PyTree, t: Array) -> tuple[PyTree, PyTree]:
        v = accumulate(g, v)
        return (accumulate(g, v) if nesterov else v), v

    return transformation(
        learning_rate, lambda params: jax.tree.map(jnp.zeros_like, params), direction
    )
