"""Kernels: derivatives, explicit features, Gram matrices that are positive semi-definite."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxml import _lapack, kernels
from jaxml._typing import Array
from jaxml.closed_form import kernels as hand
from jaxml.kernels import RBF, Laplacian, Linear, Polynomial, gram
from jaxml.verify.case import ROUNDING, Case, Point, Tolerance, point
from jaxml.verify.domains import Domain, Generator, Numbers, away_from, vector

__all__ = ["CASES", "SPECIAL"]

TOPIC = ("kernel-trick",)
SS = "Schoelkopf, Smola (2002), "
TERMS = 20  # (2 gamma x z)^k / k! is below rounding for |x| <= 1 and gamma <= 1/2
PSD = Tolerance(1e-11, 1e-4, "rounding of an eigenvalue of a matrix of norm about n", scale=1.0)


def _pair(rng: Generator, d: int) -> tuple[Numbers, Numbers]:
    return vector(rng, d, scale=0.5), vector(rng, d, scale=0.5)


def _pair_gamma(rng: Generator, d: int) -> tuple[Any, Numbers]:
    x, z = _pair(rng, d)
    return (rng.uniform(0.1, 0.5), z + away_from(x - z, (0.0,))), z


def _pair_polynomial(rng: Generator, d: int) -> Point:
    x, z = _pair(rng, d)
    gamma, coef0 = rng.uniform(0.1, 0.5), rng.uniform(0.2, 1.0)
    return point((gamma, coef0, x), z, degree=3.0)


def _coincident(key: Any, dtype: Any) -> tuple[Any, Array]:
    del key
    z = jnp.array([0.5, -1.0], dtype)
    return (jnp.asarray(0.7, dtype), z), z


def _points(rng: Generator, n: int, d: int) -> tuple[Numbers]:
    return (rng.standard_normal((n, d)),)


def _points_polynomial(rng: Generator, n: int, d: int) -> Point:
    return point(*_points(rng, n, d), gamma=rng.uniform(0.2, 1.0), coef0=rng.uniform(0.2, 1.0))


def _line(rng: Generator, n: int) -> Point:
    return point(rng.uniform(-1.0, 1.0, n), gamma=rng.uniform(0.1, 0.5))


def _ordered(rng: Generator, n: int) -> Point:
    return point(rng.uniform(0.1, 1.0, n).cumsum(), gamma=rng.uniform(0.1, 0.5))


PAIR, PAIR_GAMMA = Domain(_pair, ((4,), (1,))), Domain(_pair_gamma, ((4,), (1,)))
PAIR_POLYNOMIAL = Domain(_pair_polynomial, ((4,), (1,)))
POINTS, POLYNOMIAL = Domain(_points, ((9, 2), (4, 6))), Domain(_points_polynomial, ((7, 3), (5, 1)))
LINE, ORDERED = Domain(_line, ((8,),)), Domain(_ordered, ((8,),))


def _linear(x: Array, z: Array) -> Array:
    return Linear()(x, z)


def _polynomial(theta: Any, z: Array, *, degree: Array) -> Array:
    gamma, coef0, x = theta
    return Polynomial(degree, gamma, coef0)(x, z)


def _rbf(theta: Any, z: Array) -> Array:
    gamma, x = theta
    return RBF(gamma)(x, z)


def _laplacian(theta: Any, z: Array) -> Array:
    gamma, x = theta
    return Laplacian(gamma)(x, z)


def _squared(F: Array) -> Array:
    return jnp.matmul(F, F.T, precision="highest")


FAMILY = {
    "linear": Linear(), "polynomial": Polynomial(3.0, 0.5, 0.7), "rbf": RBF(0.4),
    "laplacian": Laplacian(0.3),
}  # fmt: skip


def _least_eigenvalues(X: Array) -> dict[str, Array]:
    return {name: -_lapack.eigvalsh(gram(kernel, X))[0] for name, kernel in FAMILY.items()}


def _never_negative(X: Array) -> dict[str, Array]:
    return dict.fromkeys(FAMILY, 0.0 * X[0, 0])


def _pairwise(X: Array) -> dict[str, Array]:
    def pairs(kernel: kernels.Kernel) -> Array:
        return jax.vmap(lambda x: jax.vmap(lambda z: kernel(x, z))(X))(X)

    return {name: pairs(kernel) for name, kernel in FAMILY.items()}


CASES = (
    Case("kernels.linear/gradient", TOPIC, "gradient", jax.grad(_linear), hand.linear, PAIR,
         ROUNDING, "k = x'z", _linear),
    Case("kernels.polynomial/gradient", TOPIC, "gradient", jax.grad(_polynomial), hand.polynomial,
         PAIR_POLYNOMIAL, ROUNDING, SS + "section 2.3, chain rule", _polynomial),
    Case("kernels.rbf/gradient", TOPIC, "gradient", jax.grad(_rbf), hand.rbf, PAIR_GAMMA, ROUNDING,
         SS + "eq. (2.77), chain rule", _rbf),
    Case("kernels.laplacian/gradient", TOPIC, "gradient", jax.grad(_laplacian), hand.laplacian,
         PAIR_GAMMA, ROUNDING, "chain rule through sum_j |x_j - z_j|", _laplacian),
    Case("kernels.gram/pairs", TOPIC, "identity",
         lambda X: {name: gram(kernel, X) for name, kernel in FAMILY.items()}, _pairwise, POINTS,
         ROUNDING, "K_ij = k(x_i, x_j)"),
    Case("kernels.polynomial/feature-map", TOPIC, "identity",
         lambda X, gamma, coef0: gram(Polynomial(3.0, gamma, coef0), X),
         lambda X, **kw: _squared(hand.polynomial_features(X, degree=3, **kw)), POLYNOMIAL,
         ROUNDING, SS + "proposition 2.1", symmetric=True),
    Case("kernels.rbf/feature-map", TOPIC, "identity",
         lambda x, gamma: gram(RBF(gamma), x[:, None]),
         lambda x, gamma: _squared(hand.rbf_features(x, gamma=gamma, terms=TERMS)), LINE,
         ROUNDING, "Taylor series of exp(2 gamma x z)", symmetric=True),
    Case("kernels.laplacian/factor", TOPIC, "identity",
         lambda x, gamma: gram(Laplacian(gamma), x[:, None]),
         lambda x, gamma: _squared(hand.laplacian_factor(x, gamma=gamma)), ORDERED,
         ROUNDING, "covariance of a stationary Markov chain", symmetric=True),
    Case("kernels/positive-semidefinite", TOPIC, "bound",
         _least_eigenvalues, _never_negative, POINTS, PSD, SS + "definition 2.5, theorem 13.2",
         mutants=(lambda X: dict.fromkeys(FAMILY, 0.0 * X[0, 0] - 0.1),)),
)  # fmt: skip
SPECIAL = (
    Case("kernels.rbf/gradient@coincident", TOPIC, "identity", jax.grad(_rbf),
         lambda theta, z: (0.0 * z[0], 0.0 * z), _coincident, ROUNDING._replace(scale=1.0),
         "dk/dx = -2 gamma (x - z) k = 0"),
    Case("kernels.laplacian/gradient@coincident", TOPIC, "identity", jax.grad(_laplacian),
         lambda theta, z: (0.0 * z[0], 0.0 * z), _coincident, ROUNDING._replace(scale=1.0),
         "the subgradient 0 of |r_j|"),
)  # fmt: skip
