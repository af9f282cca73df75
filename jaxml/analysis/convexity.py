"""Is a loss convex? REFUTED with a witness, NOT_REFUTED by sampling, or PROVED by rule.

    violation(a, b, t) = f(t a + (1-t) b) - t f(a) - (1-t) f(b) + mu/2 t (1-t) ||a - b||^2

f is convex iff it is <= 0 for mu = 0, all a, b in the domain and all t in [0, 1]; strictly convex
if < 0 for a != b, 0 < t < 1; strongly convex with modulus mu if <= 0 for a mu > 0. A positive one,
beyond rounding, refutes; a Hessian with a negative eigenvalue v'Hv tells where to look: x +- h v.
No number of samples proves anything: that is left to the rules of ``jaxml.analysis.rules``.

Reference: Boyd, Vandenberghe (2004), Convex Optimization, section 3.1; Nesterov (2018), Lectures on
Convex Optimization, eq. (2.1.20), for the inequality with mu.
"""

from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxml import _check
from jaxml._typing import Array, Key, PyTree, Scalar
from jaxml.analysis import rules
from jaxml.analysis.segments import Witness, midpoint_violation, search, select, worst
from jaxml.analysis.spectrum import (
    Spectrum,
    condition_number,
    hessian_spectrum,
    smoothness,
    strong_convexity,
)

__all__ = [
    "Classification", "Evidence", "Spectrum", "Witness", "classify", "condition_number",
    "hessian_spectrum", "midpoint_violation", "smoothness", "strong_convexity",
]  # fmt: skip

HESSIANS = 16  # samples at which classify forms the Hessian


class Evidence(IntEnum):
    """What is known of a claim."""

    REFUTED = 0  # by a witness, or by a rule
    NOT_REFUTED = 1  # nothing sampled speaks against it
    PROVED = 2  # by a rule


class Classification(NamedTuple):
    """What classify found."""

    convex: Evidence
    strictly_convex: Evidence
    strongly_convex: Evidence  # with modulus mu where mu > 0 was asked, else with some modulus
    witness: Witness | None  # the clearest refutation of convexity, in float64
    flat: Witness | None  # a segment affine to rounding: speaks against strictness, proves nothing
    curvature: float  # the least Hessian eigenvalue seen, no modulus is larger; inf if no Hessian
    modulus: float  # a proved modulus of strong convexity, 0 if none
    basis: str  # what the verdict rests on, in words


def classify(
    loss: Callable[..., Scalar],
    sample: Callable[[Key], PyTree],
    *args: Any,
    key: Key,
    n_samples: int = 128,
    mu: float = 0.0,
) -> Classification:
    """Say what is known of the convexity of loss(params, *args) on the domain of sample.

    Segments between samples, also shortened ones, are tried first, then segments along the
    eigenvector of the Hessian's smallest eigenvalue where that is below -10 n eps ||H||. All of it
    runs in float64 within this call, whatever the dtype of the samples and of jax_enable_x64, so
    REFUTED never rests on float32 rounding. It is the mathematics of the code that is judged: data
    closed over keep their dtype.

    PROVED comes from two sources alone: ``loss`` is an ``Expression`` of jaxml.analysis.rules, or
    its code shows a quadratic with a positive definite Hessian (``rules.quadratic``). Strictness of
    other functions is never PROVED, and REFUTED only with convexity: softplus at 1000 cannot be
    told from a line in any dtype. ``flat`` shows the evidence.

    Args:
      loss: Real-valued. With no Hessian (a kink) the segments decide.
      sample: key -> params in the interior of the domain, which is convex. What it never draws is
        never tested.
      args: Passed on to loss.
      key: Random key for the samples.
      n_samples: How many, >= 2.
      mu: A modulus of strong convexity to test, >= 0; 0 asks for convexity alone.

    Raises:
      ValueError: n_samples < 2, mu < 0, or the loss is not finite at any sample.

    Example:
      >>> verdict = classify(lambda x: x**4 - x**2, jax.random.normal, key=jax.random.key(0))
      >>> verdict.convex.name, bool(verdict.witness.refutes)
      ('REFUTED', True)
    """
    n_samples = _check.integer("n_samples", n_samples, 2)
    if not mu >= 0:
        raise ValueError(f"mu must be >= 0: got {mu}")
    points = jax.vmap(sample)(jax.random.split(key, n_samples))
    with jax.enable_x64(True):  # for this thread, until the block ends
        points, args = jax.tree.map(_wide, (points, args))
        unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], points))[1]
        x = jax.vmap(lambda p: ravel_pytree(p)[0])(points)

        def f(x: Array) -> Scalar:
            return loss(unravel(x), *args)

        found = jax.jit(partial(search, f, n_hessians=HESSIANS))(x, mu=mu)
        proved = loss.curvature if isinstance(loss, rules.Expression) else rules.quadratic(f, x[0])
    found = jax.tree.map(np.asarray, found)
    if not np.isfinite(found.between.violation).any():
        raise ValueError("the loss is not finite on any segment: does sample draw its domain?")
    slack = 10 * x.shape[1] * np.finfo(np.float64).eps * found.high
    witness = worst([found.between, select(found.along, found.low < -slack)])
    whole = jax.tree.map(lambda v: v[:, 0], found.along)  # the longest segment of each point
    level = (np.abs(found.low) <= slack) & (np.abs(whole.violation) <= whole.tolerance)
    flat = jax.tree.map(lambda v: v[level.argmax()], whole) if level.any() else None

    def like_params(w: Witness | None) -> Witness | None:
        if w is None:
            return None
        with jax.enable_x64(True):  # float32 would move the witness
            a, b, t, violation, tolerance = map(jnp.asarray, w)
            return Witness(unravel(a), unravel(b), t, violation, tolerance)

    named = isinstance(loss, rules.Expression)
    return _conclude(
        like_params(witness), like_params(flat), proved,
        curvature=float(np.min(found.low, initial=np.inf, where=np.isfinite(found.low))),
        mu=mu, weak=mu > 0 and worst([found.weak]) is not None,
        basis=loss.basis if named else None,
    )  # fmt: skip


def _wide(leaf: Any) -> Any:
    real = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
    return leaf.astype(jnp.float64) if real else leaf


def _conclude(
    witness: Witness | None,
    flat: Witness | None,
    proved: rules.Curvature | None,
    *,
    curvature: float,
    mu: float,
    weak: bool,
    basis: str | None,
) -> Classification:
    if witness is not None:
        no = Evidence.REFUTED
        text = f"the segment at t = {float(witness.t):g} violates convexity"
        return Classification(no, no, no, witness, flat, curvature, 0.0, text)
    grade = {True: Evidence.PROVED, False: Evidence.REFUTED, None: Evidence.NOT_REFUTED}
    known = proved or rules.Curvature(None, None, 0.0, np.inf)
    strong = grade[known.strong]
    if mu > 0:
        strong = Evidence.PROVED if known.mu >= mu else Evidence.NOT_REFUTED
        if weak or known.strong is False or mu > known.L:
            strong = Evidence.REFUTED
    return Classification(
        convex=Evidence.NOT_REFUTED if proved is None else Evidence.PROVED,
        strictly_convex=grade[known.strict],
        strongly_convex=strong,
        witness=None,
        flat=flat,
        curvature=curvature,
        modulus=known.mu,
        basis=basis or ("a constant Hessian" if proved else "samples"),
    )
