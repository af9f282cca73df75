"""What the solvers share: the problem as pure functions of (params, theta), and its certificate.

theta gathers everything that the solution may be differentiated by: the arguments passed to the
loss and the traced values it closes over. With F = grad_w f(w, theta) = 0 at the solution,

    dw = -H^-1 (dF/dtheta) dtheta,    H = d^2 f / dw^2.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxml import _check, _lapack
from jaxml._implicit import differentiable, solve_by_cg
from jaxml._loop import Code, Fit, all_finite
from jaxml._numerics import default_tol, matmul
from jaxml._typing import Array, Bool, Int, PyTree, Real, Scalar

__all__ = [
    "DENSE", "arguments", "closed", "flags", "flatter", "floating", "inputs", "limits", "max_norm",
    "relative", "stationary", "used",
]  # fmt: skip

DENSE = 512  # entries of w up to which a Hessian is formed: 2 MB in float64, about 0.1 s of eigh


def floating(params: PyTree) -> PyTree:
    """Return params as finite floating arrays.

    Raises:
      TypeError: params holds no arrays, or one that is not of 32 or 64 bits.
      ValueError: A concrete leaf holds NaN or inf.
    """
    if not jax.tree.leaves(params):
        raise TypeError("params holds no arrays: expected a pytree with at least one leaf")
    # One more astype: a weakly typed leaf would change its type on the way round the loop.
    params = jax.tree.map(
        lambda leaf: (a := _check.array("params", leaf, ndim=jnp.ndim(leaf))).astype(a.dtype),
        params,
    )
    if _check.is_concrete(params) and not all(
        np.isfinite(p).all() for p in jax.tree.leaves(params)
    ):
        raise ValueError("params contains NaN or inf: expected a finite start")
    return params


def closed(f: Callable, *example: Any) -> tuple[Callable, tuple]:
    """Return f with the traced values it closes over as further arguments, and these values.

    The conversion is cached by f and the shapes, so that the same f gives the same function.
    """
    converted, consts = jax.closure_convert(f, *example)
    return converted, tuple(consts)


def inputs(
    loss: Callable, params: PyTree, args: tuple, *, tol: Real | None, max_iter: int
) -> tuple[Callable, tuple, tuple]:
    """Return f(params, *theta) = loss(params, *args), theta, and how = (params, tol, max_iter).

    Raises:
      TypeError: params are not floating arrays, args is not a tuple, or max_iter not an integer.
      ValueError: The loss is not a scalar, params are not finite, max_iter < 1 or tol < 0.
    """
    params = floating(params)
    args = arguments("args", args)
    f, consts = closed(loss, params, *args)
    value = jax.eval_shape(f, params, *args, *consts)
    if jnp.shape(value) != ():
        raise ValueError(f"loss must return a scalar: got shape {jnp.shape(value)}")
    limit, steps = limits(params, tol, max_iter)
    return f, (*args, *consts), (params, limit, steps)


def arguments(name: str, args: tuple) -> tuple:
    """Return a tuple of pytrees of arrays."""
    if not isinstance(args, tuple):
        raise TypeError(f"{name} must be a tuple: got {type(args).__name__}")
    return jax.tree.map(
        lambda leaf: leaf if isinstance(leaf, jax.Array) else jnp.asarray(leaf), args
    )


def limits(params: PyTree, tol: Real | None, max_iter: int) -> tuple[Scalar, Array]:
    """Return tol in the dtype of params, and max_iter as an array: no new value compiles anew."""
    dtype = jnp.result_type(*jax.tree.leaves(params))
    tol = default_tol(dtype) if tol is None else tol
    steps = _check.integer("max_iter", max_iter, 1)
    return _check.at_least("tol", tol, 0, dtype=dtype), jnp.int32(steps)


def max_norm(tree: PyTree) -> Scalar:
    """Return the largest absolute entry of a pytree; NaN if any entry is."""
    return jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(tree)]).max()


def relative(change: PyTree, value: Scalar) -> Scalar:
    """The residual: max |change| / max(1, |f|)."""
    return max_norm(change) / jnp.maximum(1.0, jnp.abs(value))


def flatter(value: Scalar, before: Scalar) -> Bool[Array, ""]:
    """Whether two values of the objective agree to rounding."""
    return jnp.abs(value - before) <= 8 * jnp.finfo(value.dtype).eps * jnp.abs(before)


def flags(
    inputs: PyTree, first: Scalar, diverged: Array
) -> tuple[tuple[Code, Array], tuple[Code, Array]]:
    """Return the flags for certify: a start without a value, and a run that diverged."""
    no_value = ~jnp.isfinite(first)
    floating = [
        leaf for leaf in jax.tree.leaves(inputs) if jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    # An inf may be meant (a bound, a mask); it is to blame only if the start has no value.
    return (
        (Code.NONFINITE_INPUT, no_value & ~all_finite(floating)),
        (Code.DIVERGED, no_value | diverged),
    )


def used(count: Int[Array, ""]) -> Int[Array, ""]:
    """Iterations as reported: at least the one that found nothing to do."""
    return jnp.maximum(count, 1)


def _inverse_hessian(f: Callable, params: PyTree, theta: tuple) -> Callable[[PyTree], PyTree]:
    """Return b -> H^-1 b at params: dense up to DENSE entries, beyond by conjugate gradients.

    Along the directions in which f does not change (eigenvalue 0 to rounding) the answer is 0: the
    solution is one of many, and the derivative that of least norm.
    """
    w, unravel = ravel_pytree(params)

    def gradient(w: Array) -> Array:
        return jax.grad(lambda w: f(unravel(w), *theta))(w)

    eps = float(jnp.finfo(w.dtype).eps)
    if w.size > DENSE:
        cg = solve_by_cg(lambda v: jax.jvp(gradient, (w,), (v,))[1], tol=eps**0.75)
        return lambda b: unravel(cg(ravel_pytree(b)[0]))
    H = jax.jacfwd(gradient)(w)

    def pseudoinverse(_: Callable, b: Array) -> Array:
        lam, V = _lapack.eigh(H)
        kept = jnp.abs(lam) > w.size * eps * jnp.abs(lam).max()
        return matmul(V, jnp.where(kept, 1 / jnp.where(kept, lam, 1), 0) * matmul(V.T, b))

    def solve(b: PyTree) -> PyTree:
        vector = ravel_pytree(b)[0]
        return unravel(
            jax.lax.custom_linear_solve(
                lambda v: matmul(H, v), vector, pseudoinverse, symmetric=True
            )
        )

    return solve


def stationary(
    solve: Callable[[tuple, tuple], Fit[PyTree]], f: Callable
) -> Callable[[tuple, tuple], Fit[PyTree]]:
    """Return (theta, how) -> Fit with the derivatives that grad f = 0 implies."""
    return differentiable(
        solve,
        objective=lambda params, theta: f(params, *theta),
        optimality=lambda params, theta: jax.grad(f)(params, *theta),
        inverse=lambda params, theta: _inverse_hessian(f, params, theta),
    )
