"""The loop of minimize: steps of an optax optimizer, taken back where f is not finite.

    params <- params + scale u_t,    u_t from the optimizer

Its three parts are compiled apart, so that a caller may look on between them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxml._loop import Code, Fit, all_finite, certify, iterate
from jaxml._typing import Array, Bool, Int, PyTree, Scalar
from jaxml.optim import _problem
from jaxml.optim._problem import max_norm

__all__ = ["Point", "State", "advance", "begin", "finish"]

# Steps on a flat f before it is called so; a tenth if the parameters do not move either. Below the
# square root of eps only the residual shows progress, and with momentum it comes in waves.
PATIENCE = 100


class Point(NamedTuple):
    """A point, with what is known there."""

    params: PyTree
    value: Scalar  # f
    grad: PyTree
    residual: Scalar  # max |grad| / max(1, |value|)


class State(NamedTuple):
    """What the loop carries."""

    at: Point
    best: Point
    memory: PyTree  # of the optimizer
    scale: Scalar  # of the next step, in (0, 1]
    idle: Int[Array, ""]  # credit spent by steps in a row that found no better point on a flat f
    diverged: Bool[Array, ""]


def _select(condition: Array, yes: PyTree, no: PyTree) -> PyTree:
    return jax.tree.map(lambda y, n: jnp.where(condition, y, n), yes, no)


def _cast(tree: PyTree, like: PyTree) -> PyTree:
    # optax keeps part of its state, and so its trial points, in the default float.
    return jax.tree.map(lambda a, b: jnp.asarray(a, jnp.asarray(b).dtype), tree, like)


def _point(params: PyTree, value: Scalar, grad: PyTree) -> Point:
    return Point(params, value, grad, _problem.relative(grad, value))


def _evaluate(f: Callable, params: PyTree, memory: PyTree, scale: Scalar, *, like: Point) -> Point:
    value_and_grad = jax.value_and_grad(f)
    known = [optax.tree.get_all_with_path(memory, key) for key in ("value", "grad")]
    if not all(len(entries) == 1 for entries in known):
        return _point(params, *value_and_grad(params))
    # A line search has evaluated f where it stopped; that holds unless its step was scaled down.
    stored = _cast(tuple(entries[0][1] for entries in known), (like.value, like.grad))
    fresh = (scale < 1) | ~all_finite(stored)
    value, grad = jax.lax.cond(fresh, value_and_grad, lambda _: stored, params)
    return _point(params, value, grad)


def _step(f: Callable, optimizer: Any, first: Point, state: State) -> State:
    at, best, scale = state.at, state.best, state.scale
    updates, memory = optax.with_extra_args_support(optimizer).update(
        at.grad,
        state.memory,
        at.params,
        value=at.value,
        grad=at.grad,
        value_fn=lambda params: f(_cast(params, at.params)),
    )
    memory = _cast(memory, state.memory)
    move = jax.tree.map(lambda u, p: scale.astype(p.dtype) * u.astype(p.dtype), updates, at.params)
    new = _evaluate(f, jax.tree.map(jnp.add, at.params, move), memory, scale, like=at)
    sound = all_finite(new)
    tie = _problem.flatter(new.value, best.value)
    better = jnp.where(tie, new.residual < best.residual, new.value < best.value)
    flat = sound & ~better & _problem.flatter(new.value, at.value)
    still = max_norm(move) <= jnp.finfo(new.value.dtype).eps * max_norm(at.params)
    # Up by the factor 1/eps: no digit of the start is left.
    ceiling = jnp.maximum(1.0, jnp.abs(first.value)) / jnp.finfo(new.value.dtype).eps
    return State(
        at=_select(sound, new, at),
        best=_select(sound & better, new, best),
        memory=_select(sound, memory, optimizer.init(at.params)),
        scale=jnp.where(sound, jnp.minimum(1.0, 2 * scale), scale / 2),
        idle=jnp.where(flat, state.idle + jnp.where(still, PATIENCE // 10, 1), 0),
        diverged=sound & (new.value - first.value > ceiling),
    )


def _stuck(state: State) -> Bool[Array, ""]:
    exhausted = state.scale < jnp.finfo(state.scale.dtype).eps
    return (state.idle >= PATIENCE) | exhausted


@partial(jax.jit, static_argnames=("f", "optimizer"))
def begin(f: Callable, optimizer: Any, params: PyTree, theta: tuple) -> State:
    """The state before the first step on f(params, *theta)."""
    at = _point(params, *jax.value_and_grad(f)(params, *theta))
    scale = jnp.ones_like(at.residual)
    return State(at, at, optimizer.init(params), scale, jnp.int32(0), jnp.bool_(False))


@partial(jax.jit, static_argnames=("f", "optimizer"))
def advance(
    f: Callable, optimizer: Any, theta: tuple, how: tuple, *, first: Point, state: State
) -> tuple[State, Int[Array, ""]]:
    """Step until the residual is at most tol, or nothing more is to be had; and how often."""
    _, tol, steps = how

    def stop(state: State) -> Bool[Array, ""]:
        done = (state.at.residual <= tol) | _stuck(state) | state.diverged
        return done | ~all_finite(state.at)

    step = partial(_step, lambda params: f(params, *theta), optimizer, first)
    return iterate(step, state, stop=stop, max_iter=steps)


@jax.jit
def finish(first: Point, state: State, count: Array, theta: tuple, how: tuple) -> Fit[PyTree]:
    """Certify the point that passed, or the best one."""
    params, tol, _ = how
    passed = state.at.residual <= tol
    end = _select(passed, state.at, state.best)
    # A residual that is small only because |f| has grown, while the gradient grew too: no minimum.
    falling = passed & (max_norm(state.at.grad) > max_norm(first.grad))
    return certify(
        end.params,
        objective=end.value,
        residual=end.residual,
        tol=tol,
        n_iter=_problem.used(count),
        flags=_problem.flags((params, theta), first.value, state.diverged | falling),
        unmet=jnp.where(_stuck(state), Code.LINE_SEARCH_FAILED, Code.MAX_ITER),
    )
