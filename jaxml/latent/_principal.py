"""The fit of a principal component analysis, what certifies it, and its derivatives.

    S v_i = lambda_i v_i,    dlambda_i = v_i'dS v_i
    dv_i = sum_(j != i) v_j (v_j'dS v_i) / (lambda_i - lambda_j)

Symbols as in pca. A pair of equal eigenvalues has no derivatives of its own, only its span has; the
terms 1 / 0 are left out, which is exact for all that depends on that span alone.

Reference: Magnus, Neudecker (2019), Matrix Differential Calculus, chapter 8.
"""

from typing import NamedTuple

import jax.numpy as jnp

from jaxml import _scatter
from jaxml._loop import Code, Fit, certify, input_flags
from jaxml._numerics import matmul, sum_over_rows
from jaxml._scatter import Statistics, above_rounding
from jaxml._typing import Array, Column, Float, Key, Rows, Scalar
from jaxml.latent import _spectrum
from jaxml.latent._spectrum import Spectrum

__all__ = ["Params", "certified", "covariance", "derivative", "solve"]


class Params(NamedTuple):
    """A center and k directions of decreasing variance."""

    mean: Float[Array, " d"]  # m
    components: Float[Array, "k d"]  # v_i, orthonormal rows, the largest |entry| of each positive
    explained_variance: Float[Array, " k"]  # lambda_i, descending
    noise_variance: Scalar  # sigma^2, the mean of the other d - k eigenvalues


def solve(
    X: Rows, s: Column, tol: Scalar, key: Key | None, *, k: int, method: str, max_iter: int
) -> Fit[Params]:
    """Find the k leading eigenpairs of S by the method named; see pca.fit."""
    n, d = X.shape
    unmet = Code.ILL_CONDITIONED
    if method == "covariance" and n >= d:
        sums = _scatter.statistics(X, s)
        S, mean, dof, witness = covariance(sums)
        found = _spectrum.by_covariance(S, k)
    elif method == "randomized":
        unmet = Code.MAX_ITER
        mean, variance, mass = _column_moments(X, s)
        dof, witness = _degrees(mass), variance
        alive = above_rounding(variance, mean)

        def apply(V: Float[Array, "d b"]) -> Float[Array, "d b"]:
            V = jnp.where(alive[:, None], V, 0.0)

            def sums(X: Rows, s: Column) -> Array:
                A = X - mean[None, :]
                return matmul(A.T, s[:, None] * matmul(A, V))

            return jnp.where(alive[:, None], sum_over_rows(sums, X, s) / dof, 0.0)

        trace = jnp.sum(jnp.where(alive, variance, 0.0)) * mass / dof
        found = _spectrum.by_krylov(
            apply, trace, mean, k, most=min(n, d), key=key, tol=tol, max_iter=max_iter
        )
    else:
        mean, variance, mass = _column_moments(X, s)
        dof, witness = _degrees(mass), variance
        A = jnp.sqrt(s / dof)[:, None] * (X - mean[None, :])
        A = jnp.where(above_rounding(variance, mean)[None, :], A, 0.0)
        found = (_spectrum.by_svd if method == "svd" else _spectrum.by_gram)(A, k)
    flags = input_flags(X, s, s, witness)
    return certified(found, mean, jnp.sum(s), tol, flags, unmet)


def _degrees(mass: Scalar) -> Scalar:
    return jnp.where(mass > 1, mass - 1, 1.0)


def _column_moments(X: Rows, s: Column) -> tuple[Array, Array, Scalar]:
    """Mean and variance (over M, not M - 1) of each column, and M; two passes."""
    mass = jnp.sum(s)
    p = s / jnp.where(mass > 0, mass, 1.0)
    center = sum_over_rows(lambda X, p: matmul(p, X), X, p)

    def sums(X: Rows, p: Column) -> tuple[Array, Array]:
        A = X - center[None, :]
        return matmul(p, A), matmul(p, A * A)

    first, second = sum_over_rows(sums, X, p)
    return center + first, second - first**2, mass


