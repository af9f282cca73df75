"""Damped Newton steps for a smooth loss of a linear score, with a quadratic and an L1 penalty.

    J(w, v) = sum_i p_i l(z_i, y_i) + l1 ||w||_1 + l2/2 ||w||_2^2,    z = a'w + v, a = x - c
    direction: argmin_(dw, dv) g'd + 1/2 d'H d + l1 ||w + dw||_1,  H = [[G + l2 I, m], [m', M]]

G, m, M are the second-order sums with weights p_i l''(z_i). While a step shrinks the residual
tenfold, or enough to end with the next, the last H is used again: a gradient costs a fraction of
it.

Reference: Lee, Sun, Saunders (2014), Proximal Newton-type methods, algorithm 1; Shamanskii (1967)
for steps with a kept Hessian.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._loop import iterate
from jaxml._numerics import matmul
from jaxml._typing import Array, Bool, Float, Int, Scalar
from jaxml.linear import _affine, _orders
from jaxml.linear._affine import Normal
from jaxml.linear._problem import Problem
from jaxml.optim.coordinate import coordinate_descent, solve_on_support

__all__ = ["State", "minimize"]

SMALLEST_STEP = 2.0**-12
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


def _direction(
    problem: Problem, state: State, normal: Normal, *, sparse: bool, fit_intercept: bool
) -> tuple[Array, Scalar]:
    l1, l2 = problem.l1, problem.l2
    g_w, g_v = state.gradient
    if not sparse:
        d_w, d_v = _affine.inverse(normal, l2, fit_intercept=fit_intercept)(g_w, g_v)
        return -d_w, -d_v
    # With v eliminated: Q = S, and h such that the gradient at w is g_w - m g_v / M.
    S, m, M = _affine.schur(normal, l2, fit_intercept=fit_intercept)
    h = matmul(S, state.w) - (g_w - m * g_v / M)
    inner = 0.1 * state.residual * jnp.sqrt(jnp.maximum(state.J, 0.0))
    new, _ = coordinate_descent(S, h, l1=l1, init=state.w, tol=inner, max_iter=1000)
    d_w = solve_on_support(S, h, l1, new) - state.w
    d_v = -(g_v + matmul(m, d_w)) / M if fit_intercept else jnp.zeros_like(g_v)
    return d_w, d_v


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
    l1 = problem.l1
    table = _orders.table_of(problem)

    def evaluate(w: Array, v: Scalar, normal: Normal) -> State:
        if table is None:
            J, gradient = _orders.first_order(loss, problem, w, v, fit_intercept=fit_intercept)
        else:
            everything = _orders.all_orders(loss, problem, table, w, v, fit_intercept=fit_intercept)
            J, gradient, normal = everything
        no, one = jnp.array(False), jnp.ones((), w.dtype)
        state = State(w, v, gradient, J, J, normal, no, no, one, (jnp.zeros_like(w), 0 * v), no, J)
        return state._replace(residual=residual(state))

    def step(state: State) -> State:
        normal = state.normal
        if table is None:
            normal = jax.lax.cond(
                state.keep | state.fresh,
                lambda: normal,
                lambda: _orders.second_order(loss, problem, state.w, state.v),
            )
        d_w, d_v = _direction(problem, state, normal, sparse=sparse, fit_intercept=fit_intercept)
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
