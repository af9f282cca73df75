"""The terms of the squared error of given predictions F (data sets x test points).

    m_j = 1/R sum_r F_rj,   1/(R m) sum_rj (F_rj - f_j)^2
        = 1/m sum_j (m_j - f_j)^2 + 1/(R m) sum_rj (F_rj - m_j)^2,  since sum_r (F_rj - m_j) = 0

Standard errors are over data sets, which are independent; the test points are given. That of bias2
errs to the safe side where bias^2 is below variance / R.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._loop import RAISED, Code
from jaxml._numerics import matmul
from jaxml._typing import Array, ArrayLike, Float, Int, Real, Rows, Scalar

__all__ = [
    "Average", "Decomposition", "Estimate", "average", "measure", "measured", "noise_of", "targets",
]  # fmt: skip

Predictions = Float[Array, "r m"]  # one row per data set, one column per test point


class Estimate(NamedTuple):
    """A mean over draws and how far it may lie from its expectation."""

    value: Scalar
    standard_error: Scalar


class Decomposition(NamedTuple):
    """The terms of the expected squared error; NaN where a fit has no answer."""

    bias2: Estimate
    variance: Estimate
    noise: Estimate
    error: Estimate  # measured, not added up
    bias: Float[Array, " m"]  # m_j - f_j
    spread: Float[Array, " m"]  # 1/R sum_r (F_rj - m_j)^2
    code: Int[Array, ""]  # the most severe Code among the fits


class Average(NamedTuple):
    """The variance of the mean of B predictions, and what it follows from."""

    member: Scalar  # s^2, the variance of one prediction, meant over members and test points
    correlation: Scalar  # rho, the mean covariance of two members over s^2
    measured: Scalar  # the variance of the mean of the members
    formula: Scalar  # rho s^2 + (1 - rho) s^2 / B


def measure(
    predictions: ArrayLike,
    f_test: ArrayLike,
    *,
    responses: ArrayLike | None = None,
    noise_variance: Real | Float[Array, " m"] = 0.0,
) -> Decomposition:
    """Decompose given predictions F, of models fitted anywhere.

    Args:
      predictions: F (r, m), one row per data set, r >= 2.
      f_test: f_j (m,).
      responses: y_rj (r, m), independent of the data sets; None: f_j, without noise.
      noise_variance: Var(y | x_j) >= 0, one number or (m,).

    Raises:
      ValueError: Shapes disagree, fewer than two data sets, or concrete values are not finite.

    Example:
      >>> terms = measure([[0.0, 1.0], [2.0, 1.0]], [0.0, 0.0])  # means 1 and 1, spreads 1 and 0
      >>> float(terms.bias2.value), float(terms.variance.value), float(terms.error.value)
      (1.0, 0.5, 1.5)
    """
    F = _check.finite("predictions", _check.array("predictions", predictions, ndim=2))
    if F.shape[0] < 2:
        raise ValueError(f"predictions needs two data sets (rows) or more: got {F.shape[0]}")
    f = targets("f_test", f_test, F.T)
    y = jnp.broadcast_to(f, F.shape)
    if responses is not None:
        y = _check.finite("responses", _check.array("responses", responses, ndim=2, dtype=F.dtype))
        if y.shape != F.shape:
            raise ValueError(f"responses must have shape {F.shape}: got {y.shape}")
    return measured(F, f, y, noise_of(noise_variance, F.T), jnp.int32(Code.CONVERGED))


def average(predictions: ArrayLike) -> Average:
    """Compare the variance of an average with rho s^2 + (1 - rho) s^2 / B.

    Args:
      predictions: F (r, B, m): data set, member of the ensemble, test point; r >= 2, B >= 2.

    Returns:
      Average; its last two fields agree to rounding, for any r.

    Raises:
      ValueError: Fewer than two data sets or members, or concrete values are not finite.

    Example:
      >>> found = average([[[0.0], [0.0]], [[2.0], [0.0]]])  # the second member is constant
      >>> float(found.member), float(found.measured), float(found.formula)
      (0.5, 0.25, 0.25)
    """
    F = _check.finite("predictions", _check.array("predictions", predictions, ndim=3))
    if min(F.shape[:2]) < 2:
        raise ValueError(f"predictions needs two data sets and two members: got shape {F.shape}")
    return _average(F)


def targets(name: str, values: Any, X: Rows) -> Float[Array, " m"]:
    f = _check.finite(name, _check.array(name, values, ndim=1, dtype=X.dtype))
    if f.shape != X.shape[:1]:
        raise ValueError(f"{name} needs one entry per test point: expected {len(X)}, got {len(f)}")
    return f


def noise_of(value: Any, X: Rows) -> Float[Array, " m"]:
    if jnp.ndim(value) == 0:
        value = _check.at_least("noise_variance", value, 0, dtype=X.dtype)
        return jnp.broadcast_to(value, X.shape[:1])
    noise = targets("noise_variance", value, X)
    if _check.is_concrete(noise) and (noise < 0).any():
        raise ValueError(f"noise_variance must be >= 0: got {float(noise.min())}")
    return noise


@jax.jit
def measured(F: Predictions, f: Array, y: Predictions, noise: Array, code: Array) -> Decomposition:
    R, m = F.shape
    F = jnp.where(code >= RAISED, jnp.nan, F)  # a fit without an answer deserves no number
    center = jnp.mean(F, axis=0)
    D, b = F - center[None, :], center - f
    spread = jnp.mean(D**2, axis=0)
    # bias2 = 1/m ||b||^2, where b errs by the mean of R rows of covariance S = D'D / R:
    # var(bias2) = 4 b'Sb / (R m^2) + 2 tr(S^2) / (R m)^2; the second term counts where b is near 0.
    C = matmul(D, D.T) if m >= R else matmul(D.T, D)
    slope, curved = jnp.mean(matmul(D, b) ** 2) / m**2, jnp.sum(C**2) / (R * m) ** 2
    se_bias2 = jnp.sqrt(4 * slope / R + 2 * curved / R**2)
    return Decomposition(
        bias2=Estimate(jnp.mean(b**2), se_bias2),
        variance=_mean_over_data(jnp.mean(D**2, axis=1)),
        noise=Estimate(jnp.mean(noise), jnp.zeros((), F.dtype)),
        error=_mean_over_data(jnp.mean((F - y) ** 2, axis=1)),
        bias=b,
        spread=spread,
        code=code,
    )


def _mean_over_data(values: Float[Array, " r"]) -> Estimate:
    """The mean of independent values, and its standard error by their sample variance."""
    return Estimate(jnp.mean(values), jnp.std(values, ddof=1) / jnp.sqrt(1.0 * values.shape[0]))


@jax.jit
def _average(F: Float[Array, "r b m"]) -> Average:
    B = F.shape[1]
    D = F - jnp.mean(F, axis=0)[None]
    s2 = jnp.mean(D**2)
    # sum_{b != c} D_b D_c = (sum_b D_b)^2 - sum_b D_b^2, over B (B - 1) pairs
    pairs = jnp.sum(D, axis=1) ** 2 - jnp.sum(D**2, axis=1)
    rho = jnp.mean(pairs) / (B * (B - 1)) / jnp.where(s2 > 0, s2, 1.0)
    measured = jnp.mean(jnp.mean(D, axis=1) ** 2)
    return Average(s2, rho, measured, rho * s2 + (1 - rho) * s2 / B)
