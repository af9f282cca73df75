"""The Hessian's spectrum at a point, and the constants that rates of convergence are stated in.

    L = max |lambda_i|,   mu = min lambda_i,   condition number = L / mu,   lambda = eig(H(params))

L bounds the slope of the gradient and mu the curvature near params; where the Hessian is constant
(quadratics) they are the global constants. A pytree of params is one long vector here.

Reference: Nesterov (2018), Lectures on Convex Optimization, section 2.1.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxml import _check, _lapack
from jaxml._typing import Array, Float, Key, PyTree, Scalar
from jaxml.analysis.lanczos import lanczos

__all__ = [
    "DENSE",
    "Spectrum",
    "condition_number",
    "hessian_spectrum",
    "smoothness",
    "strong_convexity",
]

DENSE = 1024  # entries of params up to which the Hessian is formed: 8 MB in float64


class Spectrum(NamedTuple):
    """Eigenvalues of a Hessian, ascending, and how far to trust them."""

    values: Float[Array, " m"]  # all n, or the k smallest and the k largest
    bounds: Float[Array, " m"]  # an eigenvalue lies within bounds[i] of values[i]


def hessian_spectrum(
    loss: Callable[..., Scalar],
    params: PyTree,
    *args: Any,
    k: int | None = None,
    key: Key | None = None,
    n_steps: int | None = None,
) -> Spectrum:
    """Return eigenvalues of the Hessian of loss(params, *args) with respect to params.

    Up to 1024 entries of params the Hessian is formed and all eigenvalues are found; beyond, the
    ends of the spectrum come from Lanczos on Hessian-vector products, in memory n_steps times that
    of params. A value whose bound is small is an eigenvalue; Lanczos can miss a copy of a repeated
    one, and extreme ones whose bound is still large are approached from inside.

    Args:
      loss: Twice differentiable; compiled once per function object.
      params: Where; a pytree of n real numbers in all.
      args: Passed on to loss.
      k: How many values from each end, 1 <= k <= n/2; None: all of them. Static.
      key: For the random start of Lanczos; needed beyond 1024 entries.
      n_steps: Lanczos steps, 2k..n; None: 4k + 60 at most n. Static.

    Raises:
      ValueError: k is out of range, or k or key is missing where Lanczos is needed.

    Example:
      >>> import jax.numpy as jnp
      >>> hessian_spectrum(lambda w: w[0] ** 2 + 3.0 * w[1] ** 2, jnp.zeros(2)).values.tolist()
      [2.0, 6.0]
    """
    n = ravel_pytree(params)[0].size
    if k is not None and not 1 <= _check.integer("k", k, 1) <= max(n // 2, 1):
        raise ValueError(f"k must be in 1..{n // 2}, half the {n} entries of params: got {k}")
    if n <= DENSE and n_steps is None:
        values = _dense(params, args, loss=loss)
        bounds = jnp.full_like(values, n * jnp.finfo(values.dtype).eps * jnp.abs(values).max())
        if k is not None:
            values, bounds = (jnp.concatenate([a[:k], a[-k:]]) for a in (values, bounds))
        return Spectrum(values, bounds)
    if k is None or key is None:
        raise ValueError(
            f"params has {n} entries: pass k, the number of values from each end, and key, "
            "a random key, for Lanczos"
        )
    if n_steps is None:
        n_steps = min(n, 4 * k + 60)
    if not 2 * k <= _check.integer("n_steps", n_steps, 1) <= n:
        raise ValueError(f"n_steps must be in {2 * k}..{n}: got {n_steps}")
    return _extreme(params, args, key, loss=loss, k=k, n_steps=n_steps)


@partial(jax.jit, static_argnames="loss")
def _dense(params: PyTree, args: tuple, *, loss: Callable[..., Scalar]) -> Array:
    x, unravel = ravel_pytree(params)
    return _lapack.eigvalsh(jax.hessian(lambda x: loss(unravel(x), *args))(x))


@partial(jax.jit, static_argnames=("loss", "k", "n_steps"))
def _extreme(
    params: PyTree, args: tuple, key: Key, *, loss: Callable[..., Scalar], k: int, n_steps: int
) -> Spectrum:
    x, unravel = ravel_pytree(params)
    gradient = jax.grad(lambda x: loss(unravel(x), *args))
    _, product = jax.linearize(gradient, x)
    ritz = lanczos(product, x.size, n_steps=n_steps, key=key, dtype=x.dtype)
    ends = (jnp.concatenate([a[:k], a[-k:]]) for a in (ritz.values, ritz.bounds))
    return Spectrum(*ends)


def _ends(loss: Callable[..., Scalar], params: PyTree, args: tuple, key: Key | None) -> Array:
    n = ravel_pytree(params)[0].size
    return hessian_spectrum(loss, params, *args, k=None if n <= DENSE else 1, key=key).values


def smoothness(
    loss: Callable[..., Scalar], params: PyTree, *args: Any, key: Key | None = None
) -> Scalar:
    """Return L = max |lambda_i|: gradient descent on a quadratic is stable for steps below 2/L.

    Args and Raises: as for hessian_spectrum.
    """
    return jnp.abs(_ends(loss, params, args, key)).max()


def strong_convexity(
    loss: Callable[..., Scalar], params: PyTree, *args: Any, key: Key | None = None
) -> Scalar:
    """Return mu = min lambda_i: zero or less where the loss is not strongly convex at params.

    A zero comes out as rounding, of the size n eps L. Args and Raises: as for hessian_spectrum.
    """
    return _ends(loss, params, args, key).min()


def condition_number(
    loss: Callable[..., Scalar], params: PyTree, *args: Any, key: Key | None = None
) -> Scalar:
    """Return L / mu; inf where mu <= n eps L, that is, where mu is zero to rounding or negative.

    Args and Raises: as for hessian_spectrum.
    """
    values = _ends(loss, params, args, key)
    n, L, mu = ravel_pytree(params)[0].size, jnp.abs(values).max(), values.min()
    curved = mu > n * jnp.finfo(values.dtype).eps * L
    return jnp.where(curved, L / jnp.where(curved, mu, 1.0), jnp.inf)
