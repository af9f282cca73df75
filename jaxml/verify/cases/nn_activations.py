"""Activations, and the softmax where entries are left out."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.nn import activations as hand
from jaxml.nn import activations
from jaxml.verify.case import ELEMENTWISE, EXACT, HESSIAN, ROUNDING, Case, Tolerance
from jaxml.verify.domains import Domain, Generator, Numbers, away_from, vector

__all__ = ["CASES", "SPECIAL"]

TOPIC, SIGMOID, LAYERS = ("softmax",), ("logistic",), ("xavier",)
BISHOP = "Bishop (2006), eq. (4.106)"
# Near the zero of a derivative only its sum of terms is exact.
SUM = ROUNDING._replace(stencil=1e-8)


def _scores(rng: Generator, n: int) -> tuple[Numbers]:
    return (away_from(2.0 * vector(rng, n), (0.0,)),)


def _masked(rng: Generator, k: int) -> tuple[Numbers, Numbers]:
    """Scores, and a mask that leaves out some, never all."""
    where = np.arange(k) % 3 != 1
    return 2.0 * vector(rng, k), rng.permutation(where)


SCORES, MASKED = Domain(_scores, ((6,), (1,))), Domain(_masked, ((6,), (2,)))


def _total(f: Callable) -> Callable:
    return lambda z: f(z).sum()


def _slope(
    name: str, f: Callable, slope: Callable, topics: tuple, tol: Tolerance, ref: str
) -> Case:
    return Case(
        f"nn.activations.{name}/gradient", topics, "gradient",
        jax.grad(_total(f)), slope, SCORES, tol, ref, _total(f),
    )  # fmt: skip


def _softmax(z: Array, where: Array) -> Array:
    return activations.softmax(z, where=where)


def _log_softmax(z: Array, where: Array) -> Array:
    """The entries that take part; the others are -inf, which no difference can judge."""
    return jnp.where(where, activations.log_softmax(z, where=where), 0.0)


def _logsumexp(z: Array, where: Array) -> Array:
    return activations.logsumexp(z, where=where)


def _shifted(z: Array, where: Array) -> Array:
    return activations.softmax(z + 37.5, where=where)


tanh_gelu = partial(activations.gelu, approximate=True)
CASES = (
    _slope("sigmoid", activations.sigmoid, hand.sigmoid, SIGMOID, ELEMENTWISE,
           "s' = 1/(4 cosh^2(z/2))"),
    _slope("tanh", activations.tanh, hand.tanh, LAYERS, SUM, "tanh' = 1/cosh^2"),
    _slope("relu", activations.relu, hand.relu, LAYERS, EXACT._replace(stencil=1e-9), "by cases"),
    _slope("gelu", activations.gelu, hand.gelu, LAYERS, SUM, "Hendrycks, Gimpel (2016), section 2"),
    _slope("gelu_approximate", tanh_gelu, hand.gelu_approximate, LAYERS, SUM,
           "Hendrycks, Gimpel (2016), section 2"),
    Case("nn.activations.gelu/value", LAYERS, "identity",
         lambda z: (activations.gelu(z), tanh_gelu(z)),
         lambda z: (hand.gelu_value(z), hand.gelu_approximate_value(z)), SCORES, ROUNDING,
         "Hendrycks, Gimpel (2016), section 2"),
    Case("nn.activations.softmax/value", TOPIC, "identity",
         _softmax, hand.softmax, MASKED, ROUNDING, "Bishop (2006), eq. (4.104)"),
    Case("nn.activations.softmax/jacobian", TOPIC, "jacobian",
         jax.jacrev(_softmax), hand.softmax_jacobian, MASKED, ROUNDING, BISHOP, _softmax,
         symmetric=True),
    Case("nn.activations.softmax/shift", TOPIC, "identity",
         _shifted, hand.softmax, MASKED, ROUNDING._replace(float32=1e-4), "e^c cancels"),
    Case("nn.activations.log_softmax/jacobian", TOPIC, "jacobian",
         jax.jacrev(_log_softmax), hand.log_softmax_jacobian, MASKED, ROUNDING, BISHOP,
         _log_softmax),
    Case("nn.activations.logsumexp/value", TOPIC, "identity",
         _logsumexp, hand.logsumexp, MASKED, ROUNDING._replace(scale=1.0), "the definition"),
    Case("nn.activations.logsumexp/gradient", TOPIC, "gradient",
         jax.grad(_logsumexp), hand.softmax, MASKED, ROUNDING, BISHOP, _logsumexp),
    Case("nn.activations.logsumexp/hessian", TOPIC, "hessian",
         jax.hessian(_logsumexp), hand.softmax_jacobian, MASKED, HESSIAN, BISHOP, _logsumexp),
)  # fmt: skip


def _at(*values: float, where: tuple[bool, ...] | None = None) -> Callable[[Any, Any], tuple]:
    mask = np.ones(len(values), bool) if where is None else np.array(where)
    return lambda key, dtype: (jnp.array(values, dtype), jnp.asarray(mask))


def _both(z: Array, where: Array) -> tuple[Array, Array]:
    return _softmax(z, where), jax.jacrev(_softmax)(z, where)


def _logs(z: Array, where: Array) -> tuple[Array, Array, Array, Array]:
    """Exponentials of the values, which are -inf, and derivatives: all are 0."""
    log_softmax = partial(activations.log_softmax, where=where)
    return (
        jnp.exp(log_softmax(z)), jax.jacfwd(log_softmax)(z), jnp.exp(_logsumexp(z, where)),
        jax.grad(_logsumexp)(z, where),
    )  # fmt: skip


def _only(*s: float) -> Callable:
    """The softmax s and its Jacobian, whatever the scores."""

    def answer(z: Array, where: Array) -> tuple[Array, Array]:
        p = jnp.array(s, z.dtype)
        return p, jnp.diag(p) - p[:, None] * p[None, :]

    return answer


def _empty_logs(z: Array, where: Array) -> tuple[Array, Array, Array, Array]:
    zero = jnp.zeros_like(z, shape=(z.size, z.size))
    return zero[0], zero, zero[0, 0], zero[0]


INF, NAN = float("inf"), float("nan")
POINTS = {
    "1e4": (_at(1e4, 0.0, -1e4, 1e4), _only(0.5, 0.0, 0.0, 0.5)),
    "1e30": (_at(1e30, 0.0), _only(1.0, 0.0)),
    "minus-inf": (_at(-INF, 2.0, 2.0), _only(0.0, 0.5, 0.5)),
    "masked-NaN": (_at(NAN, 2.0, 2.0, where=(False, True, True)), _only(0.0, 0.5, 0.5)),
    "masked-1e4": (_at(1e4, 2.0, 2.0, where=(False, True, True)), _only(0.0, 0.5, 0.5)),
    "all-masked": (_at(1.0, 2.0, where=(False, False)), _only(0.0, 0.0)),
    "all-minus-inf": (_at(-INF, -INF), _only(0.0, 0.0)),
}
SPECIAL = (
    *(Case(f"nn.activations.softmax/value-and-jacobian@{name}", TOPIC, "identity",
           _both, answer, draw, ELEMENTWISE, "e^-inf = 0; nothing left: 0 and flat", symmetric=True)
      for name, (draw, answer) in POINTS.items()),
    *(Case(f"nn.activations.logsumexp/value-and-gradient@{name}", TOPIC, "identity",
           _logs, _empty_logs, POINTS[name][0], EXACT, "log 0 = -inf, and flat")
      for name in ("all-masked", "all-minus-inf")),
    Case("nn.activations.relu/gradient@0", LAYERS, "identity",
         lambda z, where: jax.vmap(jax.grad(activations.relu))(z), lambda z, where: hand.relu(z),
         _at(-0.0, 0.0, 1.0), EXACT, "the subgradient stated in jaxml.nn.activations"),
    Case("nn.activations.sigmoid/gradient@tails", SIGMOID, "identity",
         lambda z, where: jax.vmap(jax.grad(activations.sigmoid))(z),
         lambda z, where: jnp.exp(-jnp.abs(z)), _at(-60.0, 45.0, 60.0), ELEMENTWISE,
         "s'(z) = e^-|z| (1 - 2 e^-|z| + ...)"),
)  # fmt: skip
