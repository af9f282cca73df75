"""Objectives to minimize, and the solvers as one table."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxml import optim

__all__ = ["GD", "SOLVERS", "B", "H", "L", "bowl", "quadratic"]

H = np.array([[3.0, 1.0, 0.5], [1.0, 2.0, 0.2], [0.5, 0.2, 1.0]])
L = float(np.linalg.eigvalsh(H).max())
B = np.array([1.0, -2.0, 0.5])
GD, MOMENTUM = optim.gradient_descent(1.0 / L), optim.momentum(0.5 / L, 0.6)
# A constant rate would leave Adam in a cycle around the minimum.
ADAM = optim.adam(optax.exponential_decay(0.1, 20, 0.5), 0.8, 0.9)
LBFGS = optax.lbfgs()


def quadratic(w: Any, b: Any) -> jax.Array:
    """w' H w / 2 - b' w."""
    return 0.5 * w @ jnp.asarray(H, w.dtype) @ w - b.astype(w.dtype) @ w


def bowl(w: Any, b: Any) -> jax.Array:
    """Convex, smooth, not quadratic: the last entry has another scale."""
    return quadratic(w, b) + jnp.sum(jnp.cosh(w)) + 10.0 * w[-1] ** 2


SOLVERS = {
    "gradient_descent": lambda f, w, **kw: optim.minimize(f, w, optimizer=GD, **kw),
    "momentum": lambda f, w, **kw: optim.minimize(f, w, optimizer=MOMENTUM, **kw),
    "adam": lambda f, w, **kw: optim.minimize(f, w, optimizer=ADAM, **kw),
    "optax.lbfgs": lambda f, w, **kw: optim.minimize(f, w, optimizer=LBFGS, **kw),
    "lbfgs": lambda f, w, **kw: optim.lbfgs(f, w, memory_size=4, **kw),
    "newton": optim.newton,
}
