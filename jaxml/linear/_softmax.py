"""Passes over the data and proximal steps for softmax regression, about a center.

    Z = A W + 1 v',  S = softmax(Z),  dJ/dW = A'diag(p)(S - Y) + l2 W,  dJ/dv = (S - Y)'p

Scores are laid out (k, n): a CPU reduces over the leading axis several times faster.
Steps use Boehning's bound, Hessian <= (I - 11'/k)/2 (x) Cov(a, 1) <= 1/2 I (x) Cov(a, 1), which
needs one Gram matrix for all iterations and splits over the classes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._loop import iterate
from jaxml._numerics import matmul
from jaxml._sums import sum_over_rows, total
from jaxml._typing import Array, Bool, Column, Float, Int, Labels, Rows, Scalar
from jaxml.linear import _affine
from jaxml.linear._affine import Normal, divide
from jaxml.linear._problem import Problem
from jaxml.optim.coordinate import coordinate_descent, solve_on_support

__all__ = ["first_order", "proximal", "residual"]


PATIENCE = 100  # proximal steps in a row without a better point


class Point(NamedTuple):
    """An iterate and what is known there."""

    w: Float[Array, "d k"]
    v: Float[Array, " k"]
    J: Scalar
    gradient: tuple[Array, Array]
    residual: Scalar


class _State(NamedTuple):
    at: Point  # the last point that counts, w is W
    best: Point  # of all, by J and where J is flat by the residual
    W: Float[Array, "d k"]  # where the next step starts: extrapolated from at
    v: Float[Array, " k"]
    momentum: Scalar
    idle: Int[Array, ""]  # steps in a row without progress


def first_order(
    problem: Problem, W: Array, v: Array, *, fit_intercept: bool
) -> tuple[Scalar, tuple[Array, Array]]:
    """J and the gradient of its smooth part at (W, v), in one pass."""
    c, l1, l2 = problem.c, problem.l1, problem.l2
    classes = jnp.arange(v.shape[0])

    def sums(X: Rows, y: Labels, p: Column) -> tuple[Scalar, Array, Array]:
        A = X - c[None, :]
        Z = matmul(A, W).T + v[:, None]
        is_label = classes[:, None] == y[None, :]
        # Relative to the label's score, so that a sure and right answer keeps its digits.
        Z = Z - jnp.sum(jnp.where(is_label, Z, 0.0), axis=0)[None, :]
        top = jnp.max(Z, axis=0)  # >= 0
        E = jnp.exp(Z - top[None, :])
        others = jnp.sum(jnp.where(is_label, 0.0, E), axis=0)
        loss = jnp.where(top > 0, top + jnp.log(others + jnp.exp(-top)), jnp.log1p(others))
        R = E * (p / (others + jnp.exp(-top)))[None, :]
        # S_y - 1 = -others / sum, without the cancellation.
        R = jnp.where(is_label, R - p[None, :], R)
        return total(jnp.where(p > 0, p * loss, 0.0)), matmul(R, A).T, matmul(R, jnp.ones_like(p))

    J, g_w, g_v = problem.mean(sums)
    g_v = g_v if fit_intercept else jnp.zeros_like(g_v)
    return J + _affine.penalty(W, l1, l2), (g_w + l2 * W, g_v)


def residual(problem: Problem, W: Array, J: Scalar, gradient: tuple[Array, Array]) -> Scalar:
    """max |least element of dJ/dW_j.| / sd(x_j) and |dJ/dv|, over max(1, J)."""
    g_w, g_v = gradient
    off = jnp.maximum(jnp.abs(g_w) - problem.l1, 0.0)
    off = jnp.where(W != 0, jnp.abs(g_w + problem.l1 * jnp.sign(W)), off)
    worst = jnp.maximum(jnp.max(divide(off.T, problem.sd[None, :])), jnp.max(jnp.abs(g_v)))
    return worst / jnp.maximum(1.0, jnp.abs(J))


def proximal(
    problem: Problem,
    init: tuple[Array, Array],
    *,
    tol: Scalar,
    fit_intercept: bool,
    max_iter: int,
) -> tuple[Point, Int[Array, ""], Bool[Array, ""]]:
    """Accelerated proximal steps in the metric of the bound, restarted where J would rise.

    Reference: Beck, Teboulle (2009), eq. (4.1) to (4.3); O'Donoghue, Candes (2015), section 3.2.
    """
    X, _, p, c, _, l1, l2, _ = problem
    normal = sum_over_rows(lambda X, p: Normal.of(*_affine.weigh(X, p, c)), X, p)
    half = jax.tree.map(lambda leaf: 0.5 * leaf, normal)
    S, m, M = _affine.schur(half, l2, fit_intercept=fit_intercept)

    def one_class(w: Array, g_w: Array, g_v: Scalar, inner: Scalar) -> tuple[Array, Scalar]:
        h = matmul(S, w) - (g_w - m * g_v / M)
        new, _ = coordinate_descent(S, h, l1=l1, init=w, tol=inner, max_iter=100)
        new = solve_on_support(S, h, l1, new)
        d_v = -(g_v + matmul(m, new - w)) / M
        return new, d_v if fit_intercept else jnp.zeros_like(d_v)

    def evaluate(W: Array, v: Array) -> Point:
        J, gradient = first_order(problem, W, v, fit_intercept=fit_intercept)
        return Point(W, v, J, gradient, residual(problem, W, J, gradient))

    def step(state: _State) -> _State:
        _, (g_w, g_v) = first_order(problem, state.W, state.v, fit_intercept=fit_intercept)
        inner = 0.1 * jnp.minimum(state.best.residual, 1.0) * jnp.ones_like(g_v)
        W, d_v = jax.vmap(one_class, (1, 1, 0, 0), (1, 0))(state.W, g_w, g_v, inner)
        new = evaluate(W, state.v + d_v)
        flat = jnp.abs(new.J - state.best.J) <= 4 * jnp.finfo(W.dtype).eps * jnp.abs(state.best.J)
        better = jnp.where(flat, new.residual < state.best.residual, new.J < state.best.J)
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), new, state.best)
        idle = jnp.where(better, 0, state.idle + 1)
        t = 0.5 * (1 + jnp.sqrt(1 + 4 * state.momentum**2))
        push = (state.momentum - 1) / t
        onward = _State(
            new, best, new.w + push * (new.w - state.at.w), new.v + push * (new.v - state.at.v),
            t, idle,
        )  # fmt: skip
        # J rises, or where it is flat the residual: back to the last point, without momentum.
        restart = _State(state.at, best, state.at.w, state.at.v, jnp.ones_like(t), idle)
        farther = (new.residual > state.at.residual) & (state.momentum > 1)
        rises = jnp.where(flat, farther, ~(new.J < state.at.J))
        return jax.tree.map(lambda old, new: jnp.where(rises, old, new), restart, onward)

    first = evaluate(*init)
    start = _State(first, first, *init, jnp.ones_like(first.J), jnp.int32(0))
    end, n_iter = iterate(
        step,
        start,
        stop=lambda t: (t.best.residual <= tol) | (t.idle >= PATIENCE) | ~jnp.isfinite(t.at.J),
        max_iter=max_iter,
    )
    return end.best, n_iter, end.idle >= PATIENCE
