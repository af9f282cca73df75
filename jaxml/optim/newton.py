"""Newton's method with the dense Hessian: quadratic convergence where the parameters are few.

    (H + tau I) p = -g,    w <- w + t p,    t = 1, 1/2, 1/4, ...

tau = 0 where H is positive definite, else the first of a rising sequence for which the Cholesky
factorization exists, so that p always descends. t is the first to lower f by 1e-4 t |g'p| (Armijo);
where f no longer resolves that, the first to keep f equal to rounding and lower max |g|.

Reference: Nocedal, Wright (2006), Numerical optimization, Algorithms 3.1, 3.2 and 3.3.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxml import _lapack
from jaxml._loop import Code, Fit, certify, iterate
from jaxml._numerics import matmul
from jaxml._typing import Array, Bool, Float, PyTree, Real, Scalar
from jaxml.optim import _problem
from jaxml.optim._problem import max_norm

__all__ = ["newton"]

SHIFTS = 40  # tau grows by 4 each time: 24 decades
HALVINGS = 40


class State(NamedTuple):
    """What the loop carries: w, all parameters in one vector, and what is known there."""

    w: Float[Array, " d"]
    value: Scalar  # f
    grad: Float[Array, " d"]
    residual: Scalar  # max |grad| / max(1, |f|)
    failed: Bool[Array, ""]  # no step length was accepted


class Trial(NamedTuple):
    """A step length under test."""

    t: Scalar
    w: Float[Array, " d"]
    value: Scalar
    grad: Float[Array, " d"]


def _direction(H: Float[Array, "d d"], g: Float[Array, " d"]) -> Float[Array, " d"]:
    one = jnp.eye(g.size, dtype=g.dtype)
    unit = 1e-3 * jnp.where(jnp.any(H != 0), jnp.abs(H).max(), 1)
    lowest = jnp.diag(H).min()
    tau = jnp.where(lowest > 0, 0, unit - lowest)  # a diagonal entry bounds the spectrum from above

    def shift(state: tuple[Array, Array]) -> tuple[Array, Array]:
        tau = jnp.maximum(4 * state[0], unit)
        return tau, _lapack.cholesky(H + tau * one)

    def definite(state: tuple[Array, Array]) -> Bool[Array, ""]:
        return jnp.isfinite(state[1]).all()

    state = tau, _lapack.cholesky(H + tau * one)
    (_, L), _ = iterate(shift, state, stop=definite, max_iter=SHIFTS)
    return -_lapack.cho_solve(L, g)


def _step(f: Callable[[Array], Scalar], state: State) -> State:
    value_and_grad = jax.value_and_grad(f)
    H = jax.jacfwd(jax.grad(f))(state.w)
    p = _direction(H, state.grad)
    slope = matmul(state.grad, p)

    def trial(t: Scalar) -> Trial:
        w = state.w + t * p
        return Trial(t, w, *value_and_grad(w))

    def accepted(new: Trial) -> Bool[Array, ""]:  # False for NaN
        lower = new.value <= state.value + 1e-4 * new.t * slope
        flatter = max_norm(new.grad) < max_norm(state.grad)
        level = _problem.flatter(new.value, state.value)
        return jnp.isfinite(new.grad).all() & jnp.where(level, flatter, lower)

    new, _ = iterate(lambda new: trial(new.t / 2), trial(jnp.ones_like(slope)), stop=accepted,
                     max_iter=HALVINGS)  # fmt: skip
    good = accepted(new)
    w, value, grad = (jnp.where(good, a, b) for a, b in zip(new[1:], state[:3], strict=True))
    return State(w, value, grad, _problem.relative(grad, value), ~good)


@partial(jax.jit, static_argnames="f")
def _newton(f: Callable, theta: tuple, how: tuple) -> Fit[PyTree]:
    def solve(theta: tuple, how: tuple) -> Fit[PyTree]:
        params, tol, steps = how
        w, unravel = ravel_pytree(params)

        def on_vector(w: Array) -> Scalar:
            return f(unravel(w), *theta)

        def stop(state: State) -> Bool[Array, ""]:
            return (state.residual <= tol) | state.failed | ~jnp.isfinite(state.residual)

        value, grad = jax.value_and_grad(on_vector)(w)
        first = State(w, value, grad, _problem.relative(grad, value), jnp.bool_(False))
        end, count = iterate(partial(_step, on_vector), first, stop=stop, max_iter=steps)
        falling = (end.residual <= tol) & (max_norm(end.grad) > max_norm(first.grad))
        return certify(
            unravel(end.w),
            objective=end.value,
            residual=end.residual,
            tol=tol,
            n_iter=_problem.used(count),
            flags=_problem.flags((params, theta), value, falling),
            unmet=jnp.where(end.failed, Code.LINE_SEARCH_FAILED, Code.MAX_ITER),
        )

    return _problem.stationary(solve, f)(theta, how)


def newton(
    loss: Callable[..., Scalar],
    params: PyTree,
    *,
    args: tuple = (),
    max_iter: int = 100,
    tol: Real | None = None,
) -> Fit[PyTree]:
    """Minimize loss(params, *args) by damped Newton steps; the Hessian comes from autodiff.

    A step costs as much as d gradients and d^3/3 operations for d parameters in all: up to a few
    hundred. Products and factors are in full precision (no TF32) as far as they are not the loss's.

    Args:
      loss: (params, *args) -> scalar, twice differentiable. Traced values it closes over count as
        args.
      params: Where to start, a pytree of floating arrays.
      args: What else the loss takes; the solution can be differentiated by it.
      max_iter: Steps at most.
      tol: Largest residual that counts as converged; eps^(2/3) of the dtype if None.

    Returns:
      Fit with residual = max |grad f| / max(1, |f|). MAX_ITER; LINE_SEARCH_FAILED: no step length
      lowers f; DIVERGED: f is not finite at the start, or falls without end.

    Raises:
      TypeError: params are not floating arrays, or args is not a tuple.
      ValueError: The loss is not scalar, the start not finite, max_iter < 1 or tol < 0.

    Example:
      >>> fit = newton(lambda w, a: jnp.exp(w) - a * w, 0.0, args=(2.0,))  # w = log a
      >>> round(float(fit.params), 4)
      0.6931
    """
    f, theta, how = _problem.inputs(loss, params, args, tol=tol, max_iter=max_iter)
    return _newton(f, theta, how)
