"""L-BFGS for a smooth loss of a linear score, in coordinates where its Hessian is at most I.

    w = T u with T T' = (curvature bound of the loss * Cov(x) + l2 I)^-1
    u <- u - t B g,  B from the last pairs s = u_new - u, y = g_new - g, by the two-loop recursion

In u the eigenvalues of the Hessian are at most 1, and 1 where the loss bends most, whatever the
scales and correlations of the columns, so that t = 1 is nearly always right and each step costs one
pass over the data. Where there are too many columns for a d x d factor, T is diagonal.

Reference: Nocedal, Wright (2006), Numerical Optimization, algorithm 7.4 and eq. (7.20); Boehning,
Lindsay (1988), Monotonicity of quadratic-approximation algorithms, for the bound.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxml import _lapack
from jaxml._loop import iterate
from jaxml._numerics import matmul
from jaxml._sums import sum_over_rows
from jaxml._typing import Array, Bool, Column, Float, Int, Rows, Scalar
from jaxml.linear import _affine
from jaxml.linear._affine import Normal

__all__ = ["Point", "Whitening", "minimize", "whitening"]

WHITENING_LIMIT = 2048  # features up to which T is a full factor
MEMORY = 10  # pairs
SHORTEST = 2.0**-8  # a step shorter than this clears the memory
PATIENCE = 2  # times that the memory is cleared without progress


class Whitening(NamedTuple):
    """T = diag(scale) W', W = L^-1 of C = L L'; W = I where it is None."""

    scale: Float[Array, " d"]
    W: Float[Array, "d d"] | None

    def apply(self, u: Array) -> Array:
        """w = T u, for u (d,) or (d, k)."""
        if self.W is not None:
            u = matmul(self.W.T, u)
        return self.scale.reshape(-1, *[1] * (u.ndim - 1)) * u

    def pull(self, g: Array) -> Array:
        """dJ/du = T' dJ/dw."""
        g = self.scale.reshape(-1, *[1] * (g.ndim - 1)) * g
        return g if self.W is None else matmul(self.W, g)


class Point(NamedTuple):
    """An iterate and what is known there."""

    w: Array
    v: Array
    J: Scalar
    residual: Scalar
    moved: tuple[Array, Array]  # the last step tried, in (w, v)


class _State(NamedTuple):
    x: Float[Array, " q"]  # (u, v) in one vector
    g: Float[Array, " q"]
    J: Scalar
    residual: Scalar
    moved: Float[Array, " q"]
    S: Float[Array, "m q"]  # the newest pair first
    Y: Float[Array, "m q"]
    rho: Float[Array, " m"]  # 1 / s'y, 0 for no pair
    t: Scalar
    cleared: Int[Array, ""]


def whitening(
    X: Rows, p: Column, c: Float[Array, " d"], l2: Scalar, *, bound: float, fit_intercept: bool
) -> Whitening:
    """Return T for a loss whose second derivative is at most bound."""
    d, dtype = X.shape[1], X.dtype
    if d > WHITENING_LIMIT:
        sd = _affine.spread(X, p, c, fit_intercept=fit_intercept)
        return Whitening(jax.lax.rsqrt(bound * jnp.where(sd > 0, sd, 1.0) ** 2 + l2), None)
    normal = sum_over_rows(lambda X, p: Normal.of(*_affine.weigh(X, p, c)), X, p)
    normal = jax.tree.map(lambda leaf: bound * leaf, normal)
    C, scale, _, _ = _affine.scaled(normal, l2, fit_intercept=fit_intercept)
    # A floor under the flattest directions: T must not amplify their rounding.
    floor = jnp.maximum(1e-4, 100 * d * jnp.finfo(dtype).eps)
    W = _lapack.inverse_factor(C + floor * jnp.eye(d, dtype=dtype))
    return Whitening(jnp.where(scale > 0, scale, 1.0), W)


def _two_loop(state: _State) -> Float[Array, " q"]:
    """B g, with B = I to begin with, scaled by s'y / y'y of the newest pair."""
    S, Y, rho = state.S, state.Y, state.rho
    r, alphas = state.g, []
    for j in range(MEMORY):
        alphas.append(rho[j] * (S[j] @ r))
        r = r - alphas[j] * Y[j]
    newest = rho[0] > 0
    r = r * jnp.where(newest, 1.0 / jnp.where(newest, rho[0] * (Y[0] @ Y[0]), 1.0), 1.0)
    for j in reversed(range(MEMORY)):
        r = r + (alphas[j] - rho[j] * (Y[j] @ r)) * S[j]
    return r


