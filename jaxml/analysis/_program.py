"""Quadratics known by their code: two facts about the program of f, for any x.

    f(x) = 1/2 x'H x + g'x + c,  H one matrix, if
        f holds only smooth arithmetic (no abs, max, where, and no derivative rule of its own), and
        its Hessian depends on no entry of x

Nothing is sampled: both facts are read off the traced program, and the value of x plays no part.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Float, Scalar

__all__ = ["constant_hessian"]

# Smooth everywhere and, without division by x, polynomial: no kink can hide between their values.
_POLYNOMIAL = {
    "add", "add_any", "broadcast_in_dim", "concatenate", "copy", "div", "dot_general",
    "expand_dims", "integer_pow", "mul", "neg", "pad", "reduce_sum", "reshape", "rev", "slice",
    "split", "square", "squeeze", "sub", "transpose",
}  # fmt: skip


def _polynomial(jaxpr: Any, depends: set[int]) -> bool:
    """Whether what depends on x, marked by id, goes through smooth arithmetic alone."""
    for eqn in jaxpr.eqns:
        marked = [id(v) in depends for v in eqn.invars]
        if not any(marked):
            continue  # constants may be made in any way
        depends.update(map(id, eqn.outvars))
        name = eqn.primitive.name
        if name in ("jit", "pjit"):
            inner = eqn.params["jaxpr"].jaxpr
            within = {id(v) for v, m in zip(inner.invars, marked, strict=True) if m}
            smooth = _polynomial(inner, within)
        elif name == "select_n":
            smooth = not marked[0]  # a choice made by constants
        elif name == "convert_element_type":
            smooth = jnp.issubdtype(eqn.params["new_dtype"], jnp.floating)
        else:
            smooth = name in _POLYNOMIAL
        if not smooth:
            return False
    return True


def constant_hessian(f: Callable[[Array], Scalar], x: Array) -> Float[Array, "d d"] | None:
    """Return H if the code of f shows a quadratic, else None."""
    jaxpr = jax.make_jaxpr(f)(x).jaxpr
    if not _polynomial(jaxpr, set(map(id, jaxpr.invars))):
        return None
    try:
        # vmap keeps account of what depends on x: out_axes=None refuses what does.
        return jax.vmap(jax.hessian(f), in_axes=0, out_axes=None)(x[None, :])
    except ValueError:
        return None
