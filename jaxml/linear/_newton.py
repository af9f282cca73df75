"""Damped Newton steps for a smooth loss of a linear score, with a quadratic and an L1 penalty.

    J(w, v) = sum_i p_i l(z_i, y_i) + l1 ||w||_1 + l2/2 ||w||_2^2,    z = a'w + v, a = x - c
    direction: argmin_(dw, dv) g'd + 1/2 d'H d + l1 ||w + dw||_1,  H = [[G + l2 I, m], [m', M]]

G, m, M are the second-order sums with weights p_i l''(z_i). While a step shrinks the residual
tenfold, or enough to end with the next, the last H is used again: a gradient costs a fraction of it.

Reference: Lee, Sun, Saunders (2014), Proximal Newton-type methods, algorithm 1; Shamanskii (1967)
for steps with a kept Hessian.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._loop import iterate
from jaxml._numerics import matmul, total
from jaxml._typing import Array, Bool, Column, Float, Int, Rows, Scalar
from jaxml.linear import _affine
from jaxml.linear._affine import Normal, divide
from jaxml.linear._problem import Problem
from jaxml.optim.coordinate import coordinate_descent, solve_on_support

__all__ = ["State", "first_order", "gradient_residual", "minimize", "pieces"]

SMALLEST_STEP = 2.0**-12
TABLE = 2**20  # numbers in a table of products that stays in cache
KEEP = 0.1  # the Hessian is kept while the residual falls at least by this factor


class State(NamedTuple):
    """An iterate and what is known there."""

    w: Float[Array, " d"]
    v: Scalar
    gradient: tuple[Float[Array, " d"], Scalar]  # of the smooth part, l2 included
    J: Scalar
    residual: Scalar
    normal: Normal
    fresh: Bool[Array, ""]  # whether normal was taken at (w, v)
    keep: Bool[Array, ""]  # whether normal serves for another step
    t: Scalar  # length of the next step
    moved: tuple[Float[Array, " d"], Scalar]  # the last step tried
    tried: Bool[Array, ""]  # whether there was one
    before: Scalar  # the residual before it


def pieces(loss: Callable, z: Column, y: Column) -> tuple[Column, Column, Column]:
    """l, dl/dz and d2l/dz2 of each row, by forward mode, twice."""
    one = jnp.ones_like(z)

    def slope(z: Column) -> tuple[Column, Column]:
        return jax.jvp(lambda z: loss(z, y), (z,), (one,))

    (l, dl), (_, d2l) = jax.jvp(slope, (z,), (one,))
    return l, dl, d2l


def table_of(problem: Problem) -> Float[Array, "n q"] | None:
    """The products a_j a_k, j <= k, of each row, where they are few: then D'table has G in it.

    Many fits to the same rows, as in a grid of penalties, take their G in one product.
    """
    n, d = problem.X.shape
    if n * d * d > TABLE:
        return None
    A = problem.X - problem.c[None, :]
    j, k = np.triu_indices(d)
    return A[:, j] * A[:, k]


def all_orders(
    loss: Callable, problem: Problem, table: Array, w: Array, v: Scalar, *, fit_intercept: bool
) -> tuple[Scalar, tuple[Array, Scalar], Normal]:
    """J, the gradient of its smooth part, and G, m, M at (w, v), from the table."""
    X, y, p, c, _, l1, l2, _ = problem
    A = X - c[None, :]
    l, dl, d2l = pieces(loss, matmul(A, w) + v, y)
    D, d = p * d2l, c.shape[0]
    place = np.zeros((d, d), int)
    place[np.triu_indices(d)] = np.arange(table.shape[1])
    G = matmul(D, table)[np.maximum(place, place.T)]
    g_v = total(p * dl) if fit_intercept else jnp.zeros_like(v)
    J = total(jnp.where(p > 0, p * l, 0.0)) + _affine.penalty(w, l1, l2)
    return J, (matmul(p * dl, A) + l2 * w, g_v), Normal(G, matmul(D, A), total(D))


def second_order(loss: Callable, problem: Problem, w: Array, v: Scalar) -> Normal:
    """The sums G, m, M at (w, v)."""
    c = problem.c

    def sums(X: Rows, y: Column, p: Column) -> Normal:
        z = matmul(X - c[None, :], w) + v
        return Normal.of(*_affine.weigh(X, p * pieces(loss, z, y)[2], c))

    return problem.mean(sums)


def first_order(
    loss: Callable, problem: Problem, w: Array, v: Scalar, *, fit_intercept: bool
) -> tuple[Scalar, tuple[Array, Scalar]]:
    """J and the gradient of its smooth part at (w, v)."""
    c, l1, l2 = problem.c, problem.l1, problem.l2

    def sums(X: Rows, y: Column, p: Column) -> tuple[Scalar, Array, Scalar]:
        A = X - c[None, :]
        l, dl, _ = pieces(loss, matmul(A, w) + v, y)
        l = jnp.where(p > 0, p * l, 0.0)
        return total(l), matmul(p * dl, A), total(p * dl)

    J, g_w, g_v = problem.mean(sums)
    g_v = g_v if fit_intercept else jnp.zeros_like(g_v)
    return J + _affine.penalty(w, l1, l2), (g_w + l2 * w, g_v)


def gradient_residual(sd: Float[Array, " d"], J: Scalar, gradient: tuple[Array, Array]) -> Scalar:
    """max_j |dJ/dw_j| / sd(x_j) and |dJ/dv|, over max(1, J): scale-free, since l is a number."""
    g_w, g_v = gradient
    worst = jnp.maximum(jnp.max(divide(jnp.abs(g_w), sd)), jnp.abs(g_v))
    return worst / jnp.maximum(1.0, jnp.abs(J))


def minimize(
    loss: Callable,
    problem: Problem,
    init: tuple[Array, Scalar],
    *,
    residual: Callable[[State], Scalar],
    tol: Scalar,
    sparse: bool,
    fit_intercept: bool,
    max_iter: int | Array,
) -> tuple[State, Int[Array, ""], Bool[Array, ""]]:
    """Return the last state, the number of steps, and whether the line search failed.

    Args:
      loss: l(z, y), elementwise, twice differentiable, convex in z.
      problem: Data, weights, penalties.
      init: (w, v) to start from.
      residual: The certificate of a state.
      tol: What the residual must not exceed.
      sparse: Static; whether l1 may be positive.
      fit_intercept: Static; False keeps v = 0.
      max_iter: Bound on the steps.
    """
    l1, l2 = problem.l1, problem.l2
    table = table_of(problem)

    def evaluate(w: Array, v: Scalar, normal: Normal) -> State:
        if table is None:
            J, gradient = first_order(loss, problem, w, v, fit_intercept=fit_intercept)
        else:
            everything = all_orders(loss, problem, table, w, v, fit_intercept=fit_intercept)
            J, gradient, normal = everything
        no, one = jnp.array(False), jnp.ones((), w.dtype)
        state = State(w, v, gradient, J, J, normal, no, no, one, (jnp.zeros_like(w), 0 * v), no, J)
        return state._replace(residual=residual(state))

    def direction(state: State, normal: Normal) -> tuple[Array, Scalar]:
        g_w, g_v = state.gradient
        solve = _affine.inverse(normal, l2, fit_intercept=fit_intercept)
        if not sparse:
            d_w, d_v = solve(g_w, g_v)
            return -d_w, -d_v
        # With v eliminated: Q = S, and h such that the gradient at w is g_w - m g_v / M.
        S, m, M = _affine.schur(normal, l2, fit_intercept=fit_intercept)
        h = matmul(S, state.w) - (g_w - m * g_v / M)
        inner = 0.1 * state.residual * jnp.sqrt(jnp.maximum(state.J, 0.0))
        new, _ = coordinate_descent(S, h, l1=l1, init=state.w, tol=inner, max_iter=1000)
        d_w = solve_on_support(S, h, l1, new) - state.w
        d_v = -(g_v + matmul(m, d_w)) / M if fit_intercept else jnp.zeros_like(g_v)
        return d_w, d_v

    def step(state: State) -> State:
        normal = state.normal
        if table is None:
            normal = jax.lax.cond(
                state.keep | state.fresh,
                lambda: normal,
                lambda: second_order(loss, problem, state.w, state.v),
            )
        d_w, d_v = direction(state, normal)
        g_w, g_v = state.gradient
        moved = (state.t * d_w, state.t * d_v)
        w, v = state.w + moved[0], state.v + moved[1]
        slope = matmul(g_w, d_w) + g_v * d_v
        slope = slope + _affine.penalty(state.w + d_w, l1, 0.0) - _affine.penalty(state.w, l1, 0.0)
        new = evaluate(w, v, normal)
        # Where J is flat to rounding the residual decides; halving it bounds how often.
        flat = jnp.abs(new.J - state.J) <= 4 * jnp.finfo(w.dtype).eps * jnp.abs(state.J)
        lower = state.J + 1e-4 * state.t * slope >= new.J
        closer = new.residual < 0.5 * state.residual
        if sparse:  # a gap below tol may be all rounding: the last step needs no other proof
            closer = closer | ((state.residual <= tol) & (new.residual <= tol))
        taken = jnp.where(flat, closer, lower)
        taken = taken & jnp.isfinite(new.residual)
        # A last step beyond tol, which makes w exact, needs the Hessian there.
        rate = new.residual / state.residual
        fast = (rate <= KEEP) | ((rate < 0.5) & (rate * new.residual <= tol))
        keep = fast & (state.t == 1.0) & (new.residual > tol) & (table is None)
        new = new._replace(keep=keep)
        # A refused step from a kept Hessian is tried again with its own, else shortened.
        exact = ~state.keep
        retry = state._replace(
            normal=normal,
            fresh=exact,
            keep=jnp.array(False),
            t=jnp.where(exact, 0.5 * state.t, state.t),
        )
        end = jax.tree.map(lambda new, old: jnp.where(taken, new, old), new, retry)
        return end._replace(moved=moved, tried=jnp.array(True), before=state.residual)

    def stop(state: State) -> Array:
        # At least one step is tried: how far it goes tells whether there is a minimum at all.
        certified = (state.residual <= tol) & state.tried
        if sparse:  # a gap is quadratic in the error of w: one more step makes w exact, too
            certified = certified & (state.before <= tol)
        return certified | ~(state.t > SMALLEST_STEP) | ~jnp.isfinite(state.J)

    d, dtype = problem.c.shape[0], problem.c.dtype
    nothing = Normal(jnp.zeros((d, d), dtype), jnp.zeros(d, dtype), jnp.zeros((), dtype))
    start = evaluate(*init, nothing)
    end, n_iter = iterate(step, start, stop=stop, max_iter=max_iter)
    return end, n_iter, ~(end.t > SMALLEST_STEP)
