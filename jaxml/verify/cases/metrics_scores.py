"""Calibration and R^2: losses of probabilities, their split over bins, features that are added."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import metrics
from jaxml._typing import Array
from jaxml.closed_form.metrics import calibration as hand
from jaxml.closed_form.metrics import regression as hand_r2
from jaxml.linear import least_squares
from jaxml.verify.case import ROUNDING, SOLVE, Case, Point, Tolerance, point
from jaxml.verify.domains import Domain, Generator, design, labels

__all__ = ["CASES"]

SHAPES = ((24,), (6,))
ROWS = ((16, 3),)
BINS, K = 5, 3
CANCELS = Tolerance(1e-12, 1e-5, "terms of size 1 that cancel", scale=1.0)
MURPHY = "Murphy (1973); Stephenson et al. (2008), eq. (7)"


def _weighted(rng: Generator, y: np.ndarray, p: np.ndarray) -> Point:
    return point(y, p, sample_weight=rng.uniform(0.5, 2.0, size=len(y)))


def _probable(rng: Generator, n: int) -> Point:
    """Labels, probabilities away from the edges of bins, weights; some bins are empty."""
    p = (rng.integers(0, BINS - 1, n) + rng.uniform(0.1, 0.9, size=n)) / BINS
    return _weighted(rng, labels(rng, n, 2), p)


def _centered(rng: Generator, n: int) -> Point:
    p = (rng.integers(0, BINS, n) + 0.5) / BINS
    return _weighted(rng, labels(rng, n, 2), p)


def _moving(rng: Generator, n: int) -> tuple:
    y, p = (at := _probable(rng, n)).args
    return p, y, at.kwargs["sample_weight"]


def _middling(rng: Generator, n: int) -> tuple:
    return rng.uniform(0.2, 0.8, size=n), labels(rng, n, 2), rng.uniform(0.5, 2.0, size=n)


def _simplex(rng: Generator, n: int) -> tuple:
    # A stencil moves one entry, and rows must sum to 1 to sqrt(eps): entries of a row are changed
    # together, by the map that _of_classes takes them through.
    return rng.standard_normal((n, K)), labels(rng, n, K), rng.uniform(0.5, 2.0, size=n)


def _softmax(Z: Array) -> Array:
    e = jnp.exp(Z)
    return e / e.sum(axis=1)[:, None]


def _of_classes(Z: Array, y: Array, s: Array) -> Array:
    return metrics.log_loss(y, _softmax(Z), sample_weight=s)


def _of_classes_gradient(Z: Array, y: Array, s: Array) -> Array:
    # dp_c/dZ_a = p_c ([a = c] - p_a)  =>  dL/dZ = p (g - sum_c g_c p_c), g = dL/dp
    p = _softmax(Z)
    g = hand.log_loss_gradient_of_classes(p, y, s)
    return p * (g - (g * p).sum(axis=1)[:, None])


def _log_loss(p: Array, y: Array, s: Array) -> Array:
    return metrics.log_loss(y, p, sample_weight=s)


def _brier(p: Array, y: Array, s: Array) -> Array:
    return metrics.brier_score(y, p, sample_weight=s)


def _ece(p: Array, y: Array, s: Array) -> Array:
    return metrics.expected_calibration_error(y, p, n_bins=BINS, sample_weight=s)


def _parts(y: Array, p: Array, **kw: Any) -> tuple[Array, ...]:
    return tuple(metrics.brier_decomposition(y, p, n_bins=BINS, **kw))


def _sum_of_parts(y: Array, p: Array, **kw: Any) -> Array:
    reliability, resolution, uncertainty, within = _parts(y, p, **kw)
    return reliability - resolution + uncertainty + within


def _sum_of_three(y: Array, p: Array, **kw: Any) -> Array:
    reliability, resolution, uncertainty, _ = _parts(y, p, **kw)
    return reliability - resolution + uncertainty


def _numbers(rng: Generator, n: int) -> tuple:
    y = 3.0 + rng.standard_normal(n)
    return y + rng.standard_normal(n), y, rng.uniform(0.5, 2.0, size=n)


def _mse(z: Array, y: Array, s: Array) -> Array:
    return metrics.mean_squared_error(y, z, sample_weight=s)


def _r2(z: Array, y: Array, s: Array) -> Array:
    return metrics.r2(y, z, sample_weight=s)


def _features(rng: Generator, n: int, d: int) -> tuple:
    X = design(rng, n, d)
    return X, X @ rng.uniform(0.5, 1.0, size=d) + rng.standard_normal(n)


def _idle(rng: Generator, n: int, d: int) -> tuple:
    """A last column that explains nothing: orthogonal to the others and to what they leave of y."""
    X, y = _features(rng, n, d)
    Z = np.column_stack([np.ones(n), X[:, :-1], y])
    X[:, -1] -= Z @ np.linalg.lstsq(Z, X[:, -1], rcond=None)[0]
    return X, y


def _predicted(X: Array, y: Array, d: int) -> Array:
    """By least squares with the first d columns; the others, all 0, get no coefficient."""
    Z = jnp.where(jnp.arange(X.shape[1])[None, :] < d, X, 0.0)
    return least_squares.predict(least_squares.fit(Z, y, method="svd").params, Z)


def _nested(X: Array, y: Array) -> Array:
    return jnp.stack([metrics.r2(y, _predicted(X, y, d)) for d in range(1, X.shape[1])])


def _next(X: Array, y: Array, *, factor: float = 1.0) -> Array:
    later = [hand_r2.r2_of_least_squares(X[:, :d], y) for d in range(2, X.shape[1] + 1)]
    return factor * jnp.stack(later)


def _adjusted_ratio(X: Array, y: Array) -> Array:
    def left(d: int) -> Array:
        return 1 - metrics.adjusted_r2(y, _predicted(X, y, d), n_features=d)

    return left(X.shape[1] - 1) / left(X.shape[1])


PROBABLE, MOVING = Domain(_probable, SHAPES), Domain(_moving, SHAPES[:1])
NUMBERS, FEATURES = Domain(_numbers, SHAPES[:1]), Domain(_features, ROWS)
TOPIC, R2 = ("calibration",), ("r2",)

CASES = (
    Case("metrics.log_loss/likelihood", TOPIC, "identity", metrics.log_loss, hand.log_likelihood,
         PROBABLE, ROUNDING, "minus the log of a product of chances"),
    Case("metrics.log_loss/gradient", TOPIC, "gradient", jax.grad(_log_loss),
         hand.log_loss_gradient, Domain(_middling, SHAPES[:1]), ROUNDING, "(p - y) / (p (1 - p))",
         _log_loss),
    Case("metrics.log_loss/classes", TOPIC, "gradient", jax.grad(_of_classes),
         _of_classes_gradient, Domain(_simplex, SHAPES[:1]), ROUNDING, "through a softmax",
         _of_classes),
    Case("metrics.brier_score/squares", TOPIC, "identity", metrics.brier_score, hand.squares,
         PROBABLE, ROUNDING, "Brier (1950)"),
    Case("metrics.brier_score/gradient", TOPIC, "gradient", jax.grad(_brier),
         hand.brier_gradient, MOVING, ROUNDING, "2 (p - y)", _brier),
    Case("metrics.expected_calibration_error/bins", TOPIC, "identity",
         partial(metrics.expected_calibration_error, n_bins=BINS),
         partial(hand.calibration_error, n_bins=BINS), PROBABLE, ROUNDING,
         "Guo et al. (2017), eq. (3)"),
    Case("metrics.expected_calibration_error/gradient", TOPIC, "gradient", jax.grad(_ece),
         partial(hand.calibration_gradient, n_bins=BINS), MOVING, ROUNDING, "at fixed bins", _ece),
    Case("metrics.brier_decomposition/parts", TOPIC, "identity", _parts,
         partial(hand.decomposition, n_bins=BINS), PROBABLE, CANCELS, MURPHY),
    Case("metrics.brier_decomposition/sum", TOPIC, "identity", _sum_of_parts, hand.squares,
         PROBABLE, ROUNDING, MURPHY),
    Case("metrics.brier_decomposition/three-terms", TOPIC, "identity", _sum_of_three,
         hand.squares, Domain(_centered, SHAPES), ROUNDING, "one forecast in each bin"),
    Case("metrics.mean_squared_error/gradient", R2, "gradient", jax.grad(_mse),
         hand_r2.mse_gradient, NUMBERS, ROUNDING, "2 (z - y)", _mse),
    Case("metrics.r2/pairs", R2, "identity", _r2,
         lambda z, y, s: hand_r2.r2(y, z, sample_weight=s), NUMBERS, ROUNDING,
         "variance as a mean over pairs"),
    Case("metrics.r2/gradient", R2, "gradient", jax.grad(_r2), hand_r2.r2_gradient, NUMBERS,
         ROUNDING, "-2 (z - y) / SS_tot", _r2),
    Case("metrics.r2/added-features", R2, "bound", _nested, _next, FEATURES, SOLVE,
         "a smaller model is a larger one with coefficients 0",
         mutants=(partial(_next, factor=0.5),)),
    Case("metrics.adjusted_r2/ratio", R2, "identity", _adjusted_ratio, hand_r2.adjusted_ratio,
         FEATURES, SOLVE, "F statistic of one coefficient"),
    Case("metrics.adjusted_r2/idle-feature", R2, "identity", _adjusted_ratio,
         lambda X, y: jnp.asarray((len(y) - X.shape[1] - 1) / (len(y) - X.shape[1]), y.dtype),
         Domain(_idle, ROWS), SOLVE, "t = 0: adjusted R^2 falls by a row's worth"),
)  # fmt: skip
