"""The descent of t-SNE: where it starts, momentum and gains, and when it has come to rest.

    v <- mu v - rate g * G,    Y <- Y + v,    G = dKL/dY,    g: one gain for each number

A gain grows by 0.2 where v goes against G, and shrinks by 0.8 where they agree in sign, that is
where the last step went too far; never below 0.01.

Reference: van der Maaten, Hinton (2008), section 3.4; Jacobs (1988), the delta-bar-delta rule.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _lapack
from jaxml._loop import iterate
from jaxml._numerics import matmul, tree_norm
from jaxml._typing import Array, Float, Rows, Scalar
from jaxml.latent import _affinities, _forces

__all__ = ["State", "descend", "residual", "start"]

SPREAD = 1e-4  # the standard deviation of the first column of a start
EARLY, LATE = 0.5, 0.8  # momentum during early exaggeration and after it


class State(NamedTuple):
    """What the descent carries."""

    Y: Float[Array, "n c"]
    velocity: Float[Array, "n c"]
    gains: Float[Array, "n c"]  # step sizes of each number, over the learning rate
    forces: _forces.Forces  # at Y
    t: Array


def descend(
    Y: Array,
    data: Any,
    exaggeration: Scalar,
    rate: Scalar,
    tol: Scalar,
    max_iter: Array,
    early: Array,
) -> State:
    """Descend from Y until the residual is at most tol, early steps done, or max_iter steps are."""

    def forces(Y: Array) -> _forces.Forces:
        P, slots = data
        if slots is None:
            return _forces.between_all(Y, P)
        return _forces.Forces(_forces.pull_of_graph(Y, P, slots), *_forces.push(Y))

    def step(state: State) -> State:
        Y, v, gains, (A, R, Z), t = state
        first = t < early
        G = 4 * (jnp.where(first, exaggeration, 1.0) * A - R / Z)
        # A number that keeps its direction (v against G) gets a larger step, another a smaller.
        gains = jnp.maximum(jnp.where(G * v < 0, gains + 0.2, 0.8 * gains), 0.01)
        v = jnp.where(first, EARLY, LATE) * v - rate * gains * G
        Y = Y + v
        Y = Y - jnp.mean(Y, axis=0)[None, :]
        return State(Y, v, gains, forces(Y), t + 1)

    def stop(state: State) -> Array:
        r = residual(state.forces)
        return ((state.t >= early) & (r <= tol)) | ~jnp.isfinite(r)

    state = State(Y, jnp.zeros_like(Y), jnp.ones_like(Y), forces(Y), jnp.int32(0))
    return iterate(step, state, stop=stop, max_iter=max_iter)[0]


def residual(forces: _forces.Forces) -> Scalar:
    """||A - R/Z|| over ||A||, 0 where nothing pulls."""
    A, R, Z = forces
    size = tree_norm(A)
    return tree_norm(A - R / Z) / jnp.where(size > 0, size, 1.0)


def start(X: Rows, key: Array, c: int, kind: str) -> Float[Array, "n c"]:
    """Y of a named kind, as in the docstring of fit."""
    n, d = X.shape
    noise = SPREAD * jax.random.normal(key, (n, c), X.dtype)
    if kind == "random":
        return noise
    X = X / _affinities.power_of_two(X)
    X = X - jnp.mean(X, axis=0)[None, :]
    # X'X v = l v, or XX'u = l u with v = X'u of another length: whichever is smaller
    r = min(c, n, d)
    V = _lapack.eigh(matmul(X.T, X) if d <= n else matmul(X, X.T))[1][:, ::-1][:, :r]
    V = V if d <= n else matmul(X.T, V)
    largest = jnp.take_along_axis(V, jnp.argmax(jnp.abs(V), axis=0)[None, :], axis=0)
    scores = matmul(X, V * jnp.where(largest < 0, -1.0, 1.0))
    if d > n:
        size = jnp.sqrt(jnp.sum(V**2, axis=0))
        scores = scores / jnp.where(size > 0, size, 1.0)[None, :]
    sd = jnp.std(scores, axis=0)
    flat = ~(sd > jnp.finfo(X.dtype).eps ** 0.5 * sd[0])
    scores = scores * (SPREAD / jnp.where(sd[0] > 0, sd[0], 1.0))
    varied = jnp.where(flat[None, :], noise[:, :r], scores)
    return jnp.concatenate([varied, noise[:, r:]], axis=1)
