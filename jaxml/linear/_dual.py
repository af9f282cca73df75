"""The inverse Hessian of a penalized quadratic through n x n inner products, for d > n.

    (B'B + l2 I)^-1 g = [g - B'(B B' + l2 I)^-1 B g] / l2,    b_i = D_i^(1/2) (a_i - m/M)

Reference: Golub, Van Loan (2013), Matrix Computations, eq. (2.1.4), Sherman-Morrison-Woodbury.
"""

from collections.abc import Callable

import jax.numpy as jnp

from jaxml import _lapack
from jaxml._numerics import matmul
from jaxml._sums import total
from jaxml._typing import Array, Column, Real, Rows, Scalar

__all__ = ["inverse"]


def inverse(
    root: Column, B: Rows, l2: Real, *, fit_intercept: bool
) -> Callable[[Array, Scalar], tuple[Array, Scalar]]:
    """Return (g_w, g_v) -> H^-1 g for H = [[B'B + l2 I, m], [m', M]], m = B'root, M = root'root.

    As _affine.inverse, which costs d^3 where this costs n^2 d. The difference loses digits as l2
    falls below the diagonal of B B', so it is refined once; l2 is kept above rounding, which picks
    one of the solutions at l2 = 0.

    Args:
      root: D^(1/2).
      B: Rows D_i^(1/2) a_i.
      l2: Penalty.
      fit_intercept: Static; False: v = 0.
    """
    m, M = matmul(root, B), jnp.maximum(total(root**2), jnp.finfo(B.dtype).tiny)
    m = m if fit_intercept else jnp.zeros_like(m)
    B = B - root[:, None] * (m / M)[None, :]
    K, n = matmul(B, B.T), B.shape[0]
    l2 = jnp.maximum(l2, 100 * n * jnp.finfo(B.dtype).eps * jnp.max(jnp.diag(K)))
    L = _lapack.cholesky(K + l2 * jnp.eye(n, dtype=B.dtype))

    def once(r: Array) -> Array:
        return (r - matmul(_lapack.cho_solve(L, matmul(B, r)), B)) / l2

    def solve(g_w: Array, g_v: Scalar) -> tuple[Array, Scalar]:
        r = g_w - m / M * g_v
        d_w = once(r)
        d_w = d_w + once(r - matmul(matmul(B, d_w), B) - l2 * d_w)
        d_v = (g_v - matmul(m, d_w)) / M
        return d_w, d_v if fit_intercept else jnp.zeros_like(d_v)

    return solve
