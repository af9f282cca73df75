"""Minimize f(params) with any optax optimizer, to a certificate.

    params <- params + scale u_t,    u_t from the optimizer,    scale = 1 while all is finite

A step to a point where f or its gradient is NaN or inf is taken back: the optimizer starts afresh
at the last finite point with half the scale, which doubles again up to 1 with every sound step. The
residual is max |grad f| / max(1, |f|). The best point is the one of the lowest f, where f is equal
to rounding the one of the lowest residual.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxml import _check
from jaxml._loop import Code, Fit, all_finite, certify, iterate
from jaxml._typing import Array, Bool, Int, PyTree, Real, Scalar
from jaxml.optim import _problem
from jaxml.optim._problem import max_norm

__all__ = ["minimize"]

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
def _begin(f: Callable, optimizer: Any, params: PyTree, theta: tuple) -> State:
    at = _point(params, *jax.value_and_grad(f)(params, *theta))
    scale = jnp.ones_like(at.residual)
    return State(at, at, optimizer.init(params), scale, jnp.int32(0), jnp.bool_(False))


@partial(jax.jit, static_argnames=("f", "optimizer"))
def _advance(
    f: Callable, optimizer: Any, theta: tuple, how: tuple, *, first: Point, state: State
) -> tuple[State, Int[Array, ""]]:
    _, tol, steps = how

    def stop(state: State) -> Bool[Array, ""]:
        done = (state.at.residual <= tol) | _stuck(state) | state.diverged
        return done | ~all_finite(state.at)

    step = partial(_step, lambda params: f(params, *theta), optimizer, first)
    return iterate(step, state, stop=stop, max_iter=steps)


@jax.jit
def _finish(first: Point, state: State, count: Array, theta: tuple, how: tuple) -> Fit[PyTree]:
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


@partial(jax.jit, static_argnames=("f", "optimizer"))
def _minimize(f: Callable, optimizer: Any, theta: tuple, how: tuple) -> Fit[PyTree]:
    def solve(theta: tuple, how: tuple) -> Fit[PyTree]:
        state = _begin(f, optimizer, how[0], theta)
        end, count = _advance(f, optimizer, theta, how, first=state.at, state=state)
        return _finish(state.at, end, count, theta, how)

    return _problem.stationary(solve, f)(theta, how)


def _watched(f: Callable, optimizer: Any, theta: tuple, how: tuple) -> Fit[PyTree]:
    # On demand only: rich would be a twentieth of a second of every import of the package.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    params, tol, steps = how
    state = _begin(f, optimizer, params, theta)
    first, count, total = state.at, 0, int(steps)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("minimize", total=total)
        while count < total:
            chunk = min(max(1, total // 100), total - count)
            limits = params, tol, jnp.int32(chunk)
            state, done = _advance(f, optimizer, theta, limits, first=first, state=state)
            count += int(done)
            text = f"f {float(state.at.value):.6g}  residual {float(state.at.residual):.2g}"
            bar.update(task, completed=count, description=text)
            if int(done) < chunk:
                break
    return _finish(first, state, jnp.int32(count), theta, how)


def minimize(
    loss: Callable[..., Scalar],
    params: PyTree,
    *,
    args: tuple = (),
    optimizer: optax.GradientTransformation,
    max_iter: int = 1000,
    tol: Real | None = None,
    progress: bool = False,
) -> Fit[PyTree]:
    """Minimize loss(params, *args) with an optax optimizer, one compiled loop.

    Args:
      loss: (params, *args) -> scalar, differentiable. Traced values it closes over count as args.
      params: Where to start, a pytree of floating arrays.
      args: What else the loss takes; the solution can be differentiated by it.
      optimizer: Any optax optimizer, line searches included. Build it once: each compiles anew.
      max_iter: Steps at most.
      tol: Largest residual that counts as converged; eps^(2/3) of the dtype if None.
      progress: Whether to show a progress bar on stderr; not under a transformation.

    Returns:
      Fit with residual = max |grad f| / max(1, |f|). MAX_ITER; LINE_SEARCH_FAILED: f is flat to
      rounding, or no sound step is left; DIVERGED, params NaN: f has risen by the factor 1/eps
      (gradient descent with a rate above 2/L), falls without end, or is not finite at the start.
      Derivatives are those of the minimum, by the implicit function theorem: zero in the start, in
      tol, and none in what the optimizer closes over. They hold where the residual is small.

    Raises:
      TypeError: params or args are not as above, or optimizer is not an optax optimizer.
      ValueError: The loss is not scalar, the start not finite, max_iter < 1 or tol < 0, or progress
        is asked for under jit, vmap or grad.

    Example:
      >>> fit = minimize(lambda w: (w - 3.0) ** 2, 0.0, optimizer=optax.sgd(0.25), tol=1e-6)
      >>> round(float(fit.params), 4), bool(fit.info.converged)
      (3.0, True)
    """
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(
            f"optimizer must be an optax GradientTransformation: got {type(optimizer).__name__}"
        )
    f, theta, how = _problem.inputs(loss, params, args, tol=tol, max_iter=max_iter)
    if not progress:
        return _minimize(f, optimizer, theta, how)
    if not _check.is_concrete(theta, how):
        raise ValueError("progress=True needs concrete arguments: expected no jit, vmap or grad")
    return _watched(f, optimizer, theta, how)
