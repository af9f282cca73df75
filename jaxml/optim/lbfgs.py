"""L-BFGS: quasi-Newton steps from the last few gradients, for parameters too many for a Hessian.

    w <- w - t H_k g,    H_k = V' H_{k-1} V + rho s s',    V = I - rho y s',    rho = 1/(y's)

with s, y the changes of w and of g, and t from a line search for the strong Wolfe conditions, that
imply y's > 0. The recursion and the search are optax's, the loop and the certificate minimize's.

Reference: Nocedal, Wright (2006), Numerical optimization, Algorithms 3.5, 7.4 and 7.5.
"""

from collections.abc import Callable
from functools import lru_cache

import optax

from jaxml import _check
from jaxml._loop import Fit
from jaxml._typing import PyTree, Real, Scalar
from jaxml.optim.minimize import minimize

__all__ = ["lbfgs"]


@lru_cache
def _optimizer(memory_size: int) -> optax.GradientTransformation:
    # One object for each size: the compiled loop is found again by the identity of its optimizer.
    return optax.lbfgs(memory_size=memory_size)


def lbfgs(
    loss: Callable[..., Scalar],
    params: PyTree,
    *,
    args: tuple = (),
    memory_size: int = 10,
    max_iter: int = 500,
    tol: Real | None = None,
) -> Fit[PyTree]:
    """Minimize loss(params, *args) by L-BFGS with a line search.

    Args:
      loss: (params, *args) -> scalar, differentiable. Traced values it closes over count as args.
      params: Where to start, a pytree of floating arrays.
      args: What else the loss takes; the solution can be differentiated by it.
      memory_size: Pairs (s, y) that are kept, >= 1; static.
      max_iter: Steps at most.
      tol: Largest residual that counts as converged; eps^(2/3) of the dtype if None.

    Returns:
      Fit with residual = max |grad f| / max(1, |f|), and the codes of ``minimize``.

    Raises:
      TypeError: params are not floating arrays, or args is not a tuple.
      ValueError: memory_size < 1, the loss is not scalar, the start not finite, max_iter < 1 or
        tol < 0.
    """
    optimizer = _optimizer(_check.integer("memory_size", memory_size, 1))
    return minimize(loss, params, args=args, optimizer=optimizer, max_iter=max_iter, tol=tol)