def covariance(sums: Statistics) -> tuple[Array, Array, Scalar, Array]:
    """S with columns without variation set to 0, m, M - 1, and a witness of NaN."""
    mass, mean, scatter = sums
    dof = _degrees(mass)
    variance = jnp.diag(scatter) / dof
    alive = above_rounding(variance, mean)
    return jnp.where(alive[:, None] & alive[None, :], scatter / dof, 0.0), mean, dof, variance


def certified(
    found: Spectrum,
    mean: Array,
    mass: Scalar,
    tol: Scalar,
    flags: tuple[tuple[Code, Array], ...],
    unmet: Code,
) -> Fit[Params]:
    """Return the Fit, DEGENERATE where lambda_k and lambda_(k+1) are equal to rounding."""
    values, d = found.values, mean.shape[0]
    k = values.shape[0]
    nothing = (values[0] == 0) | ~(mass > 1)
    noise = jnp.minimum(found.discarded / max(d - k, 1), values[-1])
    if k < d:
        nothing = nothing | (values[-1] - found.following <= _rounding(values[0], d))
    return certify(
        Params(mean, found.vectors, values, noise),
        objective=found.discarded,
        residual=found.residual,
        tol=tol,
        n_iter=found.n_iter,
        flags=(*flags, (Code.DEGENERATE, nothing)),
        unmet=unmet,
    )


def _rounding(top: Scalar, d: int) -> Scalar:
    """How far apart equal eigenvalues may be computed."""
    return 4 * d * jnp.finfo(top.dtype).eps * top


def derivative(params: Params, X: Rows, s: Column, dX: Rows, ds: Column) -> tuple[Params, Scalar]:
    """Tangents of the parameters and of the lost variance, by the rule in the docstring of fit."""
    mean, V, values, _ = params
    k, d = V.shape
    mass = jnp.sum(s)
    dof = _degrees(mass)
    A = X - mean[None, :]
    A_s = s[:, None] * A
    scores = matmul(A, V.T)
    # dS = [sum_i ds_i a_i a_i' + s_i (dx_i a_i' + a_i dx_i') - dM S] / (M - 1); B = dS V'
    B = matmul(A.T, ds[:, None] * scores) + matmul(dX.T, s[:, None] * scores)
    B = B + matmul(A_s.T, matmul(dX, V.T)) - jnp.sum(ds) * matmul(A_s.T, scores) / dof
    B = B / dof
    trace = jnp.sum(ds * jnp.sum(A * A, axis=1)) + 2 * jnp.sum(A_s * dX)
    trace = (trace - jnp.sum(ds) * jnp.sum(A_s * A) / dof) / dof
    dvalues = jnp.sum(V.T * B, axis=0)
    dlost = trace - jnp.sum(dvalues) if k < d else jnp.zeros_like(trace)

    root = jnp.sqrt(jnp.where(s > 0, s, 0.0) / dof)
    every, U = _spectrum.full(root[:, None] * A)
    outside = jnp.arange(every.shape[0])[:, None] >= k
    C = jnp.where(outside, matmul(U, B), 0.0)
    gap = _rounding(values[0], d)
    dV = matmul(_over(C, values[None, :] - every[:, None], gap).T, U)
    among = matmul(V, B)
    half = jnp.finfo(V.dtype).eps ** 0.5 * values[0]
    dV = dV + matmul(_over(among, values[None, :] - values[:, None], half).T, V)
    if U.shape[0] < d:  # what no row reaches has eigenvalue 0
        beyond = B - matmul(U.T, matmul(U, B))
        dV = dV + _over(beyond, jnp.broadcast_to(values[None, :], beyond.shape), gap).T
    dmean = (matmul(ds, A) + matmul(s, dX)) / jnp.where(mass > 0, mass, 1.0)
    return Params(dmean, dV, dvalues, dlost / max(d - k, 1)), dlost


def _over(C: Array, gap: Array, least: Scalar) -> Array:
    apart = jnp.abs(gap) > least
    return jnp.where(apart, C / jnp.where(apart, gap, 1.0), 0.0)
