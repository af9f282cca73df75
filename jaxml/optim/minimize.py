"""Minimize f(params) with any optax optimizer, to a certificate.

    params <- params + scale u_t,    u_t from the optimizer,    scale = 1 while all is finite

A step to a point where f or its gradient is NaN or inf is taken back: the optimizer starts afresh
at the last finite point with half the scale, which doubles again up to 1 with every sound step. The
residual is max |grad f| / max(1, |f|). The best point is the one of the lowest f, where f is equal
to rounding the one of the lowest residual.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxml import _check
from jaxml._loop import Fit
from jaxml._typing import PyTree, Real, Scalar
from jaxml.optim import _problem, _steps

__all__ = ["minimize"]


@partial(jax.jit, static_argnames=("f", "optimizer"))
def _minimize(f: Callable, optimizer: Any, theta: tuple, how: tuple) -> Fit[PyTree]:
    def solve(theta: tuple, how: tuple) -> Fit[PyTree]:
        state = _steps.begin(f, optimizer, how[0], theta)
        end, count = _steps.advance(f, optimizer, theta, how, first=state.at, state=state)
        return _steps.finish(state.at, end, count, theta, how)

    return _problem.stationary(solve, f)(theta, how)


def _watched(f: Callable, optimizer: Any, theta: tuple, how: tuple) -> Fit[PyTree]:
    # On demand only: rich would be a twentieth of a second of every import of the package.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    params, tol, steps = how
    state = _steps.begin(f, optimizer, params, theta)
    first, count, total = state.at, 0, int(steps)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("minimize", total=total)
        while count < total:
            chunk = min(max(1, total // 100), total - count)
            limits = params, tol, jnp.int32(chunk)
            state, done = _steps.advance(f, optimizer, theta, limits, first=first, state=state)
            count += int(done)
            text = f"f {float(state.at.value):.6g}  residual {float(state.at.residual):.2g}"
            bar.update(task, completed=count, description=text)
            if int(done) < chunk:
                break
    return _steps.finish(first, state, jnp.int32(count), theta, how)


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
