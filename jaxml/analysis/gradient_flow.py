"""How the gradient's norm changes on its way down a stack of layers.

    h_l = layer_l(params_l, h_{l-1}),   h_0 = x,   J = loss(h_L)
    measured: log ||dJ/dh_l||  and  log ||dJ/dparams_l||   for every l

A layer sigmoid(h W + b) multiplies the norm by at most ||W||_2 / 4, since sigmoid' <= 1/4; a ReLU
by at most ||W||_2; and a residual layer h + branch(h) by at least 1 - ||branch'||_2. Logarithms,
because 4^-200 is no float32.

Reference: Bengio, Simard, Frasconi (1994); Hochreiter (1991).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Float, PyTree, Scalar

__all__ = ["Flow", "gradient_norms"]

Layer = Callable[[Any, Array], Array]  # (params_l, h_{l-1}) -> h_l


class Flow(NamedTuple):
    """Natural logarithms of 2-norms; -inf where a gradient is 0."""

    inputs: Float[Array, " l+1"]  # log ||dJ/dh_l||, l = 0 (at x) to L (at the output)
    params: Float[Array, " l"]  # log ||dJ/dparams_l||, -inf for a layer without parameters


def gradient_norms(
    layers: Sequence[Layer],
    params: Sequence[PyTree],
    x: Float[Array, "..."],
    *,
    loss: Callable[[Array], Scalar],
) -> Flow:
    """Return the norm of the gradient at every layer of a stack.

    The cotangent is brought to norm 1 in front of every layer, so that none under- or overflows
    however deep the stack is.

    Args:
      layers: L functions (params_l, h) -> h; compiled once per function object and shape.
      params: What each layer gets; None for a layer without parameters.
      x: The input, a batch or one example; the norm is over all its entries.
      loss: The output -> a scalar; static, like the layers.

    Raises:
      ValueError: Not as many params as layers.

    Example:
      >>> halve = lambda w, h: w * h
      >>> flow = gradient_norms([halve] * 3, [jnp.array(0.5)] * 3, jnp.ones(1), loss=jnp.sum)
      >>> jnp.exp(flow.inputs).round(4).tolist()
      [0.125, 0.25, 0.5, 1.0]
    """
    if len(layers) != len(params):
        raise ValueError(
            f"params must hold one entry per layer: expected {len(layers)}, got {len(params)}"
        )
    return _gradient_norms(tuple(params), jnp.asarray(x), layers=tuple(layers), loss=loss)


@partial(jax.jit, static_argnames=("layers", "loss"))
def _gradient_norms(params: tuple, x: Array, *, layers: tuple, loss: Callable) -> Flow:
    h, pulls = x, []
    for layer, theta in zip(layers, params, strict=True):
        h, pull = jax.vjp(layer, theta, h)
        pulls.append(pull)
    g, size = _normalized(jax.grad(loss)(h))
    changes, found = [size], []
    for pull in reversed(pulls):
        dtheta, dh = pull(g)
        found.append(_log_norm(dtheta))
        g, change = _normalized(dh)
        changes.append(change)
    inputs = jnp.cumsum(jnp.stack(changes))[::-1]
    return Flow(inputs, inputs[1:] + jnp.array(found[::-1], inputs.dtype))


def _scale(leaves: Sequence[Array]) -> tuple[Scalar, Scalar]:
    """(u, v) with ||leaves|| = u v: u is the largest entry, in units of which none underflows."""
    wide = jnp.promote_types(jnp.result_type(*leaves), jnp.float32)
    leaves = [leaf.astype(wide) for leaf in leaves]
    top = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf), initial=0.0) for leaf in leaves]))
    u = jnp.where(top > 0, top, 1.0)
    squares = jnp.stack([jnp.sum((leaf / u) ** 2) for leaf in leaves])
    return u, jnp.sqrt(jnp.sum(squares))


def _log_norm(tree: PyTree) -> Scalar:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    if not leaves:
        return jnp.asarray(-jnp.inf)
    u, v = _scale(leaves)
    return jnp.log(u) + jnp.log(v)


def _normalized(g: Array) -> tuple[Array, Scalar]:
    """(g / ||g||, log ||g||), and (0, -inf) for zero."""
    u, v = _scale([g])
    unit = g.astype(u.dtype) / u / jnp.where(v > 0, v, 1.0)
    return unit.astype(g.dtype), jnp.log(u) + jnp.log(v)
