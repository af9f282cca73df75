"""Principal component analysis: its fit, what certifies it, and its model. Symbols as in pca."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _scatter
from jaxml._loop import Code, Fit, certify, input_flags
from jaxml._numerics import matmul
from jaxml._scatter import Statistics, above_rounding
from jaxml._sums import moments, sum_over_rows
from jaxml._typing import Array, Column, Float, Key, Rows, Scalar
from jaxml.latent import _spectrum
from jaxml.latent._spectrum import Spectrum

__all__ = [
    "Params", "certified", "covariance", "degrees", "log_likelihood", "rounding", "solve",
    "solve_statistics", "transform",
]  # fmt: skip


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
        dof, witness = degrees(mass), variance
        alive = above_rounding(variance, mean)

        def apply(V: Float[Array, "d b"]) -> Float[Array, "d b"]:
            V = jnp.where(alive[:, None], V, 0.0)

            def sums(X: Rows, s: Column) -> Array:
                A = X - mean[None, :]
                return matmul(A.T, s[:, None] * matmul(A, V))

            return jnp.where(alive[:, None], sum_over_rows(sums, X, s) / dof, 0.0)

        trace = jnp.sum(jnp.where(alive, variance, 0.0)) * mass / dof
        found = _spectrum.by_iteration(
            apply, trace, mean, k, most=min(n, d), key=key, tol=tol, max_iter=max_iter
        )
    else:
        mean, variance, mass = _column_moments(X, s)
        dof, witness = degrees(mass), variance
        A = jnp.sqrt(s / dof)[:, None] * (X - mean[None, :])
        A = jnp.where(above_rounding(variance, mean)[None, :], A, 0.0)
        found = (_spectrum.by_svd if method == "svd" else _spectrum.by_gram)(A, k)
    flags = input_flags(X, s, s, witness)
    return certified(found, mean, jnp.sum(s), tol, flags, unmet)


def solve_statistics(sums: Statistics, tol: Scalar, *, k: int) -> Fit[Params]:
    """The same from the statistics of the rows."""
    S, mean, _, witness = covariance(sums)
    broken = ~(jnp.isfinite(jnp.max(jnp.abs(sums.scatter))) & jnp.isfinite(witness).all())
    broken = broken | ~jnp.isfinite(jnp.max(jnp.abs(mean))) | ~jnp.isfinite(sums.mass)
    flags = ((Code.NONFINITE_INPUT, broken),)
    found = _spectrum.by_covariance(S, k)
    return certified(found, mean, sums.mass, tol, flags, Code.ILL_CONDITIONED)


def degrees(mass: Scalar) -> Scalar:
    """M - 1, 1 where there is none."""
    return jnp.where(mass > 1, mass - 1, 1.0)


def _column_moments(X: Rows, s: Column) -> tuple[Array, Array, Scalar]:
    """Mean and variance (over M, not M - 1) of each column, and M."""
    mass = jnp.sum(s)
    mean, deviation = moments(X, s / jnp.where(mass > 0, mass, 1.0))
    return mean, deviation**2, mass


def covariance(sums: Statistics) -> tuple[Array, Array, Scalar, Array]:
    """S with columns without variation set to 0, m, M - 1, and a witness of NaN."""
    mass, mean, scatter = sums
    dof = degrees(mass)
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
        nothing = nothing | (values[-1] - found.following <= rounding(values[0], d))
    return certify(
        Params(mean, found.vectors, values, noise),
        objective=found.discarded,
        residual=found.residual,
        tol=tol,
        n_iter=found.n_iter,
        flags=(*flags, (Code.DEGENERATE, nothing)),
        unmet=unmet,
    )


def rounding(top: Scalar, d: int) -> Scalar:
    """How far apart equal eigenvalues may be computed."""
    return 4 * d * jnp.finfo(top.dtype).eps * top


@partial(jax.jit, static_argnames="whiten")
def transform(params: Params, X: Rows, *, whiten: bool) -> Float[Array, "n k"]:
    """The coordinates of each row; see pca.transform."""
    Z = matmul(X - params.mean[None, :], params.components.T)
    if whiten:
        values = params.explained_variance
        scale = jnp.where(values > 0, jax.lax.rsqrt(jnp.where(values > 0, values, 1.0)), 0.0)
        Z = Z * scale[None, :]
    return Z


@jax.jit
def log_likelihood(params: Params, X: Rows) -> Column:
    """Return log p(x) of each row; see pca.log_likelihood."""
    mean, V, values, noise = params
    k, d = V.shape
    least = jnp.finfo(values.dtype).eps * values[0] + jnp.finfo(values.dtype).tiny
    values, noise = jnp.maximum(values, least), jnp.maximum(noise, least)
    A = X - mean[None, :]
    Z = matmul(A, V.T)
    distance = jnp.sum(Z**2 / values[None, :], axis=1)
    log_det = jnp.sum(jnp.log(values))
    if k < d:
        distance = distance + jnp.sum((A - matmul(Z, V)) ** 2, axis=1) / noise
        log_det = log_det + (d - k) * jnp.log(noise)
    return -0.5 * (d * jnp.log(2 * jnp.pi) + log_det + distance)
