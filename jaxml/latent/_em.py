"""Expectation-maximization for a Gaussian mixture, in one pass over the rows per step.

    log p(x_i, j) = log pi_j - d/2 log 2 pi + log|W_j| - 1/2 ||W_j (x_i - mu_j)||^2
    r_ij = p(x_i, j) / sum_l p(x_i, l),    L = (1/s) sum_i s_i log sum_j p(x_i, j)
    N_j = sum_i s_i r_ij,   pi_j <- N_j / s,   mu_j <- mu_j + e_j,   e_j = sum_i s_i r_ij z_ij / N_j

with z_ij = x_i - mu_j at the present mean: second moments about it lose no digits as it settles.
Components are taken in turn, so that no array holds a number for each of n, k and d.

Reference: Dempster, Laird, Rubin (1977); Bishop (2006), eq. (9.23) to (9.28).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxml._loop import iterate
from jaxml._numerics import matmul
from jaxml._sums import sum_over_rows, total
from jaxml._typing import Array, Bool, Column, Float, Int, Labels, Rows, Scalar
from jaxml.latent import _covariance

__all__ = ["Ended", "Params", "joint", "maximize", "posterior", "start", "step"]


class Params(NamedTuple):
    """A mixture of k Gaussian components."""

    weights: Float[Array, " k"]  # pi_j >= 0; they sum to 1
    means: Float[Array, "k d"]  # mu_j
    # Sigma_j: full (k, d, d), tied (1, d, d), diag (k, d), spherical (k,)
    covariances: Float[Array, "k d d"] | Float[Array, "k d"] | Float[Array, " k"]


class Ended(NamedTuple):
    """Where EM ended."""

    params: Params
    log_likelihood: Scalar  # L at params
    gain: Scalar  # of L by one more step
    n_iter: Int[Array, ""]
    singular: Bool[Array, ""]  # whether that step, or the start, has a singular covariance


def joint(params: Params, W: Array, X: Rows) -> Float[Array, "k n"]:
    """log p(x_i, j); -inf for a component of weight 0."""
    pi, mu, _ = params
    d, Xt = X.shape[1], X.T  # sums over few features are vectorized along the rows
    log_pi = jnp.where(pi > 0, jnp.log(jnp.where(pi > 0, pi, 1.0)), -jnp.inf)

    def of(args: tuple) -> Column:
        log_pi_j, mu_j, W_j = args
        Y = _covariance.whiten(W_j, Xt - mu_j[:, None])
        constant = log_pi_j + _covariance.log_det(W_j, d) - 0.5 * d * math.log(2 * math.pi)
        return constant - 0.5 * jnp.sum(Y * Y, axis=0)

    W = jnp.broadcast_to(W, (pi.shape[0], *W.shape[1:]))
    return jax.lax.map(of, (log_pi, mu, W))


def posterior(joint: Float[Array, "k n"]) -> tuple[Column, Float[Array, "k n"]]:
    """log p(x_i) and r_ij."""
    top = jax.lax.stop_gradient(jnp.max(joint, axis=0))
    p = jnp.exp(joint - top[None, :])
    p_x = jnp.sum(p, axis=0)
    return jnp.log(p_x) + top, p / p_x[None, :]


def _moments(R: Float[Array, "k n"], X: Rows, mu: Float[Array, "k d"], ndim: int) -> tuple:
    """N_j, sum_i r_ij z_ij and sum_i r_ij z_ij z_ij', z about mu_j."""

    def of(args: tuple) -> tuple:
        R_j, mu_j = args
        Z = Xt - mu_j[:, None]
        return jnp.sum(R_j), matmul(Z, R_j), _covariance.second(R_j, Z, ndim)

    Xt = X.T
    return jax.lax.map(of, (R, mu))


def _updated(params: Params, sums: tuple, reg: Scalar) -> Params:
    N, first, S = sums
    E = first / jnp.where(N > 0, N, 1.0)[:, None]
    covariances = _covariance.estimate(N, E, S, params.covariances, reg)
    return Params(N / jnp.sum(N), params.means + E, covariances)


def step(params: Params, W: Array, X: Rows, s: Column, reg: Scalar) -> tuple[Scalar, Params]:
    """L at params, and the params after one step of EM."""
    ndim = params.covariances.ndim

    def sums(X: Rows, s: Column) -> tuple:
        log_p, r = posterior(joint(params, W, X))
        return total(s * log_p), _moments(r * s[None, :], X, params.means, ndim)

    L, moments = sum_over_rows(sums, X, s)
    return L / total(s), _updated(params, moments, reg)


def start(
    X: Rows, s: Column, labels: Labels, C: Float[Array, "k d"], reg: Scalar, *, kind: str
) -> Params:
    """The step from hard labels, r_ij = 1 for the label and else 0, about the centroids C."""
    k, d = C.shape
    shape = _covariance.shape(kind, k, d)

    def sums(X: Rows, s: Column, labels: Labels) -> tuple:
        chosen = jnp.arange(k, dtype=labels.dtype)[:, None] == labels[None, :]
        return _moments(jnp.where(chosen, s[None, :], 0.0), X, C, len(shape))

    none = jnp.zeros(shape, X.dtype)
    none = none + reg * jnp.eye(d, dtype=X.dtype)[None] if none.ndim == 3 else none + reg
    return _updated(Params(s[:k], C, none), sum_over_rows(sums, X, s, labels), reg)


def maximize(
    X: Rows, s: Column, params: Params, noise: Float[Array, " d"], *,
    reg: Scalar, tol: Scalar, max_iter: int,
) -> Ended:  # fmt: skip
    """Step until one more step gains at most tol, or has a singular covariance."""
    inf = jnp.asarray(jnp.inf, X.dtype)
    wrong = jnp.array(False)

    # (params, L, gain) are certified, (ahead, L there) are evaluated, beyond comes next.
    def once(state: tuple) -> tuple:
        _, _, _, ahead, L, beyond, _ = state
        W = _covariance.whitener(beyond.covariances)
        L_beyond, further = step(beyond, W, X, s, reg)
        wrong = _covariance.rounded_off(beyond.covariances, W, noise) | ~jnp.isfinite(L_beyond)
        return ahead, L, L_beyond - L, beyond, L_beyond, further, wrong

    def stop(state: tuple) -> Array:
        _, _, gain, *_, wrong = state
        return (jnp.abs(gain) <= tol) | wrong

    begin = params, -inf, inf, params, -inf, params, wrong
    (params, L, gain, *_, wrong), count = iterate(once, begin, stop=stop, max_iter=max_iter + 2)
    return Ended(params, L, jnp.abs(gain), jnp.minimum(count - 1, max_iter), wrong)
