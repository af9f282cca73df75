"""Small computations with known answers that some compiler versions get wrong.

Each returns whether the answer is right here, on the default device.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Array

__all__ = ["CANARIES", "order_key"]


def _row_products() -> bool:
    """jax#39103: jaxlib 0.10.2 (CPU) garbles a vmapped matrix-vector product, then a reduction."""
    n = 32_769  # the defect needs a long batch; float64 shows it from 16 385 rows on
    v = np.arange(n) % 61

    def squared_lengths(rows: Array) -> Array:
        swap = jnp.eye(3, dtype=rows.dtype)[::-1]
        return jax.vmap(lambda row: jnp.sum((swap @ row) ** 2))(rows)

    def right(dtype: type) -> bool:
        rows = jnp.asarray(np.stack([v, 0 * v, 0 * v], axis=1), dtype)
        return np.array_equal(np.asarray(jax.jit(squared_lengths)(rows)), (v**2).astype(dtype))

    with jax.enable_x64(True):
        return right(np.float32) and right(np.float64)


def _shifts() -> bool:
    """xla#49176: an in-place shift reads what it has just written; concatenate and roll do not."""

    def by_concatenate(x: Array) -> Array:
        base = x + 1
        return jnp.concatenate([base[:1], base[:-1]])[None]

    def by_roll(x: Array) -> Array:
        base = x + 1
        return jnp.roll(base, 1, axis=0).at[0].set(base[0])[None]

    x = np.arange(8 * 16, dtype=np.int32).reshape(8, 16)
    want = np.concatenate([x[:1], x[:-1]])[None] + 1
    return all(
        np.array_equal(np.asarray(jax.jit(shift)(x.astype(dtype))), want.astype(dtype))
        for shift in (by_concatenate, by_roll)
        for dtype in (np.int32, np.float32)
    )


def order_key(x: Array) -> Array:
    """Return int32 keys that sort as the float32 x do: -0.0 with 0.0, and NaN last."""
    # Bits of a float order as integers where x >= 0; where x < 0 the other way round.
    bits = jax.lax.bitcast_convert_type(x + 0.0, jnp.int32)
    bits = jnp.where(bits == jnp.iinfo(jnp.int32).min, 0, bits)  # -0.0
    key = jnp.where(bits < 0, bits ^ jnp.int32(0x7FFFFFFF), bits)
    return jnp.where(jnp.isnan(x), jnp.iinfo(jnp.int32).max, key)


def _integer_sort() -> bool:
    """Sorting by integer keys gives the order of a stable sort of the floats, with ties and NaN."""
    x = np.random.default_rng(0).standard_normal(5_000).astype(np.float32)
    x = np.concatenate([x, x[::7], [0.0, -0.0, np.inf, -np.inf, np.nan, 0.0]])
    x = x.astype(np.float32)
    order = jax.jit(lambda x: jnp.argsort(order_key(x), stable=True))(x)
    return np.array_equal(np.asarray(order), np.argsort(x, kind="stable"))


CANARIES: dict[str, Callable[[], bool]] = {
    "row products": _row_products,
    "shifts": _shifts,
    "integer sort": _integer_sort,
}
