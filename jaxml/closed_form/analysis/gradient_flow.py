"""Gradient norms through stacks of dense layers by hand; as in jaxml.analysis.gradient_flow.

Layers: sigmoid(h W + b), relu(h W + b) and h + sigmoid(h W + b), rows h of one width.
Bengio, Simard, Frasconi (1994), section 4; He et al. (2016), Identity mappings, eq. (5).
"""

from functools import partial

import jax.numpy as jnp
from jax.lax import Precision

from jaxml._typing import Array, Float

__all__ = ["gradient_norms", "residual_bound", "sigmoid_bound", "sigmoid_slope_bound"]

Stack = tuple[tuple[Float[Array, "d d"], Float[Array, " d"]], ...]  # (W, b) of every layer
dot = partial(jnp.dot, precision=Precision.HIGHEST)


def _activation(z: Array, kind: str) -> tuple[Array, Array]:
    """The value and the derivative of the nonlinearity."""
    if kind == "relu":
        return jnp.where(z > 0, z, 0.0), jnp.where(z > 0, 1.0, 0.0)
    s = 1 / (1 + jnp.exp(-z))
    return s, s * (1 - s)


def gradient_norms(
    params: Stack, x: Float[Array, "n d"], G: Float[Array, "n d"], *, kind: str
) -> tuple[Float[Array, " l+1"], Float[Array, " l"]]:
    """Return log ||dJ/dh_l|| and log ||dJ/d(W_l, b_l)|| for J = <G, h_L>."""
    h, tape = x, []
    for W, b in params:
        value, slope = _activation(dot(h, W) + b[None, :], kind)
        tape.append((h, slope))
        h = h + value if kind == "residual" else value
    # J = <G, h_L>  =>  dJ/dh_L = G
    g, inputs, found = G, [jnp.linalg.norm(G)], []
    for (W, _), (h, slope) in zip(reversed(params), reversed(tape), strict=True):
        # h_l = phi(z), z = h_{l-1} W + b   =>  dJ/dz = phi'(z) g
        dz = slope * g
        # => dJ/dW = h_{l-1}' dz,  dJ/db = 1' dz,  dJ/dh_{l-1} = dz W'
        dW, db = dot(h.T, dz), dz.sum(axis=0)
        # a residual layer adds h_{l-1} itself, through which g passes unchanged
        g = dot(dz, W.T) + (g if kind == "residual" else 0.0)
        found.append(jnp.sqrt((dW**2).sum() + (db**2).sum()))
        inputs.append(jnp.linalg.norm(g))
    return jnp.log(jnp.stack(inputs[::-1])), jnp.log(jnp.stack(found[::-1]))


def sigmoid_slope_bound(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return 1/4 for every z."""
    # sigmoid' = s (1 - s) = 1/4 - (s - 1/2)^2 <= 1/4, with equality at z = 0
    return jnp.full_like(z, 0.25)


def sigmoid_bound(params: Stack, G: Float[Array, "n d"]) -> Array:
    """Return log of (1/4)^L prod_l ||W_l||_2 ||G||, which ||dJ/dx|| cannot exceed."""
    # dJ/dh_{l-1} = (phi'(z) g) W'  =>  ||dJ/dh_{l-1}|| <= max |phi'| ||W||_2 ||g||, max phi' = 1/4
    # => ||dJ/dx|| <= (1/4)^L prod_l ||W_l||_2 ||G||
    sizes = [jnp.linalg.norm(W, 2) for W, _ in params]
    return jnp.log(0.25) * len(params) + jnp.log(jnp.stack(sizes)).sum() + jnp.log(_norm(G))


def residual_bound(params: Stack, G: Float[Array, "n d"]) -> Array:
    """Return log of prod_l (1 - ||W_l||_2 / 4) ||G||, below which ||dJ/dx|| cannot fall."""
    # dJ/dh_{l-1} = g + (phi'(z) g) W'  =>  ||dJ/dh_{l-1}|| >= ||g|| - ||W||_2 ||g|| / 4
    # => ||dJ/dx|| >= prod_l (1 - ||W_l||_2 / 4) ||G||, for ||W_l||_2 < 4
    kept = [1 - 0.25 * jnp.linalg.norm(W, 2) for W, _ in params]
    return jnp.log(jnp.stack(kept)).sum() + jnp.log(_norm(G))


def _norm(G: Array) -> Array:
    return jnp.sqrt((G**2).sum())
