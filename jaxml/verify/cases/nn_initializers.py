"""Initializers: variances of the weights, and of signals through many layers."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array
from jaxml.closed_form.nn import dense as hand_dense
from jaxml.closed_form.nn import initializers as hand
from jaxml.nn import activations, dense, initializers
from jaxml.verify.case import ROUNDING, STANDARD_ERRORS, Case, Expected, point
from jaxml.verify.domains import Domain, Generator, Numbers

__all__ = ["CASES"]

TOPIC = ("xavier",)
GLOROT, HE = "Glorot, Bengio (2010), eq. (12)", "He et al. (2015), eq. (10), (14)"
SHAPES = ((40, 90), (3, 3, 12, 30), (2, 5, 7, 4, 9), (900,))
NAMES = ("xavier_uniform", "xavier_normal", "he_uniform", "he_normal")
WIDTHS, NETWORKS = (60, 48, 36, 28, 20), 256


def _seeded(rng: Generator) -> tuple[Numbers, Numbers]:
    """A one of the dtype that is wanted, and a seed."""
    return np.ones(()), np.asarray(rng.integers(2**31), np.uint32)


# -- variances of single kernels
def _moments(one: Array, seed: Array, *, names: tuple[str, ...] = NAMES) -> dict[str, Any]:
    """Mean, mean square and whether the range is the uniform's, for each scheme and shape."""
    keys = iter(jax.random.split(jax.random.key(seed), len(names) * len(SHAPES)))
    found = {}
    for name in names:
        for shape in SHAPES:
            w = getattr(initializers, name)(shape, key=next(keys), dtype=one.dtype)
            found[f"{name} {shape}"] = (w.mean(), (w * w).mean())
    return found


def _moments_by_hand(one: Array, seed: Array, *, bent: float = 1.0, swap: bool = False) -> Expected:
    """E w = 0, E w^2 = v; Var(mean) = v/N, Var(mean square) = (kurtosis - 1) v^2/N."""
    mean, error = {}, {}
    for name in NAMES:
        scheme, kind = name.split("_")
        for shape in SHAPES:
            *window, c_in, c_out = shape if len(shape) > 1 else (*shape, 1)
            v = bent * hand.variance(scheme, (*window, c_out, c_in) if swap else shape)
            n = float(np.prod(shape))
            mean[f"{name} {shape}"] = (0.0 * one, v * one)
            spread = v * ((hand.KURTOSIS[kind] - 1.0) / n) ** 0.5
            error[f"{name} {shape}"] = ((v / n) ** 0.5 * one, spread * one)
    return Expected(mean, error)


def _range(one: Array, seed: Array) -> Array:
    """The largest |w| of the uniform schemes, over all shapes."""
    key = jax.random.key(seed)
    tops = [[jnp.abs(getattr(initializers, name)(shape, key=key, dtype=one.dtype)).max()
             for shape in SHAPES] for name in ("xavier_uniform", "he_uniform")]  # fmt: skip
    return jnp.array(tops)


def _range_by_hand(one: Array, seed: Array, *, bent: float = 1.0) -> Array:
    # U(-a, a) has variance a^2/3  =>  a = (3 v)^(1/2)
    return jnp.array([[(3.0 * bent * hand.variance(scheme, shape)) ** 0.5 for shape in SHAPES]
                      for scheme in ("xavier", "he")]) * one  # fmt: skip


# -- signals through many layers
def _network(scheme: str, one: Array, seed: Array) -> tuple[Array, Array]:
    """The per-unit squares of the signal at the top over those at the bottom, and back."""
    normal = {"xavier": initializers.xavier_normal, "he": initializers.he_normal}[scheme]
    dtype = one.dtype
    *keys, of_x, of_g = jax.random.split(jax.random.key(seed), len(WIDTHS) + 1)

    def up(x: Array) -> Array:
        for key, d_in, d_out in zip(keys, WIDTHS[:-1], WIDTHS[1:], strict=True):
            layer = dense.init(key=key, d_in=d_in, d_out=d_out, dtype=dtype, initializer=normal)
            x = dense.apply(layer, x)
            x = activations.relu(x) if scheme == "he" else x
        return x

    x = jax.random.normal(of_x, (WIDTHS[0],), dtype)
    y, down = jax.vjp(up, x)
    g = jax.random.normal(of_g, (WIDTHS[-1],), dtype)
    (back,) = down(g)
    return (y * y).mean() / (x * x).mean(), (back * back).mean() / (g * g).mean()


def _networks(one: Array, seed: Array) -> dict[str, tuple[Array, Array]]:
    seeds = seed + jnp.arange(NETWORKS, dtype=seed.dtype)
    found = {}
    for scheme in ("xavier", "he"):
        up, down = jax.vmap(partial(_network, scheme, one))(seeds)
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


def _swapped(one: Array, seed: Array) -> Expected:
    """Forward and backward exchanged, as weights drawn by the other fan would have it."""
    law = _networks_by_hand(one, seed)
    return Expected(*({k: v[::-1] for k, v in tree.items()} for tree in law))


# -- the dense layer
def _dense(rng: Generator, n: int, d_in: int, d_out: int) -> Any:
    params = dense.Params(rng.standard_normal((d_in, d_out)), rng.standard_normal(d_out))
    return point((params, rng.standard_normal((n, d_in))), rng.standard_normal((n, d_out)))


def _seen(at: Any, g: Array) -> Array:
    return (g * dense.apply(*at)).sum()


def _dense_by_hand(at: Any, g: Array) -> Any:
    params, x = hand_dense.backward(*at, g)
    return dense.Params(*params), x


CASES = (
    Case("nn.dense/gradient", TOPIC, "gradient",
         jax.grad(_seen), _dense_by_hand, Domain(_dense, ((5, 3, 4), (1, 1, 2))), ROUNDING,
         "y = xW + b, entry by entry", _seen),
    Case("nn.initializers/variance of the weights", TOPIC, "statistic",
         _moments, _moments_by_hand, Domain(_seeded), STANDARD_ERRORS, f"{GLOROT}; {HE}",
         mutants=(partial(_moments_by_hand, bent=0.5), partial(_moments_by_hand, bent=1.2),
                  partial(_moments_by_hand, swap=True))),
    Case("nn.initializers/range of the uniform", TOPIC, "bound",
         _range, _range_by_hand, Domain(_seeded), ROUNDING, "the variance of U(-a, a) is a^2/3",
         mutants=(partial(_range_by_hand, bent=0.8),)),
    Case("nn.initializers/variance through many layers", TOPIC, "statistic",
         _networks, _networks_by_hand, Domain(_seeded), STANDARD_ERRORS, f"{GLOROT}; {HE}",
         mutants=(partial(_networks_by_hand, gain={"he": 0.5}),
                  partial(_networks_by_hand, gain={"xavier": 0.5}),
                  partial(_networks_by_hand, gain={"he": 1.2}), _swapped)),
)  # fmt: skip
