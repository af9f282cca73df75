"""Proximal gradient with momentum and restart, for a smooth f plus a simple g.

    J(w) = f(w) + g(w),    prox(v, s) = argmin_w 1/2 ||w - v||^2 + s g(w)

    z = prox(y - s grad f(y), s),    s halved until f(z) <= f(y) + grad f(y)'(z-y) + |z-y|^2/(2s)
    y <- z + (k - 1)/k' (z - x),     k' = (1 + sqrt(1 + 4 k^2))/2,     x <- z
    restart, k = 1 and y = z,        when (y - z)'(z - x) > 0

w is optimal iff w = prox(w - grad f(w), 1): see _fixed_point for what follows of that equation, the
certificate and the derivative of the solution.

Reference: Beck, Teboulle (2009), A fast iterative shrinkage-thresholding algorithm, eqs. (4.1) to
(4.3); O'Donoghue, Candes (2015), Adaptive restart for accelerated gradient schemes, eq. (13).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _implicit
from jaxml._loop import Code, Fit, all_finite, certify, iterate
from jaxml._typing import Array, Bool, Int, PyTree, Real, Scalar
from jaxml.optim import _problem
from jaxml.optim._fixed_point import Problem, certificate, dot, inverse, optimality, sub, total
from jaxml.optim._problem import max_norm

__all__ = ["proximal_gradient"]

HALVINGS = 60
PATIENCE = 20  # steps in a row that move w by rounding errors only


class State(NamedTuple):
    """What the loop carries."""

    x: PyTree  # the last point
    y: PyTree  # the extrapolated point
    k: Scalar  # momentum
    s: Scalar  # step length
    residual: Scalar  # the certificate at x, inf while the step shows that it is above tol
    best: PyTree  # the point of the shortest step
    shortest: Scalar  # max |x - y| / s / max(1, |f|) there
    still: Int[Array, ""]


def _add(x: PyTree, a: Scalar, y: PyTree) -> PyTree:
    return jax.tree.map(lambda x, y: x + a.astype(x.dtype) * y, x, y)


def _step(problem: Problem, theta: tuple, tol: Scalar, state: State) -> State:
    x, y = state.x, state.y
    f_y, g_y = jax.value_and_grad(problem.f)(y, *theta[0])

    def trial(s: Scalar) -> tuple[Scalar, PyTree]:
        return s, problem.prox(_add(y, -s, g_y), s, *theta[1])

    def short_enough(carry: tuple[Scalar, PyTree]) -> Bool[Array, ""]:  # False for NaN
        s, z = carry
        d = sub(z, y)
        # The model's rounding error is part of the comparison: without it s would fall to 0.
        slack = 8 * jnp.finfo(f_y.dtype).eps * jnp.abs(f_y)
        return problem.f(z, *theta[0]) <= f_y + dot(g_y, d) + dot(d, d) / (2 * s) + slack

    (s, z), _ = iterate(lambda carry: trial(carry[0] / 2), trial(state.s), stop=short_enough,
                        max_iter=HALVINGS)  # fmt: skip
    against = dot(sub(y, z), sub(z, x)) > 0
    k = (1 + jnp.sqrt(1 + 4 * state.k**2)) / 2
    shift = jnp.where(against, 0, (state.k - 1) / k)
    length = _problem.relative(sub(z, y), f_y) / s
    residual = jax.lax.cond(
        length <= 10 * tol,
        lambda: certificate(problem, z, theta)[1],
        lambda: jnp.full_like(length, jnp.inf),
    )
    shorter = length < state.shortest
    moved = max_norm(sub(z, x)) > 4 * jnp.finfo(f_y.dtype).eps * max_norm(x)
    return State(
        x=z,
        y=_add(z, shift, sub(z, x)),
        k=jnp.where(against, 1, k),
        s=s,
        residual=residual,
        best=jax.tree.map(lambda new, old: jnp.where(shorter, new, old), z, state.best),
        shortest=jnp.where(shorter, length, state.shortest),
        still=jnp.where(moved, 0, state.still + 1),
    )


def _first_step(problem: Problem, params: PyTree, theta: tuple) -> Scalar:
    # 1/s = g'Hg / g'g is at most L: from here s only has to shrink.
    gradient = jax.grad(lambda w: problem.f(w, *theta[0]))
    g, Hg = jax.jvp(gradient, (params,), (gradient(params),))
    curvature, size = dot(g, Hg), dot(g, g)
    known = (curvature > 0) & jnp.isfinite(curvature) & (size > 0)
    return jnp.where(known, size / jnp.where(known, curvature, 1), jnp.ones_like(size))


def _solve(problem: Problem, theta: tuple, how: tuple) -> Fit[PyTree]:
    params, tol, steps = how
    zero = jnp.zeros_like(dot(params, params))
    # The start need not lie in the domain of g: the first point that counts is its projection.
    start = problem.prox(params, zero, *theta[1])
    J_start, residual = certificate(problem, start, theta)
    s = _first_step(problem, start, theta)
    first = State(start, start, zero + 1, s, residual, start, zero + jnp.inf, jnp.int32(0))

    def stop(state: State) -> Bool[Array, ""]:
        return (state.residual <= tol) | (state.still >= PATIENCE) | ~all_finite((state.x, state.y))

    step = partial(_step, problem, theta, tol)
    end, count = iterate(step, first, stop=stop, max_iter=steps)
    passed = end.residual <= tol
    w = jax.tree.map(lambda x, best: jnp.where(passed, x, best), end.x, end.best)
    J, at_end = certificate(problem, w, theta)
    # Small only because |J| has grown, while the distance itself grew too: no minimum.
    size_start, size_end = jnp.maximum(1, jnp.abs(J_start)), jnp.maximum(1, jnp.abs(J))
    falling = passed & (at_end * size_end > residual * size_start)
    return certify(
        w,
        objective=J,
        residual=at_end,
        tol=tol,
        n_iter=_problem.used(count),
        flags=_problem.flags((params, theta), J_start, falling | ~all_finite(end.x)),
        unmet=jnp.where(end.still >= PATIENCE, Code.LINE_SEARCH_FAILED, Code.MAX_ITER),
    )


@partial(jax.jit, static_argnames="problem")
def _proximal_gradient(problem: Problem, theta: tuple, how: tuple) -> Fit[PyTree]:
    def solve(theta: tuple, how: tuple) -> Fit[PyTree]:
        return _solve(problem, theta, how)

    return _implicit.differentiable(
        solve,
        objective=partial(total, problem),
        optimality=partial(optimality, problem),
        inverse=partial(inverse, problem),
    )(theta, how)


def _nothing(params: PyTree, *prox_args: Any) -> Scalar:
    return jnp.zeros(())


def proximal_gradient(
    smooth: Callable[..., Scalar],
    prox: Callable[..., PyTree],
    params: PyTree,
    *,
    args: tuple = (),
    prox_args: tuple = (),
    penalty: Callable[..., Scalar] = _nothing,
    max_iter: int = 2000,
    tol: Real | None = None,
) -> Fit[PyTree]:
    """Minimize smooth(params, *args) + penalty(params, *prox_args), known by its prox.

    Args:
      smooth: (params, *args) -> scalar, differentiable.
      prox: (v, step, *prox_args) -> argmin_w 1/2 ||w - v||^2 + step penalty(w); for a constraint
        ``projections.as_prox(projection)``. Its own derivative is part of the solution's.
      params: Where to start, a pytree of floating arrays.
      args: What else smooth takes; the solution can be differentiated by it.
      prox_args: What else prox and penalty take, likewise. Traced values closed over count too.
      penalty: The value of the penalty, for info.objective; 0 for a constraint.
      max_iter: Steps at most.
      tol: Largest residual that counts as converged; eps^(2/3) of the dtype if None.

    Returns:
      Fit with residual = max |w - prox(w - grad f(w), 1)| / max(1, |J|). MAX_ITER;
      LINE_SEARCH_FAILED: steps are rounding errors; DIVERGED: not finite.

    Raises:
      TypeError: params are not floating arrays, args or prox_args no tuple.
      ValueError: smooth is not scalar, the start not finite, max_iter < 1 or tol < 0.

    Example:
      >>> from jaxml import penalties
      >>> smooth = lambda w: 0.5 * jnp.sum((w - jnp.array([3.0, 0.5])) ** 2)
      >>> proximal_gradient(smooth, penalties.prox_l1, jnp.zeros(2)).params.tolist()
      [2.0, 0.0]
    """
    f, theta, how = _problem.inputs(smooth, params, args, tol=tol, max_iter=max_iter)
    params, extra = how[0], _problem.arguments("prox_args", prox_args)
    step = jnp.ones((), jnp.result_type(*jax.tree.leaves(params)))
    closed, consts = _problem.closed(prox, params, step, *extra)
    g, further = _problem.closed(penalty, params, *extra)
    thetas = theta, (*extra, *consts), (*extra, *further)
    return _proximal_gradient(Problem(f, closed, g), thetas, how)
