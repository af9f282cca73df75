"""Softmax regression and the softmax function."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxml import losses
from jaxml._typing import Array
from jaxml.closed_form.linear import logistic as hand_logistic
from jaxml.closed_form.linear import softmax as hand
from jaxml.linear import softmax
from jaxml.linear.softmax import Params
from jaxml.verify.case import (
    ELEMENTWISE,
    HESSIAN,
    ITERATED,
    ROUNDING,
    Case,
    Point,
    Tolerance,
    point,
)
from jaxml.verify.domains import (
    Domain,
    Generator,
    Numbers,
    away_from,
    design,
    labels,
    vector,
)

__all__ = ["CASES", "SPECIAL"]

TOPIC, FUNCTION = ("softmax-regression",), ("softmax",)
SHAPES = ((12, 3, 4), (6, 1, 2))
NULL = Tolerance(1e-12, 1e-5, "rounding; the answer is 0", scale=1.0)


def _at_params(rng: Generator, n: int, d: int, k: int) -> Point:
    W = away_from(rng.standard_normal((d, k)), (0.0,))
    params = Params(W, vector(rng, k))
    kw = {"l1": rng.uniform(0.1, 1.0), "l2": rng.uniform(0.1, 1.0)}
    weights = rng.uniform(0.5, 2.0, size=n)
    return point(params, design(rng, n, d), labels(rng, n, k), **kw, sample_weight=weights)


def _data(rng: Generator, n: int, d: int) -> Point:
    X, y = design(rng, n, d), labels(rng, n, 2)
    return point(X, y, l2=rng.uniform(0.1, 0.5), sample_weight=rng.uniform(0.5, 2.0, size=n))


def _scores(rng: Generator, k: int) -> tuple[Numbers]:
    return (2.0 * vector(rng, k),)


AT_PARAMS, DATA = Domain(_at_params, SHAPES), Domain(_data, ((14, 3), (6, 1)))
SCORES = Domain(_scores, ((5,), (2,)))


def _three(rng: Generator, n: int, d: int, k: int) -> Point:
    X, y = design(rng, n, d), labels(rng, n, k)
    return point(X, y, l2=rng.uniform(0.1, 0.5), sample_weight=rng.uniform(0.5, 2.0, size=n))


MANY_DATA = Domain(_three, ((15, 2, 3),))


def _probabilities(z: Array) -> Array:
    """The library's softmax: the class probabilities of a model whose scores are its features."""
    k = z.size
    identity = Params(jnp.eye(k, dtype=z.dtype), jnp.zeros(k, z.dtype))
    return softmax.predict_proba(identity, z[None, :])[0]


def _shifted(z: Array) -> Array:
    return _probabilities(z + 37.5)


def _two_class_fit(X: Array, y: Array, *, l2: Array, sample_weight: Array) -> tuple[Array, Array]:
    """The difference of the two columns, which is what a sigmoid sees."""
    fitted = softmax.fit(X, y, n_classes=2, l2=l2, sample_weight=sample_weight).params
    return fitted.coef[:, 1] - fitted.coef[:, 0], fitted.intercept[1] - fitted.intercept[0]


def _one_sigmoid(X: Array, y: Array, *, l2: Array, sample_weight: Array) -> tuple:
    # By symmetry W = (-w/2, w/2): l2/2 ||W||^2 = (l2/2) ||w||^2 / 2, so w has the penalty l2/2.
    return hand_logistic.solution(X, y, l2=0.5 * l2, sample_weight=sample_weight)


def _stationary(X: Array, y: Array, **kw: Any) -> tuple:
    """The hand gradient where the library stops."""
    params = softmax.fit(X, y, n_classes=3, **kw).params
    return hand.gradient(params, X, y, l1=0.0, **kw)


def _nothing(X: Array, y: Array, **kw: Any) -> tuple[Array, Array]:
    return jnp.zeros((X.shape[1], 3), X.dtype), jnp.zeros(3, X.dtype)


def _along_shift(params: Params, X: Array, y: Array, **kw: Any) -> Params:
    """The unpenalized Hessian times a shift of all columns by one vector."""
    free = {"sample_weight": kw["sample_weight"]}
    v = Params(jnp.ones_like(params.coef), jnp.ones_like(params.intercept))
    return jax.jvp(jax.grad(lambda p: softmax.loss(p, X, y, **free)), (params,), (v,))[1]