def minimize(
    first_order: Callable[[Array, Array], tuple[Scalar, tuple[Array, Array]]],
    T: Whitening,
    init: tuple[Array, Array],
    *,
    residual: Callable[[Array, Scalar, tuple[Array, Array]], Scalar],
    tol: Scalar,
    max_iter: int | Array,
) -> tuple[Point, Int[Array, ""], Bool[Array, ""]]:
    """Return the best point, the number of passes, and whether progress ended above tol.

    Args:
      first_order: (w, v) -> (J, (dJ/dw, dJ/dv)), in one pass over the data.
      T: The coordinates; u is measured from init.
      init: (w, v) to start from.
      residual: (w, J, gradient) -> the certificate.
      tol: What the residual must not exceed.
      max_iter: Bound on the passes.
    """
    start, unravel = ravel_pytree((jnp.zeros_like(init[0]), init[1]))

    def evaluate(x: Array) -> tuple[Scalar, Array, Scalar]:
        u, v = unravel(x)
        w = init[0] + T.apply(u)
        J, (g_w, g_v) = first_order(w, v)
        return J, ravel_pytree((T.pull(g_w), g_v))[0], residual(w, J, (g_w, g_v))

    def step(state: _State) -> _State:
        d = -_two_loop(state)
        s = state.t * d
        J, g, certificate = evaluate(state.x + s)
        # Where J is flat to rounding the gradient decides; shrinking it bounds how often.
        flat = jnp.abs(J - state.J) <= 4 * jnp.finfo(J.dtype).eps * jnp.abs(state.J)
        lower = state.J + 1e-4 * state.t * (state.g @ d) >= J
        taken = jnp.where(flat, g @ g < 0.98 * (state.g @ state.g), lower)
        y = g - state.g
        # A pair without curvature would make B indefinite; it is left out.
        curved = s @ y > 1e-10 * (y @ y)
        pair = jnp.where(curved, 1.0 / jnp.where(curved, s @ y, 1.0), 0.0)
        pushed = _State(
            state.x + s,
            g,
            J,
            certificate,
            s,
            jnp.concatenate([s[None, :], state.S[:-1]]),
            jnp.concatenate([y[None, :], state.Y[:-1]]),
            jnp.concatenate([pair[None], state.rho[:-1]]),
            jnp.ones_like(state.t),
            jnp.zeros_like(state.cleared),
        )
        clear = state.t < SHORTEST
        shorter = state._replace(
            moved=s,
            rho=jnp.where(clear, 0.0, state.rho),
            t=jnp.where(clear, 1.0, 0.25 * state.t),
            cleared=state.cleared + clear,
        )
        return jax.tree.map(lambda new, old: jnp.where(taken, new, old), pushed, shorter)

    J, g, certificate = evaluate(start)
    q, dtype = start.shape[0], start.dtype
    state = _State(
        start, g, J, certificate, jnp.full(q, jnp.inf, dtype), jnp.zeros((MEMORY, q), dtype),
        jnp.zeros((MEMORY, q), dtype), jnp.zeros(MEMORY, dtype), jnp.ones((), dtype), jnp.int32(0),
    )  # fmt: skip

    def stop(state: _State) -> Array:
        # At least one step is tried: how far it goes tells whether there is a minimum at all.
        certified = (state.residual <= tol) & (state.moved[0] < jnp.inf)
        return certified | (state.cleared >= PATIENCE) | ~jnp.isfinite(state.J)

    end, n_iter = iterate(step, state, stop=stop, max_iter=max_iter)
    u, v = unravel(end.x)
    d_u, d_v = unravel(end.moved)
    both = jnp.concatenate([a.reshape(u.shape[0], -1) for a in (u, d_u)], axis=1)
    w, d_w = (a.reshape(u.shape) for a in jnp.split(T.apply(both), 2, axis=1))
    point = Point(init[0] + w, v, end.J, end.residual, (d_w, d_v))
    return point, n_iter, end.cleared >= PATIENCE
