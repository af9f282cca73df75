"""The convexity inequality on segments, and where to look for a segment that breaks it.

    violation(a, b, t) = f(t a + (1-t) b) - t f(a) - (1-t) f(b) + mu/2 t (1-t) ||a - b||^2

Two searches: segments between the samples, whole and shortened, which find any failure of some
size; and segments x +- h v along the eigenvector v of the Hessian's smallest eigenvalue where that
is negative, which find the narrow ones. An eigenvalue down to -10 n eps ||H|| counts as zero.

Reference: Nesterov (2018), Lectures on Convex Optimization, eq. (2.1.20).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml import _lapack
from jaxml._typing import Array, Bool, PyTree, Real, Scalar
from jaxml.analysis.spectrum import DENSE

__all__ = ["Search", "Witness", "midpoint_violation", "search", "select", "worst"]

STEPS = 0.25 ** np.arange(1, 9)  # half lengths h of the segments x +- h v, over max(1, |x|)
PLACES = (0.25, 0.5, 0.75)  # t
LENGTHS = (1.0, 1 / 8, 1 / 64, 1 / 512)  # of a segment, over the distance of the samples


class Witness(NamedTuple):
    """A segment and how it stands to the convexity inequality."""

    a: PyTree  # one end, like params
    b: PyTree  # the other end
    t: Scalar  # the point tested is t a + (1-t) b
    violation: Scalar  # as defined at the top of jaxml.analysis.segments
    tolerance: Scalar  # what rounding can fake

    @property
    def refutes(self) -> Bool[Array, ""]:
        """Whether the violation is beyond rounding; False where the loss is not finite."""
        return self.violation > self.tolerance


def midpoint_violation(
    loss: Callable[..., Scalar], a: PyTree, b: PyTree, *args: Any, t: Real = 0.5, mu: Real = 0.0
) -> Witness:
    """Evaluate the convexity inequality on the segment from a to b.

    The tolerance is 100 eps times the size of the terms, |f| at the three points and |grad f||m| at
    the inner one, m, which is itself rounded.

    Args:
      loss: loss(params, *args) -> scalar.
      a: One end; a pytree like params.
      b: The other end.
      args: Passed on to loss.
      t: Where on the segment, in [0, 1]; traced.
      mu: The modulus of strong convexity to test; traced.

    Returns:
      The witness; ``witness.refutes`` says whether it is one.

    Example:
      >>> w = midpoint_violation(jnp.sin, jnp.array(0.0), jnp.array(2.0))
      >>> round(float(w.violation), 4), bool(w.refutes)  # sin 1 - (sin 0 + sin 2)/2
      (0.3868, True)
    """
    inner = jax.tree.map(lambda a, b: t * a + (1 - t) * b, a, b)
    f_a, f_b = loss(a, *args), loss(b, *args)
    f_m, slope = jax.value_and_grad(loss)(inner, *args)
    gap = sum(jnp.sum((a - b) ** 2) for a, b in zip(*map(jax.tree.leaves, (a, b)), strict=True))
    bend = 0.5 * mu * t * (1 - t) * gap
    travel = zip(*map(jax.tree.leaves, (slope, inner)), strict=True)
    # A slope may be inf or NaN at a point where f is finite: then it says nothing of rounding.
    moved = jnp.nan_to_num(sum(jnp.sum(jnp.abs(g * m)) for g, m in travel), posinf=0.0)
    size = jnp.abs(f_m) + t * jnp.abs(f_a) + (1 - t) * jnp.abs(f_b) + moved + bend
    violation = f_m - t * f_a - (1 - t) * f_b + bend
    tolerance = 100 * jnp.finfo(violation.dtype).eps * size
    return Witness(a, b, jnp.asarray(t, violation.dtype), violation, tolerance)


class Search(NamedTuple):
    """What ``search`` evaluated; every leaf of a Witness has one leading axis of segments."""

    between: Witness  # between the samples, m = 0
    weak: Witness  # the same with the modulus mu
    along: Witness  # x +- h v; axes (points, STEPS)
    low: Array  # (points,) the smallest eigenvalue; NaN where there is no Hessian
    high: Array  # (points,) ||H||


def search(f: Callable[[Array], Scalar], x: Array, *, n_hessians: int, mu: Real) -> Search:
    """Evaluate f on all segments; x (m, n) are the samples. One compilation serves the whole."""
    t, length = (v.ravel() for v in np.meshgrid(np.array(PLACES), np.array(LENGTHS), indexing="ij"))

    def near(mu: Real) -> Witness:
        def one(a: Array, b: Array, t: Scalar, length: Scalar) -> Witness:
            return midpoint_violation(f, a, a + length * (b - a), t=t, mu=mu)

        every = jax.vmap(jax.vmap(one, in_axes=(None, None, 0, 0)), in_axes=(0, 0, None, None))
        return jax.tree.map(
            lambda v: v.reshape(-1, *v.shape[2:]),
            every(x, jnp.roll(x, 1, axis=0), jnp.asarray(t, x.dtype), jnp.asarray(length, x.dtype)),
        )

    def around(x: Array) -> tuple[Witness, Scalar, Scalar]:
        values, vectors = _lapack.eigh(jax.hessian(f)(x))
        h = jnp.asarray(STEPS, x.dtype) * jnp.maximum(1.0, jnp.abs(x).max())
        v = vectors[:, 0]
        trial = jax.vmap(lambda h: midpoint_violation(f, x - h * v, x + h * v))(h)
        return trial, values[0], jnp.abs(values).max()

    close = near(0.0)
    if x.shape[1] > DENSE:
        none = jax.tree.map(lambda v: v[:0, None], close)
        return Search(close, near(mu), none, jnp.full(1, jnp.nan), jnp.full(1, jnp.nan))
    return Search(close, near(mu), *jax.vmap(around)(x[:n_hessians]))


def select(w: Witness, keep: Array) -> Witness:
    """The segments of w at the points that keep marks, in one list."""
    return jax.tree.map(lambda v: v[keep].reshape(-1, *v.shape[2:]), w)


def worst(tried: list[Witness]) -> Witness | None:
    """The segment whose violation is most above its tolerance; None if none refutes."""
    best, chosen = 1.0, None
    for w in tried:
        ratio = np.where(w.refutes, w.violation / np.maximum(w.tolerance, 1e-300), 0.0)
        if ratio.size and ratio.max() > best:
            best, chosen = ratio.max(), Witness(*(v[ratio.argmax()] for v in w))
    return chosen
