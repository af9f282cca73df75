"""Factorizations and solves whose lanes under vmap run in turn on a CPU.

jaxlib 0.10 spreads a batch of LAPACK calls over the thread pool that also runs the call itself, and
waits there: as many such calls at once as the pool has threads, of one program or of several, never
end. A lane in turn waits for nothing, and costs no more on two cores.

A solve with a matrix that is to be transposed by JAX, as derivatives of fits are, is a product with
an inverse from here.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml._lanes import one_at_a_time
from jaxml._typing import Array, Float

__all__ = [
    "eigh", "eigvalsh", "inverse", "inverse_factor", "qr", "right_factor", "solve_spd", "svd",
]  # fmt: skip


def _in_turn(f: Callable[..., Any]) -> Callable[..., Any]:
    lanes = jax.custom_jvp(one_at_a_time(f))
    lanes.defjvp(lambda primals, tangents: jax.jvp(f, primals, tangents))
    return lanes


def _factor(A: Array) -> Array:
    return jnp.linalg.cholesky(A, symmetrize_input=False)


@_in_turn
def inverse_factor(A: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """W = L^-1 of A = L L', lower triangular, so that A^-1 = W'W; NaN if A is not SPD."""
    one = jnp.eye(A.shape[0], dtype=A.dtype)
    return jax.scipy.linalg.solve_triangular(_factor(A), one, lower=True)


@_in_turn
def solve_spd(A: Float[Array, "d d"], b: Float[Array, " d"]) -> Float[Array, " d"]:
    """A^-1 b for an SPD A, NaN if it is not."""
    return jax.scipy.linalg.cho_solve((_factor(A), True), b)


inverse = _in_turn(jnp.linalg.inv)
eigh = _in_turn(jnp.linalg.eigh)  # eigenvalues ascending, eigenvectors as columns
eigvalsh = _in_turn(jnp.linalg.eigvalsh)
qr = _in_turn(jnp.linalg.qr)  # Q (n, r), R (r, d), r = min(n, d)
right_factor = _in_turn(partial(jnp.linalg.qr, mode="r"))
svd = _in_turn(partial(jnp.linalg.svd, full_matrices=False))  # U (n, r), sigma (r,), V' (r, d)
