"""Gaussian mixtures and expectation-maximization."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.latent import gmm as hand
from jaxml.closed_form.latent import kmeans as hand_kmeans
from jaxml.latent import gmm
from jaxml.latent.gmm import Params
from jaxml.verify.case import ROUNDING, SOLVE, Case, Point, Tolerance, point
from jaxml.verify.domains import Domain, Generator, Numbers

__all__ = ["CASES", "SPECIAL"]

GMM, EM = ("gmm",), ("em",)
SHAPES = ((12, 2, 2), (7, 3, 1))  # n, k, d
BISHOP = "Bishop (2006), "


def _mixture(rng: Generator, n: int, k: int, d: int) -> tuple[Params, Numbers, Numbers]:
    """Overlapping components, and rows near their means."""
    A = np.eye(d) + 0.4 * rng.uniform(-1.0, 1.0, size=(k, d, d))
    S: Numbers = A @ A.transpose(0, 2, 1) + 0.2 * np.eye(d)
    means: Numbers = 1.5 * rng.standard_normal((k, d))
    X = means[rng.permutation(n) % k] + rng.standard_normal((n, d))
    pi = rng.uniform(0.5, 1.5, size=k)
    return Params(pi / pi.sum(), means, S), X, rng.uniform(0.5, 2.0, size=n)


def _drawn(kind: str, rng: Generator, n: int, k: int, d: int) -> Point:
    params, X, s = _mixture(rng, n, k, d)
    S = params.covariances
    v = np.diagonal(S, axis1=1, axis2=2)
    shaped = {"full": S, "tied": S[:1], "diag": v, "spherical": v[:, 0]}[kind]
    return point(params._replace(covariances=shaped), X, sample_weight=s)


def _rows(rng: Generator, n: int, k: int, d: int) -> Point:
    _, X, s = _mixture(rng, n, k, d)
    return point(X, sample_weight=s)


def _with_q(rng: Generator, n: int, k: int, d: int) -> Point:
    at = _drawn("full", rng, n, k, d)
    q = rng.dirichlet(np.ones(k), size=n)
    return point(*at.args, q, **at.kwargs)


def _apart(rng: Generator, n: int, k: int, d: int) -> Point:
    """Centroids 4 apart and rows within 1, where exp(-gap / 2v) is 0 for a small v."""
    C = 4.0 * rng.permutation(k)[:, None] + rng.uniform(-0.3, 0.3, size=(k, d))
    X = C[rng.permutation(n) % k] + rng.uniform(-1.0, 1.0, size=(n, d)) / d
    return point((C,), X, sample_weight=rng.uniform(0.5, 2.0, size=n))


KINDS = ("full", "tied", "diag", "spherical")
DRAWS = {kind: Domain(partial(_drawn, kind), SHAPES[:1]) for kind in KINDS}
FULL, WITH_Q = Domain(partial(_drawn, "full"), SHAPES), Domain(_with_q, SHAPES[:1])


# -- the gradient, weights on the simplex: pi = softmax(a)
def _simplex(params: Params) -> Params:
    return params._replace(weights=jnp.log(params.weights))


def _score_of_logits(params: Params, X: Array, *, sample_weight: Array) -> Array:
    params = params._replace(weights=jax.nn.softmax(params.weights))
    return gmm.score(params, X, sample_weight=sample_weight)


def _gradient(params: Params, X: Array, *, sample_weight: Array) -> Any:
    params = params._replace(weights=jax.nn.softmax(params.weights))
    return Params(*hand.gradient(params, X, sample_weight=sample_weight))


# -- the ELBO
def _elbo(params: Params, X: Array, q: Array, *, sample_weight: Array) -> Array:
    """At q between the posterior and any other distribution, nearer to the posterior."""
    q = 0.9 * gmm.responsibilities(params, X) + 0.1 * q
    return gmm.elbo(params, X, q, sample_weight=sample_weight)


def _score(params: Params, X: Array, q: Array, *, sample_weight: Array) -> Array:
    del q
    return hand.score(params, X, sample_weight=sample_weight)


def _tight(params: Params, X: Array, *, sample_weight: Array) -> Array:
    q = gmm.responsibilities(params, X)
    return gmm.elbo(params, X, q, sample_weight=sample_weight)


def _missed(params: Params, X: Array, q: Array, *, sample_weight: Array) -> Array:
    L = gmm.score(params, X, sample_weight=sample_weight)
    return L - gmm.elbo(params, X, q, sample_weight=sample_weight)


def _slope_at_step(params: Params, X: Array, *, sample_weight: Array) -> Any:
    """The gradient of the ELBO at q = r, at the params after one step."""
    q = gmm.responsibilities(params, X)
    new = _simplex(_step(params, X, sample_weight=sample_weight))

    def bound(new: Params) -> Array:
        new = new._replace(weights=jax.nn.softmax(new.weights))
        return gmm.elbo(new, X, q, sample_weight=sample_weight)

    return jax.grad(bound)(new)


def _step(params: Params, X: Array, *, sample_weight: Array) -> Params:
    return gmm.em_step(params, X, reg_covar=0.0, sample_weight=sample_weight)


def _after(steps: int, step: Callable, params: Any, X: Array, sample_weight: Array) -> Any:
    for _ in range(steps):
        params = step(params, X, sample_weight=sample_weight)
    return params


def _loss_after_two(params: Params, X: Array, *, sample_weight: Array) -> Array:
    traced = gmm.trace(params, X, n_steps=2, reg_covar=0.0, sample_weight=sample_weight)
    return -traced[2]


def _loss_after_one(params: Params, X: Array, *, sample_weight: Array) -> Array:
    params = _after(1, hand.em_step, params, X, sample_weight)
    return -hand.score(params, X, sample_weight=sample_weight)


def _lower(f: Callable, by: float) -> Callable:
    return lambda *args, **kwargs: f(*args, **kwargs) - by


# -- k-means as the limit
SMALL = 0.01


def _narrow(C: Array) -> Params:
    k = C.shape[0]
    return Params(jnp.full(k, 1.0 / k, C.dtype), C, jnp.full(k, SMALL, C.dtype))


def _distortion(params: tuple, X: Array, *, sample_weight: Array) -> Array:
    """-2 v (L + d/2 log(2 pi v) + log k), which tends to J/s as v vanishes."""
    (C,) = params
    k, d = C.shape
    L = gmm.score(_narrow(C), X, sample_weight=sample_weight)
    return -2 * SMALL * (L + 0.5 * d * jnp.log(2 * jnp.pi * SMALL) + jnp.log(float(k)))


def _mean_inertia(params: tuple, X: Array, *, sample_weight: Array) -> Array:
    return hand_kmeans.inertia(params, X, sample_weight=sample_weight) / sample_weight.sum()


def _narrow_step(params: tuple, X: Array, *, sample_weight: Array) -> tuple:
    return (_step(_narrow(params[0]), X, sample_weight=sample_weight).means,)


# -- one component
def _one(X: Array, *, sample_weight: Array) -> Params:
    d = X.shape[1]
    start = Params(jnp.ones(1, X.dtype), X[:1], jnp.eye(d, dtype=X.dtype)[None])
    how = {"n_components": 1, "init": start, "reg_covar": 0.1, "tol": 1e-9}
    return gmm.fit(X, sample_weight=sample_weight, **how).params


def _one_moments(X: Array, *, sample_weight: Array) -> tuple[Array, Array]:
    found = _one(X, sample_weight=sample_weight)
    return found.means, found.covariances


APART, ROWS = Domain(_apart, SHAPES[:1]), Domain(_rows, ((7, 1, 2),))
BOUND = Tolerance(1e-12, 1e-5, "rounding of a mean")
FLAT = Tolerance(1e-11, 1e-4, "rounding, where terms of size 1 cancel", scale=1.0)
LIMIT = Tolerance(1e-12, 1e-3, "rounding over the small variance")

CASES = (
    *(Case(f"latent.gmm/gradient-{kind}", GMM, "gradient",
           jax.grad(_score_of_logits), _gradient, draw, SOLVE._replace(float64=1e-11),
           BISHOP + "eq. (9.16), (9.19), (9.22)", _score_of_logits)
      for kind, draw in DRAWS.items()),
    Case("latent.gmm/score", GMM, "identity",
         gmm.score, hand.score, FULL, ROUNDING, BISHOP + "eq. (9.14)"),
    Case("latent.gmm/responsibilities", GMM, "identity",
         lambda params, X, sample_weight: gmm.responsibilities(params, X),
         lambda params, X, sample_weight: hand.responsibilities(params, X), FULL,
         ROUNDING._replace(float32=1e-4), BISHOP + "eq. (9.13)"),
    Case("latent.gmm/one-component", GMM, "solution",
         _one, lambda X, **kw: hand.sample_moments(X, reg_covar=0.1, **kw), ROWS,
         ROUNDING, BISHOP + "eq. (2.121), (2.122)"),
    Case("latent.gmm/fit-derivative", GMM, "identity",
         jax.jacrev(_one_moments), hand.fit_derivative, ROWS, SOLVE,
         "derivative of mean and covariance"),
    Case("latent.gmm/kmeans-limit-objective", (*GMM, "kmeans"), "identity",
         _distortion, _mean_inertia, APART, LIMIT, BISHOP + "eq. (9.43)"),
    Case("latent.gmm/kmeans-limit-step", (*GMM, "kmeans"), "identity",
         _narrow_step, hand_kmeans.means, APART, ROUNDING, BISHOP + "section 9.3.2"),
    Case("latent.em/elbo-bound", EM, "bound",
         _elbo, _score, WITH_Q, BOUND, BISHOP + "eq. (9.70): Jensen",
         mutants=(_lower(_score, 0.1),)),
    Case("latent.em/elbo-equality", EM, "identity",
         _tight, hand.score, FULL, ROUNDING, BISHOP + "eq. (9.70) at q = r"),
    Case("latent.em/elbo-gap", EM, "identity",
         _missed, hand.divergence, WITH_Q, SOLVE, BISHOP + "eq. (9.72)"),
    *(Case(f"latent.em/m-step-{kind}", EM, "solution",
           _step,
           lambda params, X, **kw: Params(*hand.em_step(params, X, **kw)), draw,
           SOLVE._replace(float64=1e-11), BISHOP + "eq. (9.17), (9.19), (9.22)")
      for kind, draw in DRAWS.items()),
    Case("latent.em/m-step-stationary", EM, "identity",
         _slope_at_step, lambda params, X, **kw: jax.tree.map(jnp.zeros_like, params),
         DRAWS["full"], FLAT, "the ELBO at q = r has no slope where the step ends"),
    Case("latent.em/never-decreases", EM, "bound",
         _loss_after_two, _loss_after_one, FULL, BOUND, "Dempster, Laird, Rubin (1977), theorem 1",
         mutants=(_lower(_loss_after_one, 0.5),)),
)  # fmt: skip
SPECIAL = ()
