"""Initializers: variances of the weights, and of signals through many layers."""

from functools import partial
from typing import Any

import jax
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.nn import dense as hand_dense
from jaxml.closed_form.nn import initializers as hand
from jaxml.nn import activations, dense, initializers
from jaxml.verify.case import ROUNDING, STANDARD_ERRORS, Case, Expected, point
from jaxml.verify.domains import Domain, Generator, Numbers, vector

__all__ = ["CASES"]

TOPIC = ("xavier",)
GLOROT, HE = "Glorot, Bengio (2010), eq. (12)", "He et al. (2015), eq. (10), (14)"
# A kernel for images, and one of another rank; the tests draw all schemes.
SHAPES = {"xavier_uniform": (3, 3, 12, 30), "he_normal": (2, 5, 7, 4, 9)}
N, M, PAIRS = 40, 24, 5  # ten layers, of widths N, M, N, M, ..., N
WIDTHS, NETWORKS = (N, *(M, N) * PAIRS), 96


def _seeded(rng: Generator) -> tuple[Numbers, Numbers]:
    """A one of the dtype that is wanted, and a seed."""
    return np.ones(()), np.asarray(rng.integers(2**31), np.uint32)


# -- variances of single kernels
def _moments(one: Array, seed: Array) -> dict[str, tuple[Array, Array]]:
    """Mean and mean square of one kernel of each scheme."""
    key, found = jax.random.key(seed), {}
    for name, shape in SHAPES.items():
        w = getattr(initializers, name)(shape, key=key, dtype=one.dtype)
        found[name] = (w.mean(), (w * w).mean())
    return found


def _moments_by_hand(one: Array, seed: Array, *, bent: float = 1.0, swap: bool = False) -> Expected:
    """E w = 0, E w^2 = v; Var(mean) = v/N, Var(mean square) = (kurtosis - 1) v^2/N."""
    mean, error = {}, {}
    for name, shape in SHAPES.items():
        scheme, kind = name.split("_")
        *window, c_in, c_out = shape
        v = bent * hand.variance(scheme, (*window, c_out, c_in) if swap else shape)
        n = float(np.prod(shape))
        mean[name] = (0.0 * one, v * one)
        spread = v * ((hand.KURTOSIS[kind] - 1.0) / n) ** 0.5
        error[name] = ((v / n) ** 0.5 * one, spread * one)
    return Expected(mean, error)


# -- signals through many layers
def _network(scheme: str, signals: Array, key: Array) -> tuple[Array, Array]:
    """The per-unit squares of the signal at the top over those at the bottom, and back."""
    normal = {"xavier": initializers.xavier_normal, "he": initializers.he_normal}[scheme]

    def layer(x: Array, key: Array, d_in: int, d_out: int) -> Array:
        kind = {"dtype": x.dtype, "initializer": normal}
        z = dense.apply(dense.init(key=key, d_in=d_in, d_out=d_out, **kind), x)
        return activations.relu(z) if scheme == "he" else z

    def pair(x: Array, keys: Array) -> tuple[Array, None]:
        return layer(layer(x, keys[0], N, M), keys[1], M, N), None

    x, g = signals
    keys = jax.random.split(key, (PAIRS, 2))
    y, down = jax.vjp(lambda x: jax.lax.scan(pair, x, keys)[0], x)
    (back,) = down(g)
    return (y * y).mean() / (x * x).mean(), (back * back).mean() / (g * g).mean()


@jax.jit
def _networks(one: Array, seed: Array) -> dict[str, tuple[Array, Array]]:
    """The means over independent networks, from normal signals at both ends."""
    of_signals, key = jax.random.split(jax.random.key(seed))
    signals = jax.random.normal(of_signals, (NETWORKS, 2, N), one.dtype)
    keys, found = jax.random.split(key, NETWORKS), {}
    for scheme in ("xavier", "he"):
        up, down = jax.vmap(partial(_network, scheme))(signals, keys)
        found[scheme] = (up.mean(), down.mean())
    return found


def _networks_by_hand(one: Array, seed: Array, *, gain: dict[str, float] | None = None) -> Expected:
    mean, error = {}, {}
    for scheme in ("xavier", "he"):
        laws = [law(scheme, WIDTHS, NETWORKS) for law in (hand.forward, hand.backward)]
        bent = (gain or {}).get(scheme, 1.0) ** (len(WIDTHS) - 1)
        mean[scheme] = tuple(bent * q * one for q, _ in laws)
        error[scheme] = tuple(bent * se * one for _, se in laws)
    return Expected(mean, error)


# -- the dense layer
def _dense(rng: Generator, n: int, d_in: int, d_out: int) -> Any:
    W: Numbers = rng.standard_normal((d_in, d_out))
    params = dense.Params(W, vector(rng, d_out))
    return point((params, rng.standard_normal((n, d_in))), rng.standard_normal((n, d_out)))


def _seen(at: Any, g: Array) -> Array:
    return (g * dense.apply(*at)).sum()


def _dense_by_hand(at: Any, g: Array) -> Any:
    params, dx = hand_dense.backward(at[0], at[1], g)
    return dense.Params(*params), dx


CASES = (
    Case("nn.dense/gradient", TOPIC, "gradient",
         jax.grad(_seen), _dense_by_hand, Domain(_dense, ((5, 3, 4), (1, 1, 2))), ROUNDING,
         "y = xW + b, entry by entry", _seen),
    Case("nn.initializers/variance-of-the-weights", TOPIC, "statistic",
         _moments, _moments_by_hand, Domain(_seeded), STANDARD_ERRORS, f"{GLOROT}; {HE}",
         mutants=(partial(_moments_by_hand, bent=0.5), partial(_moments_by_hand, bent=1.2),
                  partial(_moments_by_hand, swap=True))),
    Case("nn.initializers/variance-through-many-layers", TOPIC, "statistic",
         _networks, _networks_by_hand, Domain(_seeded), STANDARD_ERRORS, f"{GLOROT}; {HE}",
         mutants=(partial(_networks_by_hand, gain={"he": 0.5}),  # no factor 2 for the ReLU
                  partial(_networks_by_hand, gain={"xavier": 0.8}),
                  partial(_networks_by_hand, gain={"he": 0.8}))),
)  # fmt: skip
