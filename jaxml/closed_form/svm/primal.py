"""The linear SVM in its primal form by hand. Letters as in jaxml.svm.primal; t_i = C s_i."""

import itertools
from functools import partial

import jax.numpy as jnp
from jax import lax
from jax.lax import Precision

from jaxml._typing import Array, Column, Float, Rows, Scalar

__all__ = ["gradient", "gradient_squared", "hessian_squared", "solution_squared"]

Pair = tuple[Float[Array, " d"], Scalar]  # (w, b)
dot = partial(jnp.dot, precision=Precision.HIGHEST)


def gradient(params: Pair, X: Rows, y: Column, t: Column) -> Pair:
    """Return dJ/d(w, b) of the hinge, the subgradient 0 on the margin itself."""
    # l = 1 - y z where y z < 1, else 0  =>  dl/dz = -y there
    # => dJ/dw = w - sum_(y z < 1) t_i y_i x_i,  dJ/db = -sum_(y z < 1) t_i y_i
    w, b = params
    r = jnp.where(y * (dot(X, w) + b) < 1.0, -t * y, 0.0)
    return w + dot(r, X), r.sum()


def gradient_squared(params: Pair, X: Rows, y: Column, t: Column) -> Pair:
    """Return dJ/d(w, b) of the squared hinge."""
    # l = max(0, 1 - y z)^2  =>  dl/dz = -2 y max(0, 1 - y z)
    w, b = params
    r = -2.0 * t * y * jnp.maximum(1.0 - y * (dot(X, w) + b), 0.0)
    return w + dot(r, X), r.sum()


def hessian_squared(
    params: Pair, X: Rows, y: Column, t: Column
) -> tuple[tuple[Array, Array], tuple[Array, Scalar]]:
    """Return ((J_ww, J_wb), (J_bw, J_bb)) of the squared hinge, off the margin itself."""
    # d2l/dz2 = 2 where y z < 1, else 0  (y^2 = 1)
    # => J_ww = I + 2 sum_A t_i x_i x_i',  J_wb = 2 sum_A t_i x_i,  J_bb = 2 sum_A t_i
    w, b = params
    D = jnp.where(y * (dot(X, w) + b) < 1.0, 2.0 * t, 0.0)
    m = dot(D, X)
    return (jnp.eye(X.shape[1], dtype=X.dtype) + dot(X.T, D[:, None] * X), m), (m, D.sum())


def solution_squared(X: Rows, y: Column, t: Column) -> Pair:
    """Return argmin J of the squared hinge by trying every set A of rows within the margin."""
    # Given A, J is quadratic: with (1 - y z)^2 = (y - z)^2 it is a ridge regression of y on A,
    #   (I + 2 X_A'T X_A) w + 2 X_A't b = 2 X_A'T y,   2 t_A'X_A w + 2 sum t_A b = 2 t_A'y
    # and the A whose rows are just those with y z < 1 at its solution is the one.
    n, d = X.shape
    sets = jnp.array(list(itertools.product((0.0, 1.0), repeat=n)), X.dtype)[1:]
    Z = jnp.concatenate([X, jnp.ones((n, 1), X.dtype)], axis=1)
    eye = jnp.diag(jnp.concatenate([jnp.ones(d, X.dtype), jnp.zeros(1, X.dtype)]))

    def attempt(A: Array) -> tuple[Array, Array]:
        D = 2.0 * A * t
        v = jnp.linalg.solve(eye + dot(Z.T, D[:, None] * Z), dot(D * y, Z))
        # Each row's margin must lie on the side that A says: excess is how far it does not.
        slack = 1.0 - y * dot(Z, v)
        return v, jnp.where(A > 0, jnp.maximum(-slack, 0.0), jnp.maximum(slack, 0.0)).max()

    v, excess = lax.map(attempt, sets)
    best = v[jnp.argmin(excess)]
    return best[:d], best[d]
