"""A residual network for images: a stem, stages of blocks, the mean over pixels, and a dense layer.

    h = relu(N C x)                       C of 3x3 pixels to widths[0] channels
    h = block(... block(h))               stage s: blocks[s] blocks of widths[s] channels, of which
                                          the first halves the image, but for s = 0
    logits = mean_ij h[:, i, j] W + b

With blocks before activation, h = C x at first, and relu(N h) comes before the mean.
The default, 3 stages of one block, has 7 convolutions on its way and suits images of 8x8 pixels.

Reference: He, Zhang, Ren, Sun (2016), Deep residual learning, section 4.2 (the networks for small
images); Identity mappings in deep residual networks, appendix, for the other order.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._typing import Array, Float, Key, Real
from jaxml.nn import conv, dense
from jaxml.nn._tensor import statistics_dtype, tensor
from jaxml.nn.activations import relu
from jaxml.nn.norm import batch_norm
from jaxml.nn.residual import _block, basic, bottleneck

__all__ = ["Params", "State", "apply", "init"]

Stages = tuple[tuple[Any, ...], ...]


class Params(NamedTuple):
    """A network of stages of blocks."""

    stem: conv.Params  # C, without bias
    norm: batch_norm.Params  # N, of widths[0] channels, or of the last ones before activation
    stages: tuple[tuple[_block.Params, ...], ...]
    head: dense.Params  # W (widths[-1], n_classes), b


class State(NamedTuple):
    """Running moments of all batch norms."""

    norm: batch_norm.State
    stages: tuple[tuple[_block.State, ...], ...]


def init(
    *,
    key: Key,
    c_in: int,
    n_classes: int,
    widths: Sequence[int] = (16, 32, 64),
    blocks: Sequence[int] = (1, 1, 1),
    kind: str = "basic",
    preactivation: bool = False,
    dtype: Any = jnp.float32,
) -> tuple[Params, State]:
    """Draw kernels by He's rule and the dense layer by Xavier's; gains 1 and biases 0.

    Args:
      key: A JAX random key.
      c_in: Channels of the images.
      n_classes: Number of logits.
      widths: Channels of the stages' outputs.
      blocks: Number of blocks in each stage, as many as widths.
      kind: "basic" or "bottleneck", of all blocks.
      preactivation: Whether norm and activation stand before their convolution, in all blocks.
      dtype: Of the parameters.

    Raises:
      ValueError: widths and blocks are of different lengths or empty, a size below 1.

    Example:
      >>> params, state = init(key=jax.random.key(0), c_in=1, n_classes=10)
      >>> sum(leaf.size for leaf in jax.tree.leaves(params))
      77754
    """
    widths, blocks = tuple(widths), tuple(blocks)
    if len(widths) != len(blocks) or not widths:
        raise ValueError(
            f"widths and blocks must have one entry per stage: got {widths} and {blocks}"
        )
    block = {"basic": basic, "bottleneck": bottleneck}[
        _check.choice("kind", kind, ("basic", "bottleneck"))
    ]
    first, last, *keys = jax.random.split(
        key, 2 + sum(_check.integer("blocks", b, 1) for b in blocks)
    )
    drawn, remaining, c = [], iter(keys), widths[0]
    for s, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        stage = []
        for b in range(count):
            options = {"stride": _stride(s, b), "preactivation": preactivation, "dtype": dtype}
            stage.append(block.init(key=next(remaining), c_in=c, c_out=width, **options))
            c = width
        drawn.append(stage)
    stem = conv.init(key=first, c_in=c_in, c_out=widths[0], use_bias=False, dtype=dtype)
    norm, moments = batch_norm.init(c if preactivation else widths[0], dtype=dtype)
    head = dense.init(key=last, d_in=c, d_out=n_classes, dtype=dtype)
    params = tuple(tuple(p for p, _ in stage) for stage in drawn)
    states = tuple(tuple(s for _, s in stage) for stage in drawn)
    return Params(stem, norm, params, head), State(moments, states)


def apply(
    params: Params,
    state: State,
    x: Float[Array, "n h w c"],
    *,
    training: bool,
    preactivation: bool = False,
    momentum: Real = 0.9,
    eps: Real = 1e-5,
    axis_name: str | tuple[str, ...] | None = None,
) -> tuple[Float[Array, "n k"], State]:
    """Return logits and the new state.

    Args:
      params: As drawn by init, which fixes the kind of the blocks.
      state: Running moments of the norms.
      x: Images, batch first and channels last, of any size from one pixel on.
      training: Static; whether the norms use the moments of the batch.
      preactivation: As given to init; static.
      momentum: Of the running moments, see batch_norm.
      eps: Added to variances.
      axis_name: Of the mapped axis over which the batch is spread, if it is.

    Raises:
      ValueError: Channels or order are not those of params; or one value per channel in training.

    Example:
      >>> params, state = init(key=jax.random.key(0), c_in=1, n_classes=10)
      >>> logits, state = apply(params, state, jnp.ones((2, 8, 8, 1)), training=False)
      >>> logits.shape
      (2, 10)
    """
    x = tensor("x", x, "n", "h", "w", jnp.shape(params.stem.kernel)[2])
    return _apply(
        params, state, x, *_block.checked(x, momentum, eps),
        preactivation=preactivation, training=training, axis_name=axis_name,
    )  # fmt: skip


@partial(jax.jit, static_argnames=("preactivation", "training", "axis_name"))
def _apply(
    params: Params, state: State, x: Array, momentum: Real, eps: Real, *, preactivation: bool,
    **static: Any,
) -> tuple[Array, State]:  # fmt: skip
    norming = {"momentum": momentum, "eps": eps, **static}
    h, moments = conv.apply(params.stem, x, padding=_block.AROUND), state.norm
    if not preactivation:
        h, moments = batch_norm.apply(params.norm, state.norm, h, **norming)
        h = relu(h)
    stages = []
    for s, (stage, old) in enumerate(zip(params.stages, state.stages, strict=True)):
        new = []
        for b, (block, at) in enumerate(zip(stage, old, strict=True)):
            kind = basic if len(block.convs) == 2 else bottleneck
            options = {"stride": _stride(s, b), "preactivation": preactivation, **norming}
            h, at_next = kind.apply(block, at, h, **options)
            new.append(at_next)
        stages.append(tuple(new))
    if preactivation:
        h, moments = batch_norm.apply(params.norm, state.norm, h, **norming)
        h = relu(h)
    pooled = h.astype(statistics_dtype(h.dtype)).mean(axis=(1, 2)).astype(h.dtype)
    return dense.apply(params.head, pooled), State(moments, tuple(stages))


def _stride(stage: int, block: int) -> int:
    """The first block of every stage but the first halves the image."""
    return 2 if stage > 0 and block == 0 else 1
