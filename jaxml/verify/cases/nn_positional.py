"""Sinusoidal encodings: a shift is one rotation for every position."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxml._numerics import matmul
from jaxml._typing import Array
from jaxml.closed_form.nn import positional as hand
from jaxml.nn import positional
from jaxml.verify.case import ROUNDING, SOLVE, Case, Point, Tolerance, point
from jaxml.verify.domains import Domain, Generator

__all__ = ["CASES"]

TOPIC = ("positional-encoding",)
PAPER = "Vaswani et al. (2017), section 3.5"
ROWS = 50
ANGLES = Tolerance(1e-12, 1e-4, "angles of up to 100 radians, rounded")


def _rows(rng: Generator, d: int) -> Point:
    """One row each of n positions, and a shift in whole steps."""
    pos, k = rng.integers(0, ROWS, size=5).astype(float), float(rng.integers(1, 40))
    return point(pos, k, rng.standard_normal((d, d)))


def _shift(rng: Generator, d: int) -> Point:
    return point(rng.uniform(-5.0, 5.0), rng.standard_normal((d, d)))


def _window(rng: Generator, d: int) -> Point:
    return point(rng.uniform(-5.0, 5.0), rng.uniform(0.0, 1000.0), rng.standard_normal((d, d)))


ROW, SHIFT, WINDOW = (Domain(f, ((4,), (2,))) for f in (_rows, _shift, _window))


def _table(pos: Array, k: Array, G: Array) -> Array:
    d = G.shape[0]
    return positional.sinusoidal(ROWS, d, dtype=G.dtype)[pos.astype(jnp.int32)]


def _turned(pos: Array, k: Array, G: Array) -> Array:
    return matmul(_table(pos, k, G), positional.shift_matrix(k, G.shape[0], dtype=G.dtype).T)


def _found(k: Array, start: Array, G: Array) -> Array:
    return positional.shift_matrix(k, G.shape[0], dtype=G.dtype)


def _group(k: Array, G: Array) -> tuple[Array, Array]:
    """R(k) R(2) and R(k) R(k)'."""
    R = partial(positional.shift_matrix, d_model=G.shape[0], dtype=G.dtype)
    return matmul(R(k), R(2.0)), matmul(R(k), R(k).T)


def _group_by_hand(k: Array, G: Array) -> tuple[Array, Array]:
    return hand.rotation(k + 2.0, G.shape[0]), jnp.eye(G.shape[0], dtype=G.dtype)


def _seen(k: Array, G: Array) -> Array:
    return (G * positional.shift_matrix(k, G.shape[0], dtype=G.dtype)).sum()


def _elsewhere(k: Array, start: Array, G: Array) -> Any:
    return hand.from_window(start, k + 0.01, G.shape[0], 12)


CASES = (
    Case("nn.positional/table", TOPIC, "identity",
         _table, lambda pos, k, G: hand.encoding(pos, G.shape[0]), ROW, ANGLES, PAPER),
    Case("nn.positional/shift", TOPIC, "identity",
         _turned, lambda pos, k, G: hand.encoding(pos + k, G.shape[0]), ROW, ANGLES, PAPER),
    Case("nn.positional/shift-of-any-window", TOPIC, "solution",
         _found, lambda k, start, G: hand.from_window(start, k, G.shape[0], 12), WINDOW,
         SOLVE, "least squares over positions: the residual is 0 for one R", mutants=(_elsewhere,)),
    Case("nn.positional/rotations", TOPIC, "identity",
         _group, _group_by_hand, SHIFT, ROUNDING, "R(j) R(k) = R(j + k), R R' = I"),
    Case("nn.positional/gradient-by-shift", TOPIC, "gradient",
         jax.grad(_seen), lambda k, G: (G * hand.derivative(k, G.shape[0])).sum(), SHIFT, ROUNDING,
         "dR/dk = R(k) J", _seen),
)  # fmt: skip
