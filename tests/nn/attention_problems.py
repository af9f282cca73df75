"""Queries, keys, values and masks of attention, and its definition by loops."""

import itertools
from typing import Any

import numpy as np

__all__ = ["by_loops", "drawn", "mask_of"]


def drawn(
    rng: np.random.Generator, lead: tuple[int, ...], t: int, s: int, h: int, d: int, e: int
) -> tuple[np.ndarray, ...]:
    """Return (q, k, v, g), g of the shape of the outputs."""
    sizes = ((t, h, d), (s, h, d), (s, h, e), (t, h, e))
    return tuple(rng.standard_normal((*lead, *size)) for size in sizes)


def mask_of(
    rng: np.random.Generator, kind: str, lead: tuple[int, ...], t: int, s: int, h: int
) -> np.ndarray | None:
    """A mask, of the shape that its kind has; some queries may have nothing left."""
    shape = {
        "full": (*lead, h, t, s),
        "padding": (*lead, 1, 1, s),
        "rows": (t, s),
        "heads": (h, 1, 1),
    }
    return None if kind == "none" else rng.random(shape[kind]) < 0.6


def by_loops(q: Any, k: Any, v: Any, mask: Any, scale: float, causal: bool) -> np.ndarray:
    """Attention query by query in float64."""
    q, k, v = (np.asarray(a, np.float64) for a in (q, k, v))
    *lead, t, h, _ = q.shape
    s = k.shape[-3]
    keep = np.broadcast_to(True if mask is None else mask, (*lead, h, t, s))
    out = np.zeros((*lead, t, h, v.shape[-1]))
    for at in itertools.product(*map(range, lead), range(h), range(t)):
        *example, head, i = at
        left = [j for j in range(s) if keep[(*at, j)] and (j <= i or not causal)]
        if left:
            z = np.array([scale * q[(*example, i, head)] @ k[(*example, j, head)] for j in left])
            p = np.exp(z - z.max())
            rows = np.stack([v[(*example, j, head)] for j in left])
            out[(*example, i, head)] = p @ rows / p.sum()
    return out
