"""Attention over heads, block by block, so that the scores of all heads never stand at once.

    z = q k',   p = softmax(z) over the keys left in,   o = p v,   l = log sum_j e^(z_j)

Symbols: q (n, t, d) queries, already scaled; k (n, s, d) keys; v (n, s, e) values; n heads of all
examples in a row. A row of z with no key left in has p = 0, o = 0, and l = +inf, so that
p = e^(z - l) holds for it as well.

The derivative recomputes p from l instead of keeping it. With o at hand it needs no further sum
over the keys in reverse mode:

    do = (p * dz) v - r o + p dv,   dz = dq k' + q dk',   r_i = sum_j p_ij dz_ij,   dl = r

since sum_j p_ij (dz_ij - r_i) v_j = sum_j p_ij dz_ij (v_j - o_i).

Reference: Dao (2023), FlashAttention-2, section 3.1 and Algorithm 2.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml._typing import Array, Bool, Float

__all__ = ["Plan", "as_mask", "attend", "outputs", "plan"]

CPU, ACCELERATOR = 2**23, 2**28  # scores in a block: 32 MB in float32, and 1 GB


class Plan(NamedTuple):
    """How the scores are cut, all static."""

    group: int  # heads in a block; divides n
    rows: int  # queries in a block; fewer than all only where group is 1
    causal: bool  # query i attends to keys 0..i only
    heads: int  # of one example, by which a mask finds its heads
    scores: int  # the most in a block; a quarter in the derivative, which holds four such arrays


def plan(n: int, t: int, s: int, *, causal: bool, heads: int, scores: int) -> Plan:
    """Return the largest blocks that hold at most so many scores: whole heads, or rows of one."""
    room = scores // (t * s)
    if room:
        group = max(g for g in range(1, min(n, room) + 1) if n % g == 0)
        return Plan(group, t, causal, heads, scores)
    parts = -(-t // max(1, scores // s))
    return Plan(1, -(-t // parts), causal, heads, scores)


def as_mask(mask: Any, shape: tuple[int, ...]) -> Array:
    """Return a mask of shape (..., h, t, s) as (b, h, t, s), b examples in a row, 1 where it has 1.

    Raises:
      TypeError: Not boolean.
      ValueError: It does not broadcast to shape.
    """
    mask = jnp.asarray(mask)
    if mask.dtype != jnp.bool_:
        raise TypeError(f"mask must hold booleans, True to attend: got dtype {mask.dtype}")
    full = (1,) * (len(shape) - mask.ndim) + mask.shape
    if len(full) != len(shape) or any(
        m not in (1, want) for m, want in zip(full, shape, strict=True)
    ):
        raise ValueError(f"mask must broadcast to (..., h, t, s) = {shape}: got shape {mask.shape}")
    lead, size = full[:-3], full[-3:]
    if all(m == 1 for m in lead):
        return mask.reshape(1, *size)
    return jnp.broadcast_to(mask.reshape(full), (*shape[:-3], *size)).reshape(-1, *size)


def attend(
    q: Float[Array, "n t d"],
    k: Float[Array, "n s d"],
    v: Float[Array, "n s e"],
    mask: Bool[Array, "b h t s"] | None,
    *,
    causal: bool,
    heads: int,
) -> Float[Array, "n t e"]:
    """Return o; no axis is empty.

    Args:
      q: Queries, scaled.
      k: Keys.
      v: Values.
      mask: True where a query may attend. An axis of length 1 stands for all of them.
      causal: Static; whether query i attends to keys 0..i only.
      heads: Static; head i of n is head i % heads of example i // heads.
    """
    cut = partial(plan, *q.shape[:2], k.shape[1], causal=causal, heads=heads)
    small, large = cut(scores=CPU), cut(scores=ACCELERATOR)
    if q.shape[0] * q.shape[1] * k.shape[1] <= CPU // 4:  # one block, of the derivative as well
        return outputs(small, mask, q, k, v)[0]
    return jax.lax.platform_dependent(
        mask, q, k, v,
        cpu=lambda *args: outputs(small, *args)[0],
        default=lambda *args: outputs(large, *args)[0],
    )  # fmt: skip


@partial(jax.custom_jvp, nondiff_argnums=(0,))
@partial(jax.jit, static_argnums=0)
def outputs(plan: Plan, mask: Array | None, q: Array, k: Array, v: Array) -> tuple[Array, Array]:
    """(o, l), l (n, t, 1)."""
    return _by_blocks(_output, plan, mask, (q,), (k, v))


@outputs.defjvp
def _(cut: Plan, primals: tuple, tangents: tuple) -> tuple:
    mask, q, k, v = primals
    _, dq, dk, dv = tangents
    o, l = outputs(cut, mask, q, k, v)
    # Kept from the forward pass are o and l; whatever has the size of the scores is recomputed.
    change = jax.checkpoint(_change)
    smaller = plan(
        q.shape[0], q.shape[1], k.shape[1],
        causal=cut.causal, heads=cut.heads, scores=max(1, cut.scores // 4),
    )  # fmt: skip
    return (o, l), _by_blocks(change, smaller, mask, (q, o, l, dq), (k, v, dk, dv))


def _product(a: Array, b: Array) -> Array:
    """a b' for every head."""
    return jnp.matmul(a, jnp.swapaxes(b, -1, -2))