def _zeros(params: Params, X: Array, y: Array, **kw: Any) -> tuple:
    return jnp.zeros_like(params[0]), jnp.zeros_like(params[1])


def _loss_after_shift(params: Params, X: Array, y: Array, **kw: Any) -> Array:
    moved = hand.shift(params, 3.0 * jnp.ones_like(X[0]), jnp.asarray(-1.0, X.dtype))
    return softmax.loss(Params(*moved), X, y, sample_weight=kw["sample_weight"])


def _loss_before(params: Params, X: Array, y: Array, **kw: Any) -> Array:
    p = kw["sample_weight"] / kw["sample_weight"].sum()
    S = hand.probabilities(jnp.matmul(X, params[0], precision="highest") + params[1][None, :])
    return -(p * jnp.log(jnp.take_along_axis(S, y[:, None], axis=1)[:, 0])).sum()


CASES = (
    Case("linear.softmax/gradient", TOPIC, "gradient",
         jax.grad(softmax.loss), hand.gradient, AT_PARAMS, ROUNDING, "Bishop (2006), eq. (4.109)",
         softmax.loss),
    Case("linear.softmax/hessian", TOPIC, "hessian",
         jax.hessian(softmax.loss), hand.hessian, AT_PARAMS, HESSIAN, "Bishop (2006), eq. (4.110)",
         softmax.loss),
    Case("linear.softmax/singular-along-shift", TOPIC, "identity",
         _along_shift, _zeros, AT_PARAMS, NULL, "e^c cancels in s_ij"),
    Case("linear.softmax/shift-invariant", (*TOPIC, "softmax"), "identity",
         _loss_after_shift, _loss_before, AT_PARAMS, ROUNDING._replace(float32=1e-4),
         "e^c cancels in s_ij"),
    Case("linear.softmax/two-classes", (*TOPIC, "logistic"), "solution",
         _two_class_fit, _one_sigmoid, DATA, ITERATED, "softmax(-z/2, z/2) = sigma(z)"),
    Case("linear.softmax/fit", TOPIC, "identity",
         _stationary, _nothing, MANY_DATA, NULL._replace(float64=1e-8, float32=1e-3),
         "the gradient vanishes: Bishop (2006), eq. (4.109)"),
    Case("softmax/jacobian", FUNCTION, "jacobian",
         jax.jacrev(_probabilities), hand.jacobian, SCORES, ROUNDING,
         "Bishop (2006), eq. (4.106)", _probabilities, symmetric=True),
    Case("softmax/shift", FUNCTION, "identity",
         _shifted, lambda z: hand.probabilities(z[None, :])[0], SCORES,
         ROUNDING._replace(float32=1e-4), "e^c cancels"),
)  # fmt: skip


def _huge(key: Any, dtype: Any) -> tuple[Array]:
    return (jnp.array([1e4, 0.0, -1e4, 1e4], dtype),)


def _masked(key: Any, dtype: Any) -> tuple[Array, Array]:
    return jnp.array([0.5, -jnp.inf, 1.5], dtype), jnp.array(2, jnp.int32)


def _without_masked(z: Array, y: Array) -> Array:
    # The softmax over the entries that are possible, 0 elsewhere; minus e_y.
    s = hand.probabilities(jnp.stack([z[0], z[2]])[None, :])[0]
    return jnp.stack([s[0], 0.0 * s[0], s[1] - 1.0])


SPECIAL = (
    Case("softmax/value@1e4", FUNCTION, "identity",
         _probabilities, lambda z: jnp.array([0.5, 0.0, 0.0, 0.5], z.dtype), _huge, ELEMENTWISE,
         "e^(-1e4) is 0 in every dtype"),
    Case("softmax/jacobian@1e4", FUNCTION, "identity",
         jax.jacrev(_probabilities),
         lambda z: 0.25 * jnp.array([[1, 0, 0, -1], [0] * 4, [0] * 4, [-1, 0, 0, 1]], z.dtype),
         _huge, ELEMENTWISE, "diag(s) - ss' at s = (1/2, 0, 0, 1/2)", symmetric=True),
    Case("softmax/gradient@masked", FUNCTION, "identity",
         jax.grad(losses.softmax_cross_entropy), _without_masked, _masked, ELEMENTWISE,
         "a score of -inf is a class that cannot happen"),
)  # fmt: skip
