"""What every fit returns, the one loop that iterative fits share, and the one place that certifies.

``CONVERGED`` is a positive statement: parameters and objective are finite and the residual is at
most ``tol``. A NaN makes every comparison false, so it can never be certified.
"""

import warnings
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._lanes import any_lane
from jaxml._typing import Array, Bool, Column, Int, Real, Rows, Scalar

__all__ = [
    "Code", "ConvergenceWarning", "Fit", "FitError", "Info", "certify", "check", "input_flags",
    "iterate",
]  # fmt: skip

P = TypeVar("P")
S = TypeVar("S")


class Code(IntEnum):
    """How a fit ended, in order of severity, so that max over a batch means something."""

    CONVERGED = 0
    MAX_ITER = 1
    LINE_SEARCH_FAILED = 2
    RANK_DEFICIENT = 3
    ILL_CONDITIONED = 4
    DEGENERATE = 5
    BAD_LABELS = 6
    SINGULAR_COVARIANCE = 7
    DIVERGED = 8
    NONFINITE_INPUT = 9


CURES = {
    Code.MAX_ITER: "the residual is above tol: raise max_iter, loosen tol, or scale the columns",
    Code.LINE_SEARCH_FAILED: "no step lowers the objective any more: tol is below what the dtype "
    "resolves; loosen tol or use float64",
    Code.RANK_DEFICIENT: "columns are linearly dependent, the minimum-norm solution is returned: "
    "drop columns or add l2",
    Code.ILL_CONDITIONED: "the answer loses half of its digits or more: scale the columns, add l2 "
    "or use float64",
    Code.DEGENERATE: "the problem has no unique finite answer (separable classes, no variance, "
    "all weights zero): add l2 or look at the data",
    Code.BAD_LABELS: "labels must be the integers 0..n_classes-1, with at least two classes among "
    "the rows of positive weight",
    Code.SINGULAR_COVARIANCE: "a covariance became singular: raise reg_covar or lower n_components",
    Code.DIVERGED: "the iterates left the finite numbers: lower the learning rate or scale X",
    Code.NONFINITE_INPUT: "the input holds NaN or inf: remove or impute those rows",
}
RAISED = Code.DEGENERATE  # check() warns below this severity and raises from here on


class ConvergenceWarning(UserWarning):
    """A fit returned usable parameters short of its certificate."""


class FitError(ValueError):
    """A fit has no answer; the text names the cure."""


class Info(NamedTuple):
    """The certificate of a fit."""

    code: Int[Array, ""]  # a Code
    n_iter: Int[Array, ""]  # iterations used, at least 1
    objective: Scalar  # the objective at params
    residual: Scalar  # scale-free; what it measures is named in the docstring of the fit
    gap: Scalar | None = None  # (primal - dual) / primal, of fits that solve a pair of problems

    @property
    def converged(self) -> Bool[Array, ""]:
        """Whether code == CONVERGED."""
        return self.code == Code.CONVERGED


class Fit(NamedTuple, Generic[P]):
    """Parameters and their certificate."""

    params: P
    info: Info


def iterate(
    step: Callable[[S], S], state: S, *, stop: Callable[[S], Array], max_iter: int | Array
) -> tuple[S, Int[Array, ""]]:
    """Apply step until stop(state) holds or max_iter steps are done; return state and count."""

    def going(carry: tuple[S, Array]) -> Array:
        return ~stop(carry[0]) & (carry[1] < max_iter)

    def once(carry: tuple[S, Array]) -> tuple[S, Array]:
        return step(carry[0]), carry[1] + 1

    return jax.lax.while_loop(going, once, (state, jnp.int32(0)))


def all_finite(tree: object) -> Bool[Array, ""]:
    """Whether every number in the tree is finite."""
    leaves = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]
    return jnp.stack(leaves).all()


