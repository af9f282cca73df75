"""Support vector machines: derivatives, optimality, duality, and solutions by enumeration."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form import kernels as hand_kernels
from jaxml.closed_form.svm import dual as hand
from jaxml.closed_form.svm import primal as hand_primal
from jaxml.kernels import RBF, Linear, Polynomial, gram
from jaxml.svm import dual, primal
from jaxml.verify.case import HESSIAN, ITERATED, ROUNDING, SOLVE, Case, Point, Tolerance, point
from jaxml.verify.domains import Domain, Generator, Numbers, away_from, design, signs, vector

__all__ = ["CASES", "SPECIAL"]

TOPIC, BOTH = ("svm",), ("svm", "kernel-trick")
SS = "Schoelkopf, Smola (2002), "
IMPLICIT = ITERATED._replace(stencil=1e-6)
KKT = Tolerance(1e-9, 1e-4, "the tol of the fit; conditions in units of the margin", scale=1.0)
TIGHT = 1e-10  # of the fits here; float32 stops where it cannot go on

# Six points whose solution keeps its sets (at 0, free, at C) when they move a little, with both
# kernels: enumeration and refits then see the same branch.
POINTS = np.array([[0.2, -1.0], [-0.3, 1.9], [-0.6, -0.2], [0.3, 0.6], [1.3, 0.9], [-1.4, 0.7]])
LABELS = np.array([-1.0, 1.0, -1.0, -1.0, 1.0, -1.0])


def _near(rng: Generator) -> tuple[Any, Numbers, Numbers, Numbers]:
    """C, X, y, s around the six points."""
    s = rng.uniform(0.98, 1.02, 6)
    return rng.uniform(0.98, 1.02), POINTS + 0.02 * rng.standard_normal((6, 2)), LABELS, s


def _anywhere(rng: Generator, n: int) -> tuple[Numbers, Numbers, Numbers]:
    X = design(rng, n, 2)
    return rng.uniform(0.1, 1.0, n), np.exp(-0.5 * ((X[:, None] - X) ** 2).sum(-1)), signs(rng, n)


def _lagrangian(rng: Generator, n: int, d: int) -> tuple:
    variables = vector(rng, d), vector(rng, 1)[0], rng.uniform(0.0, 2.0, n)
    multipliers = rng.uniform(0.0, 1.0, n), rng.uniform(0.0, 1.0, n)
    return variables, design(rng, n, d), signs(rng, n), multipliers, rng.uniform(0.5, 2.0, n)


def _at_params(rng: Generator, n: int, d: int) -> Point:
    X, y, w = design(rng, n, d), signs(rng, n), vector(rng, d)
    b: Any = np.float64(0.3)
    # Margins y z keep away from the kink at 1: each row is moved along w.
    z = X @ w + b
    X = X + ((y * away_from(y * z, (1.0,), 0.1) - z) / (w @ w))[:, None] * w
    return point(primal.Params(w, b), X, y, rng.uniform(0.5, 2.0, n))


def _two_points(rng: Generator, n: int) -> tuple[Numbers, Numbers, Numbers]:
    """Two points, and n more beyond their margins, where they have no say."""
    x, z = rng.standard_normal(3) + 1.0, rng.standard_normal(3) - 1.0
    side = rng.choice([-1.0, 1.0], n)
    normal = (x - z) / np.linalg.norm(x - z)
    across = rng.standard_normal((n, 3))
    across = across - np.outer(across @ normal, normal)
    ends = np.where(side[:, None] > 0, x, z)
    return x, z, ends + np.outer(side * rng.uniform(0.3, 1.0, n), normal) + across


GAUSSIAN = RBF(0.5)
NEAR, ANYWHERE = Domain(_near), Domain(_anywhere, ((6,), (3,)))
LAGRANGIAN = Domain(_lagrangian, ((6, 2), (3, 4)))
AT_PARAMS, TWO = Domain(_at_params, ((8, 2), (4, 1))), Domain(_two_points, ((4,),))


def _fit(C: Array, X: Array, y: Array, s: Array, kernel: Any = GAUSSIAN) -> Any:
    return dual.fit(X, y, kernel=kernel, C=C, sample_weight=s, tol=TIGHT)


def _solved(C: Array, X: Array, y: Array, s: Array) -> tuple[Array, Array]:
    params = _fit(C, X, y, s).params
    return params.dual_coef, params.intercept


def _K(X: Array) -> Array:
    return jnp.exp(-0.5 * ((X[:, None, :] - X[None, :, :]) ** 2).sum(axis=-1))


def _enumerated(C: Array, X: Array, y: Array, s: Array) -> tuple:
    return hand.solution(_K(X), y, C * s)


def _derivative(C: Array, X: Array, y: Array, s: Array) -> tuple:
    K = _K(X)
    return hand.derivative_C(hand.solution(K, y, C * s), K, y, C=C, s=s)


def _violations(C: Array, X: Array, y: Array, s: Array) -> Array:
    return hand.violation(_solved(C, X, y, s), _K(X), y, C * s)


def _dual_value(C: Array, X: Array, y: Array, s: Array) -> tuple[Array, Array]:
    info = _fit(C, X, y, s).info
    return -info.objective, jnp.asarray(info.gap)


def _primal_value(C: Array, X: Array, y: Array, s: Array) -> tuple[Array, Array]:
    K = _K(X)
    return hand.primal_value(hand.solution(K, y, C * s), K, y, C * s), 0.0 * C


def _coef(C: Array, X: Array, y: Array, s: Array) -> tuple[Array, Array]:
    tol = {"sample_weight": s, "tol": TIGHT}
    in_dual = dual.coef(_fit(C, X, y, s, Linear()).params)
    return in_dual, primal.fit(X, y, C=C, **tol).params.coef


def _coef_by_hand(C: Array, X: Array, y: Array, s: Array) -> tuple[Array, Array]:
    b, _ = hand.solution(jnp.matmul(X, X.T, precision="highest"), y, C * s)
    w = hand.weights(b, X)
    return w, w


def _polynomial_fit(C: Array, X: Array, y: Array, s: Array) -> tuple[Array, Array]:
    params = _fit(C, X, y, s, Polynomial(2.0, 0.5, 1.0)).params
    return params.dual_coef, params.intercept


def _in_features(C: Array, X: Array, y: Array, s: Array) -> tuple:
    phi = hand_kernels.polynomial_features(X, degree=2, gamma=0.5, coef0=1.0)
    return hand.solution(jnp.matmul(phi, phi.T, precision="highest"), y, C * s)


def _precomputed(C: Array, X: Array, y: Array, s: Array) -> Any:
    K = gram(GAUSSIAN, X)
    params = dual.fit(K, y, kernel="precomputed", C=C, sample_weight=s, tol=TIGHT).params
    return params.dual_coef, params.intercept


def _squared(C: Array, X: Array, y: Array, s: Array) -> primal.Params:
    return primal.fit(X, y, C=C, squared=True, sample_weight=s).params


def _squared_by_hand(C: Array, X: Array, y: Array, s: Array) -> tuple:
    return hand_primal.solution_squared(X, y, C * s)


def _loss(params: primal.Params, X: Array, y: Array, t: Array) -> Array:
    return primal.loss(params, X, y, C=1.0, sample_weight=t)


def _loss_squared(params: primal.Params, X: Array, y: Array, t: Array) -> Array:
    return primal.loss(params, X, y, C=1.0, squared=True, sample_weight=t)


def _hard(x: Array, z: Array, others: Array) -> dict[str, tuple]:
    """The margin between two points, asked for by C = inf and by a large C."""
    X = jnp.concatenate([x[None], z[None], others])
    y = jnp.where(jnp.matmul(X - z[None], x - z) > 0.5 * jnp.sum((x - z) ** 2), 1.0, -1.0)
    found = {}
    for name, C in (("inf", jnp.inf), ("1e10", 1e10)):
        params = dual.fit(X, y.astype(x.dtype), kernel=Linear(), C=C, tol=TIGHT).params
        found[name] = params.dual_coef, dual.coef(params), params.intercept
    return found


def _hard_by_hand(x: Array, z: Array, others: Array) -> dict[str, tuple]:
    a, w, b = hand.two_points(x, z)
    dual_coef = jnp.concatenate([jnp.stack([a, -a]), 0.0 * others[:, 0]])
    return dict.fromkeys(("inf", "1e10"), (dual_coef, w, b))


CASES = (
    Case("svm.dual/gradient", TOPIC, "gradient", jax.grad(dual.objective), hand.gradient, ANYWHERE,
         ROUNDING, SS + "eq. (7.37)", dual.objective),
    Case("svm.dual/hessian", TOPIC, "hessian", jax.hessian(dual.objective), hand.hessian, ANYWHERE,
         HESSIAN, SS + "eq. (7.37)", dual.objective, symmetric=True),
    Case("svm.dual/lagrangian", TOPIC, "gradient", jax.grad(hand.lagrangian_value),
         hand.lagrangian_gradient, LAGRANGIAN, ROUNDING, SS + "eq. (7.33)-(7.35)",
         hand.lagrangian_value),
    Case("svm.dual/fit", TOPIC, "solution", _solved, _enumerated, NEAR, ITERATED,
         "the conditions, enumerated over 3^n sets"),
    Case("svm.dual/fit-derivative", TOPIC, "jacobian", jax.jacrev(_solved), _derivative, NEAR,
         IMPLICIT, "implicit function theorem on the free support vectors", _solved),
    Case("svm.dual/kkt", TOPIC, "identity", _violations, lambda C, X, y, s: jnp.zeros(7, X.dtype),
         NEAR, KKT, SS + "eq. (7.36)"),
    Case("svm.dual/strong-duality", TOPIC, "identity", _dual_value, _primal_value, NEAR,
         KKT, "Slater's condition holds: primal = dual, gap 0"),
    Case("svm.dual/primal-weights", TOPIC, "identity", _coef, _coef_by_hand, NEAR, ITERATED,
         SS + "eq. (7.33): w = sum a_i y_i x_i"),
    Case("svm.dual/only-through-the-kernel", BOTH, "solution", _polynomial_fit, _in_features, NEAR,
         ITERATED, SS + "section 2.2: k(x, z) = phi(x)'phi(z)"),
    Case("svm.dual/precomputed", BOTH, "solution", _precomputed, _enumerated, NEAR, ITERATED,
         "the dual holds X only in K"),
    Case("svm.primal/gradient", TOPIC, "gradient", jax.grad(_loss), hand_primal.gradient, AT_PARAMS,
         ROUNDING, "Chapelle (2007), section 2", _loss),
    Case("svm.primal/gradient-squared", TOPIC, "gradient", jax.grad(_loss_squared),
         hand_primal.gradient_squared, AT_PARAMS, ROUNDING, "Chapelle (2007), eq. (11)",
         _loss_squared),
    Case("svm.primal/hessian-squared", TOPIC, "hessian", jax.hessian(_loss_squared),
         hand_primal.hessian_squared, AT_PARAMS, HESSIAN, "Chapelle (2007), eq. (12)",
         _loss_squared),
    Case("svm.primal/fit-squared", TOPIC, "solution", _squared, _squared_by_hand, NEAR, SOLVE,
         "the conditions, enumerated over 2^n sets"),
)  # fmt: skip
SPECIAL = (
    Case("svm.dual/hard-margin@separable", TOPIC, "solution", _hard, _hard_by_hand, TWO, ITERATED,
         "two points: a = 2 / ||x - z||^2"),
)  # fmt: skip
