"""k-means: its two steps, the stationary centroids, their derivatives, and a bad local minimum."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml._typing import Array
from jaxml.closed_form.latent import kmeans as hand
from jaxml.latent import kmeans
from jaxml.latent.kmeans import Params
from jaxml.verify.case import ROUNDING, SOLVE, Case, Point, Tolerance, point
from jaxml.verify.domains import Domain, Generator, Numbers

__all__ = ["CASES", "SPECIAL"]

TOPIC = ("kmeans",)
SHAPES = ((12, 3, 2), (7, 2, 1))  # n, k, d
BISHOP = "Bishop (2006), "


def _apart(rng: Generator, n: int, k: int, d: int) -> tuple[Numbers, Numbers, Numbers]:
    """Centroids 4 apart, rows within 1 of one of them: no label changes nearby, none is empty."""
    C = 4.0 * rng.permutation(k)[:, None] + rng.uniform(-0.3, 0.3, size=(k, d))
    X = C[rng.permutation(n) % k] + rng.uniform(-1.0, 1.0, size=(n, d)) / d
    return C, X, rng.uniform(0.5, 2.0, size=n)


def _at_centroids(rng: Generator, n: int, k: int, d: int) -> Point:
    C, X, s = _apart(rng, n, k, d)
    return point(Params(C), X, sample_weight=s)


def _rows_first(rng: Generator, n: int, k: int, d: int) -> Point:
    C, X, s = _apart(rng, n, k, d)
    return point(X, Params(C), sample_weight=s)


def _anywhere(rng: Generator, n: int, k: int, d: int) -> Point:
    """Centroids at rows, any labels: what steps from a bad start must improve."""
    X: Numbers = rng.standard_normal((n, d))
    labels = rng.permutation(n) % k
    return point(Params(X[:k]), X, labels.astype("int32"), sample_weight=rng.uniform(0.5, 2.0, n))


def _on_a_line(rng: Generator, n: int) -> Point:
    x = rng.standard_normal(n) + 6.0 * (rng.permutation(n) % 2)
    return point(x, sample_weight=rng.uniform(0.5, 2.0, size=n))


def _fitted(X: Array, params: Params, **kw: Any) -> Any:
    return kmeans.fit(X, n_clusters=len(params.centroids), init=params, tol=0.0, **kw)


def _along_rows(X: Array, params: Params, *, sample_weight: Array) -> Array:
    return _fitted(X, params, sample_weight=sample_weight).params.centroids


def _least(X: Array, params: Params, *, sample_weight: Array) -> Array:
    return _fitted(X, params, sample_weight=sample_weight).info.objective


def _at_means(f: Any, X: Array, params: Params, *, sample_weight: Array) -> Any:
    found = hand.means(params, X, sample_weight=sample_weight)
    return f(X, found, sample_weight=sample_weight)


def _gained(params: Params, X: Array, *, sample_weight: Array) -> Array:
    """What one update step lowers J by."""
    before = kmeans.inertia(params, X, sample_weight=sample_weight)
    return before - _least(X, params, sample_weight=sample_weight)


def _on_line_fitted(x: Array, *, sample_weight: Array) -> tuple[Array]:
    ends = Params(jnp.stack([x.min(), x.max()])[:, None])
    C = _fitted(x[:, None], ends, sample_weight=sample_weight).params.centroids
    return (jnp.sort(C, axis=0),)


def _one_step(params: Params, X: Array, labels: Array, *, sample_weight: Array) -> Array:
    del labels
    how = {"n_clusters": len(params.centroids), "init": params, "max_iter": 1, "tol": 0.0}
    return kmeans.fit(X, sample_weight=sample_weight, **how).info.objective


def _before(params: Params, X: Array, labels: Array, *, sample_weight: Array) -> Array:
    del labels
    return hand.inertia(params, X, sample_weight=sample_weight)


def _assigned(params: Params, X: Array, labels: Array, *, sample_weight: Array) -> Array:
    del labels
    return kmeans.inertia(params, X, sample_weight=sample_weight)


def _below(bound: Any, fraction: float) -> Any:
    """A bound too low to be true."""
    return lambda *args, **kwargs: fraction * bound(*args, **kwargs)


def _two_ends(width: Array, height: Array) -> tuple[Array, ...]:
    """J where the fit ends that starts left-right, and where it ends that starts top-bottom."""
    x, y = width * jnp.array([0, 0, 1, 1]), height * jnp.array([0, 1, 0, 1])
    X = jnp.stack([x, y], axis=1).astype(width.dtype)
    return tuple(_least(X, Params(X[rows]), sample_weight=jnp.ones_like(X[:, 0]))
                 for rows in (jnp.array([0, 2]), jnp.array([0, 1])))  # fmt: skip


AT, ROWS, ANY = (
    Domain(_at_centroids, SHAPES[:1]),
    Domain(_rows_first, SHAPES[:1]),
    Domain(_anywhere, SHAPES[:1]),
)
BOUND = Tolerance(1e-12, 1e-5, "rounding of J")

CASES = (
    Case("latent.kmeans/inertia", TOPIC, "identity",
         kmeans.inertia, hand.inertia, Domain(_at_centroids, SHAPES), ROUNDING,
         BISHOP + "eq. (9.1), (9.2)"),
    Case("latent.kmeans/gradient", TOPIC, "gradient",
         jax.grad(kmeans.inertia), hand.gradient, AT, ROUNDING, BISHOP + "eq. (9.3)",
         kmeans.inertia),
    Case("latent.kmeans/stationary", TOPIC, "solution",
         lambda params, X, **kw: _fitted(X, params, **kw).params, hand.means, AT, ROUNDING,
         BISHOP + "eq. (9.4)"),
    Case("latent.kmeans/update-lowers", TOPIC, "identity",
         _gained, hand.decrease, AT, SOLVE, "Huygens: D(c) - D(m) = sum_j N_j ||m_j - c_j||^2"),
    Case("latent.kmeans/fit-on-a-line", TOPIC, "solution",
         _on_line_fitted, hand.two_on_a_line, Domain(_on_a_line, ((9,),)), ROUNDING,
         "Fisher (1958): clusters on a line are intervals"),
    Case("latent.kmeans/fit-derivative", TOPIC, "identity",
         jax.jacrev(_along_rows), partial(_at_means, hand.derivative), ROWS, ROUNDING,
         "means at fixed labels"),
    Case("latent.kmeans/envelope", TOPIC, "gradient",
         jax.grad(_least), partial(_at_means, hand.envelope), ROWS, ROUNDING._replace(stencil=1e-8),
         "envelope theorem: Danskin (1967)", _least),
    Case("latent.kmeans/assignment-never-raises", TOPIC, "bound",
         _assigned, hand.distortion, ANY, BOUND, BISHOP + "eq. (9.2)",
         mutants=(_below(hand.distortion, 0.1),)),
    Case("latent.kmeans/step-never-raises", TOPIC, "bound",
         _one_step, _before, ANY, BOUND, BISHOP + "section 9.1: each step lowers J or leaves it",
         mutants=(_below(_before, 0.3),)),
)  # fmt: skip
SPECIAL = (
    Case("latent.kmeans/local-minima@rectangle", TOPIC, "identity",
         _two_ends, hand.two_on_a_rectangle,
         Domain(lambda rng: (rng.uniform(3.0, 5.0), rng.uniform(0.5, 2.0))), ROUNDING,
         "two stationary splits of four corners, of which one is best"),
)  # fmt: skip