def _scores(keep: Array | None, q: Array, k: Array) -> Array:
    z = _product(q, k)
    return z if keep is None else jnp.where(keep, z, -jnp.inf)


def _output(keep: Array | None, rows: tuple, columns: tuple) -> tuple[Array, Array]:
    """(o, l) of a block."""
    (q,), (k, v) = rows, columns
    z = _scores(keep, q, k)
    # -inf - (-inf) would be NaN, and 0 / 0; a bound from below costs a CPU less than a choice.
    limits = jnp.finfo(z.dtype)
    top = jnp.maximum(jnp.max(z, axis=-1, keepdims=True), limits.min)
    e = jnp.exp(z - top)
    total = jnp.sum(e, axis=-1, keepdims=True)
    some = jnp.maximum(total, limits.tiny)
    return jnp.matmul(e, v) / some, jnp.where(total == 0, jnp.inf, top + jnp.log(some))


def _change(keep: Array | None, rows: tuple, columns: tuple) -> tuple[Array, Array]:
    """(do, dl) of a block, linear in dq, dk, dv."""
    (q, o, l, dq), (k, v, dk, dv) = rows, columns
    p = jnp.exp(_scores(keep, q, k) - l)
    pdz = p * (_product(dq, k) + _product(q, dk))
    r = jnp.sum(pdz, axis=-1, keepdims=True)
    return jnp.matmul(pdz, v) - r * o + jnp.matmul(p, dv), r


def _by_blocks(
    f: Callable[..., Any], plan: Plan, mask: Array | None, rows: tuple, columns: tuple
) -> Any:
    """f(keep, rows, columns) for every block; the results are (n, t, .) like rows."""
    (n, t), s = rows[0].shape[:2], columns[0].shape[1]
    parts = -(-t // plan.rows)
    extra = ((0, 0), (0, parts * plan.rows - t), (0, 0))  # rows to fill up the last part

    def group(i: Any, rows: tuple, columns: tuple) -> Any:
        own = None if mask is None else _of_group(plan, mask, i, n)
        if parts == 1:
            return f(_left_in(plan, own, 0, s), rows, columns)
        if own is not None and own.shape[1] > 1:
            own = jnp.pad(own, extra)

        def part(j: Any, rows: tuple) -> Any:
            return f(_left_in(plan, own, j * plan.rows, s), rows, columns)

        split = tuple(jnp.pad(a, extra).reshape(parts, 1, plan.rows, a.shape[2]) for a in rows)
        found = jax.lax.map(lambda args: part(*args), (jnp.arange(parts), split))
        return jax.tree.map(lambda a: a.reshape(1, parts * plan.rows, a.shape[3])[:, :t], found)

    if n == plan.group:
        return group(0, rows, columns)
    groups = n // plan.group
    cut = [
        tuple(a.reshape(groups, plan.group, *a.shape[1:]) for a in side) for side in (rows, columns)
    ]
    found = jax.lax.map(lambda args: group(*args), (jnp.arange(groups), *cut))
    return jax.tree.map(lambda a: a.reshape(n, *a.shape[2:]), found)


def _of_group(plan: Plan, mask: Array, i: Any, n: int) -> Array:
    """The mask of group i of the heads: (1 or group, 1 or t, 1 or s)."""
    b, h, *size = mask.shape
    if b * h == 1:
        return mask[0]
    if plan.group == n:
        whole = jnp.broadcast_to(mask, (n // plan.heads, plan.heads, *size))
        return whole.reshape(n, *size)
    head = i * plan.group + jnp.arange(plan.group)
    return mask[head // plan.heads if b > 1 else 0 * head, head % plan.heads if h > 1 else 0 * head]


def _left_in(plan: Plan, own: Array | None, start: Any, s: int) -> Array | None:
    """Which keys the queries from start on may attend to, where not all of them."""
    if own is not None and own.shape[1] > plan.rows:
        own = jax.lax.dynamic_slice_in_dim(own, start, plan.rows, axis=1)
    if not plan.causal:
        return own
    past = (start + jnp.arange(plan.rows))[:, None] >= jnp.arange(s)[None, :]
    return past[None] if own is None else past[None] & own