def input_flags(X: Rows, y: Column, s: Column, witness: Array) -> tuple[tuple[Code, Array], ...]:
    """Codes that the inputs earn; witness is any sum over X that is NaN or inf if X is somewhere.

    X is read once more only if the witness is not finite: it may have overflowed.
    """
    clean = jnp.isfinite(jnp.max(jnp.abs(witness)))
    broken = ~clean & jax.lax.cond(
        any_lane(~clean), lambda X: ~jnp.isfinite(X).all(), lambda X: jnp.array(False), X
    )
    least, most = jnp.min(s), jnp.max(s)  # NaN if any is
    broken = broken | ~jnp.isfinite(jnp.max(jnp.abs(y))) | ~jnp.isfinite(most)
    unweighted = ~((least >= 0) & (most > 0))
    return (
        (Code.NONFINITE_INPUT, broken),
        (Code.DIVERGED, ~clean & ~unweighted),
        (Code.DEGENERATE, unweighted),
    )


def certify(
    params: P,
    *,
    objective: Scalar,
    residual: Scalar,
    tol: Real,
    n_iter: Int[Array, ""] | int,
    flags: Iterable[tuple[Code, Array]] = (),
    unmet: Code | Array = Code.MAX_ITER,
    gap: Scalar | None = None,
) -> Fit[P]:
    """Return the Fit with the most severe code that applies.

    Args:
      params: The best finite iterate.
      objective: The objective at params.
      residual: The computed, scale-free certificate.
      tol: What the residual must not exceed.
      n_iter: Iterations used.
      flags: Pairs (code, whether it applies), in any order.
      unmet: The code when nothing else is wrong but residual > tol.
      gap: The relative duality gap, where there is one.

    Returns:
      Fit, its params NaN after DIVERGED or NONFINITE_INPUT.
    """
    code = jnp.where(residual <= tol, Code.CONVERGED, unmet)  # False for NaN
    lost = ~all_finite((params, objective, residual))
    for worse, applies in (*flags, (Code.DIVERGED, lost)):
        code = jnp.maximum(code, jnp.where(applies, worse, Code.CONVERGED))
    # Such a problem may have no finite parameters or objective; that says more than DIVERGED.
    for known, applies in flags:
        if known in (Code.DEGENERATE, Code.BAD_LABELS, Code.SINGULAR_COVARIANCE):
            code = jnp.where(applies & (code == Code.DIVERGED), known, code)
    spoiled = code >= Code.DIVERGED
    params = jax.tree.map(lambda leaf: jnp.where(spoiled, jnp.nan, leaf).astype(leaf.dtype), params)
    n_iter = jnp.maximum(n_iter, 1).astype(jnp.int32)
    return Fit(params, Info(code.astype(jnp.int32), n_iter, objective, residual, gap))


def check(fit: Fit[P]) -> Fit[P]:
    """Raise or warn on the host if a fit, or any member of a batch of fits, did not converge.

    Args:
      fit: A fit, or a batch of fits from vmap.

    Returns:
      The same fit, so that calls chain: ``params, info = jaxml.check(ridge.fit(X, y, l2=1.0))``.

    Raises:
      FitError: The worst code is DEGENERATE or more severe; the text names the cure.

    Warns:
      ConvergenceWarning: The worst code is milder.
    """
    codes = np.asarray(fit.info.code)
    worst = Code(int(codes.max()))
    if worst is Code.CONVERGED:
        return fit
    which = "" if codes.ndim == 0 else f" in {(codes == worst).sum()} of {codes.size} fits"
    at = np.unravel_index(codes.argmax(), codes.shape)
    residual, n_iter = np.asarray(fit.info.residual)[at], np.asarray(fit.info.n_iter)[at]
    text = (
        f"{worst.name}{which} (residual {residual:.3g} after {n_iter} iterations): {CURES[worst]}"
    )
    if worst >= RAISED:
        raise FitError(text)
    warnings.warn(text, ConvergenceWarning, stacklevel=2)
    return fit
