"""Parameters, sequences, states and cotangents of an LSTM."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxml.nn import lstm

__all__ = ["B", "D", "H", "T", "cotangents", "paired", "problem"]

T, B, D, H = 5, 3, 2, 4


def problem(
    rng: np.random.Generator,
    t: int = T,
    b: int = B,
    d: int = D,
    h: int = H,
    dtype: Any = np.float64,
) -> tuple[lstm.Params, jax.Array, lstm.State]:
    """Return (params, x, state)."""
    params = lstm.Params(*(
        0.5 * rng.standard_normal(shape) for shape in ((d, 4 * h), (h, 4 * h), (4 * h,))
    ))  # fmt: skip
    state = lstm.State(rng.standard_normal((b, h)), rng.standard_normal((b, h)))
    arrays = params, rng.standard_normal((t, b, d)), state
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), arrays)


def paired(out: Any, G: Any) -> jax.Array:
    """<G, out>, over all leaves."""
    return sum(
        jnp.sum(a * b) for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(G), strict=True)
    )


def cotangents(rng: np.random.Generator, t: int = T, b: int = B, h: int = H) -> Any:
    """A tree like the outputs."""
    return jax.tree.map(
        jnp.asarray, (rng.standard_normal((t, b, h)), tuple(rng.standard_normal((2, b, h))))
    )
