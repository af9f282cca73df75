"""Convexity: spectra and constants against closed forms, and the segments that decide a verdict."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import losses
from jaxml._typing import Array
from jaxml.analysis import convexity, rules
from jaxml.closed_form.analysis import convexity as hand
from jaxml.linear import logistic, ridge
from jaxml.verify.case import EXACT, ROUNDING, Case, Point, Tolerance, point
from jaxml.verify.domains import Domain, Generator, labels, regression, signs, vector

__all__ = ["CASES"]

# Eigenvalues are accurate to rounding of the largest, so small ones are not judged alone.
SPECTRUM = Tolerance(1e-11, 1e-4, "rounding of ||H||, for every eigenvalue", scale=1.0)
WITNESS = ROUNDING._replace(scale=1.0, reason="differences of values of order one")
STEPS = 40  # of Lanczos, as many as there are unknowns: all eigenvalues are found


def _chain(x: Array) -> Array:
    """1/2 sum of squared differences, with x_0 = x_(n+1) = 0."""
    return 0.5 * (x[0] ** 2 + x[-1] ** 2 + jnp.sum((x[1:] - x[:-1]) ** 2))


def _chain_dense(x: Array) -> Array:
    return convexity.hessian_spectrum(_chain, x).values


def _chain_lanczos(x: Array) -> Array:
    key = jax.random.key(0)
    return convexity.hessian_spectrum(_chain, x, k=3, key=key, n_steps=STEPS).values


def _chain_ends(x: Array) -> Array:
    values = hand.difference_spectrum(x.size)
    return jnp.concatenate([values[:3], values[-3:]]).astype(x.dtype)


def _ridge_objective(w: Array, X: Array, y: Array, s: Array, l2: Array) -> Array:
    return ridge.loss(ridge.Params(w, jnp.zeros((), w.dtype)), X, y, l2=l2, sample_weight=s)


def _ridge_constants(*args: Array) -> tuple[Array, ...]:
    measured = (convexity.smoothness, convexity.strong_convexity, convexity.condition_number)
    return tuple(f(_ridge_objective, *args) for f in measured)


def _logistic_objective(w: Array, X: Array, y: Array, s: Array, l2: Array) -> Array:
    params = logistic.Params(w, jnp.zeros((), w.dtype))
    return logistic.loss(params, X, y, l2=l2, sample_weight=s)


def _logistic_ends(*args: Array) -> Array:
    values = convexity.hessian_spectrum(_logistic_objective, *args).values
    return jnp.stack([values[-1], -values[0]])


def _logistic_bounds(w: Array, X: Array, y: Array, s: Array, l2: Array) -> Array:
    L, mu = hand.logistic_constants(X, l2=l2, sample_weight=s)
    return jnp.stack([L, -mu])


def _without_the_quarter(w: Array, X: Array, y: Array, s: Array, l2: Array) -> Array:
    L, mu = hand.logistic_constants(X, l2=l2, sample_weight=s)
    return jnp.stack([0.01 * L, -mu])


def _with_twice_the_penalty(w: Array, X: Array, y: Array, s: Array, l2: Array) -> Array:
    L, mu = hand.logistic_constants(X, l2=l2, sample_weight=s)
    return jnp.stack([L, -2.0 * mu - 1.0])


def _penalized(rng: Generator, n: int, d: int) -> tuple:
    X, y, s = regression(rng, n, d)
    return vector(rng, d), X, y, s, np.float64(rng.uniform(0.05, 0.5))


def _classified(rng: Generator, n: int, d: int) -> tuple:
    X, _, s = regression(rng, n, d)
    y = labels(rng, n, 2).astype(float)
    return vector(rng, d, scale=0.5), X, y, s, np.float64(rng.uniform(0.05, 0.5))


def _log_sum(z: Array) -> Array:
    return losses.softmax_cross_entropy(z, jnp.int32(0))


def _softmax_spectrum(t: Array) -> Array:
    return convexity.hessian_spectrum(_log_sum, jnp.log(t) * jnp.eye(5, dtype=t.dtype)[0]).values


def _plane(x: Array, a: Array, b: Array, c: Array) -> Array:
    return 0.5 * a * x[0] ** 2 + b * x[0] * x[1] + 0.5 * c * x[1] ** 2


def _plane_spectrum(a: Array, b: Array, c: Array) -> Array:
    return convexity.hessian_spectrum(_plane, jnp.zeros(2, a.dtype), a, b, c).values


def _quadratic(x: Array, A: Array) -> Array:
    return 0.5 * jnp.sum(x * (A * x[None, :]).sum(axis=1))


def _quadratic_violation(a: Array, b: Array, A: Array, t: Array, mu: Array) -> Array:
    return convexity.midpoint_violation(_quadratic, a, b, A, t=t, mu=mu).violation


def _segment(rng: Generator, d: int) -> tuple:
    A = rng.standard_normal((d, d))
    return vector(rng, d), vector(rng, d), A + A.T, rng.uniform(), rng.uniform(0.1, 1.0)


def _mse(z: Array) -> Array:
    return losses.squared(jax.nn.sigmoid(z), jnp.ones_like(z))


def _mse_violation(a: Array, b: Array) -> Array:
    return convexity.midpoint_violation(_mse, a, b).violation


def _wrong_side(rng: Generator) -> tuple:
    return -1.0 - rng.uniform(0.0, 1.0), -3.0 - rng.uniform(0.0, 5.0)


def _cross_entropy_violation(a: Array, b: Array) -> Array:
    return convexity.midpoint_violation(losses.logistic, a, b, jnp.ones_like(a)).violation


def _strictly_below(a: Array, b: Array) -> Array:
    # l'' = sigma(z) sigma(-z) is least at the end farther from 0: violation <= -l'' (a-b)^2 / 8
    z = jnp.maximum(jnp.abs(a), jnp.abs(b))
    return -0.125 * (a - b) ** 2 / (jnp.exp(0.5 * z) + jnp.exp(-0.5 * z)) ** 2


def _far_below(a: Array, b: Array) -> Array:
    return 1e3 * _strictly_below(a, b)


def _rule(name: str) -> Case:
    """The table that proofs rest on against the hand table."""
    proof = rules.compose(
        getattr(losses, name), jnp.ones((1, 1)), y=jnp.ones(1)
    ).curvature  # 1 is valid for all

    def proved(z: Array) -> Array:
        return jnp.array([proof.mu, proof.L], z.dtype)

    def derived(z: Array) -> Array:
        return jnp.array(hand.loss_curvature(name), z.dtype)

    return Case(
        f"analysis.rules/{name}", ("convexity", "strong-convexity"), "identity", proved, derived,
        Domain(lambda rng: (vector(rng, 1),)), ROUNDING, "sup and inf of the second derivative",
    )  # fmt: skip


def _curvature(name: str, target: Callable[[Generator, int], np.ndarray]) -> Case:
    """Sampled curvature never exceeds the constant L of the hand table."""
    loss = getattr(losses, name)
    _, L = hand.loss_curvature(name)

    def bends(z: Array, y: Array) -> Array:
        return jax.vmap(lambda z, y: convexity.smoothness(loss, z, y))(z, y)

    def bound(z: Array, y: Array) -> Array:
        return jnp.full_like(z, L)

    def below(z: Array, y: Array) -> Array:
        return jnp.full_like(z, 0.2 * L)

    def sample(rng: Generator, n: int) -> Point:
        return point(2.0 * vector(rng, n), target(rng, n))

    return Case(
        f"analysis.convexity/{name}-smoothness", ("convexity",), "bound", bends, bound,
        Domain(sample, ((30,),)), EXACT, "sup of the second derivative", mutants=(below,),
    )  # fmt: skip


BOTH = ("convexity", "strong-convexity")
CASES = (
    Case("analysis.convexity/chain", ("convexity",), "identity", _chain_dense,
         lambda x: hand.difference_spectrum(x.size).astype(x.dtype),
         Domain(lambda rng, n: (vector(rng, n),), ((8,), (3,))), SPECTRUM,
         "second difference, v_i = sin(i theta)"),
    Case("analysis.convexity/lanczos", ("convexity",), "identity", _chain_lanczos, _chain_ends,
         Domain(lambda rng: (vector(rng, STEPS),)), SPECTRUM, "Parlett (1998), chapter 13"),
    Case("analysis.convexity/ridge-spectrum", BOTH, "identity",
         lambda *args: convexity.hessian_spectrum(_ridge_objective, *args).values,
         lambda w, X, y, s, l2: hand.ridge_spectrum(X, l2=l2, sample_weight=s),
         Domain(_penalized, ((20, 4), (9, 1))), SPECTRUM, "ESL (2009), eq. (3.44)"),
    Case("analysis.convexity/ridge-constants", BOTH, "identity", _ridge_constants,
         lambda w, X, y, s, l2: hand.ridge_constants(X, l2=l2, sample_weight=s),
         Domain(_penalized, ((20, 4),)), SPECTRUM, "Nesterov (2018), section 2.1"),
    Case("analysis.convexity/logistic-spectrum", BOTH, "identity",
         lambda *args: convexity.hessian_spectrum(_logistic_objective, *args).values,
         lambda w, X, y, s, l2: hand.logistic_spectrum(w, X, l2=l2, sample_weight=s),
         Domain(_classified, ((20, 4), (9, 1))), SPECTRUM, "ESL (2009), eq. (4.25)"),
    Case("analysis.convexity/logistic-constants", BOTH, "bound", _logistic_ends, _logistic_bounds,
         Domain(_classified, ((20, 4),)), ROUNDING, "0 < sigma'(z) <= 1/4",
         mutants=(_without_the_quarter, _with_twice_the_penalty)),
    Case("analysis.convexity/softmax-spectrum", ("convexity", "softmax-regression"), "identity",
         _softmax_spectrum, lambda t: hand.softmax_spectrum(5, t),
         Domain(lambda rng: (rng.uniform(1.5, 6.0),)), SPECTRUM, "diag(s) - ss' by symmetry"),
    Case("analysis.convexity/two-by-two", ("convexity",), "identity", _plane_spectrum,
         hand.two_by_two, Domain(lambda rng: tuple(vector(rng, 3))), SPECTRUM,
         "characteristic polynomial"),
    Case("analysis.convexity/quadratic-segment", BOTH, "identity", _quadratic_violation,
         hand.quadratic_violation, Domain(_segment, ((4,), (1,))), WITNESS,
         "Nesterov (2018), eq. (2.1.20)"),
    Case("analysis.convexity/mse-after-sigmoid", ("mse-classification", "convexity"), "identity",
         _mse_violation, hand.sigmoid_mse_violation, Domain(_wrong_side), WITNESS,
         "f'' = r^2 (1-r) (2 - 3r) < 0 for z < -log 2"),
    Case("analysis.convexity/mse-witness", ("mse-classification", "convexity"), "bound",
         lambda a, b: -_mse_violation(a, b), lambda a, b: -1e-3 * jnp.ones_like(a),
         Domain(_wrong_side), EXACT, "a segment on which it lies above its chord: not convex",
         mutants=(lambda a, b: -jnp.ones_like(a),)),
    Case("analysis.convexity/cross-entropy-segment", ("mse-classification", "convexity"), "bound",
         _cross_entropy_violation, _strictly_below, Domain(_wrong_side), EXACT,
         "Taylor with the least curvature on the segment", mutants=(_far_below,)),
    *(_rule(name) for name in
      ("squared", "huber", "logistic", "squared_hinge", "softmax_cross_entropy")),
    _curvature("logistic", lambda rng, n: labels(rng, n, 2).astype(float)),
    _curvature("huber", vector),
    _curvature("squared_hinge", signs),
)  # fmt: skip
