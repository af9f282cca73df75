"""A penalized loss of a linear score about a center, and a first fit to a part of the rows.

    J(w, v) = sum_i p_i l(z_i, y_i) + l1 ||w||_1 + l2/2 ||w||_2^2,    z = a'w + v, a = x - c

Where rows are many, the minimizer for one in sixteen of them costs a sixteenth and lies within a
few of its standard errors of the minimizer for all, where one or two Newton steps are left to do.

Reference: Bottou, Curtis, Nocedal (2018), Optimization methods for large-scale machine learning,
section 6.1, for steps on part of the rows.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml._loop import all_finite
from jaxml._sums import blocks, sum_over_rows, total
from jaxml._typing import Array, Column, Float, PyTree, Rows, Scalar

__all__ = ["Problem", "in_phases"]

PART = 16  # one row in so many makes the first fit
ROWS_PER_PARAMETER = 4  # that such a part must hold to be worth it
FIRST_TOL, FIRST_STEPS = 1e-3, 8  # finer than the noise of the part


class Problem(NamedTuple):
    """Data, weights and penalties about a center."""

    X: Rows
    y: Array
    p: Column  # weights that sum to one
    c: Float[Array, " d"]  # center
    sd: Float[Array, " d"]  # spread of the columns, which makes the residual scale-free
    l1: Scalar
    l2: Scalar
    share: Scalar | None = None  # of the rows that count on a CPU, None for all

    def mean(self, f: Callable[[Rows, Array, Column], PyTree]) -> PyTree:
        """f summed over the rows that count, over their weight."""
        arrays = self.X, self.y, self.p
        if self.share is None:
            return sum_over_rows(f, *arrays)
        mass = sum_over_rows(lambda X, y, p: total(p), *arrays, share=self.share)
        mass = jnp.where(self.share < 1, mass, 1.0)
        sums = sum_over_rows(f, *arrays, share=self.share)
        return jax.tree.map(lambda leaf: leaf / mass, sums)


def in_phases(
    run: Callable[..., Any],
    problem: Problem,
    start: tuple[Array, Array],
    *,
    tol: Scalar,
    max_iter: int,
) -> Any:
    """Return run(problem, start, tol=, max_iter=), started from a fit to part of many rows.

    Args:
      run: Returns a tuple whose first entry has the fields w and v.
      problem: All rows.
      start: (w, v) to start from.
      tol: Of the fit to all rows.
      max_iter: Of the fit to all rows.
    """
    n = problem.X.shape[0]
    parameters = start[0].size + start[1].size
    many = blocks(problem.X, problem.y, problem.p)[2] >= PART
    if not many or n < PART * ROWS_PER_PARAMETER * parameters:
        return run(problem, start, tol=tol, max_iter=max_iter)

    def phase(at: tuple[Array, Array], how: tuple[Scalar, Scalar, Array]) -> tuple:
        share, tol, max_iter = how
        end = run(problem._replace(share=share), at, tol=tol, max_iter=max_iter)
        reached = end[0].w, end[0].v
        sound = all_finite(reached)
        return jax.tree.map(lambda new, old: jnp.where(sound, new, old), reached, at), end

    shares = jnp.array([1 / PART, 1.0], problem.X.dtype)
    tols = jnp.stack([jnp.maximum(tol, FIRST_TOL), tol])
    steps = jnp.array([min(FIRST_STEPS, max_iter), max_iter])
    _, ends = jax.lax.scan(phase, start, (shares, tols, steps))
    return jax.tree.map(lambda leaf: leaf[-1], ends)
