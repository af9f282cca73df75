"""Convolution of images (cross-correlation, as everywhere in learning), channels last.

    y[n, i, j, o] = b[o] + sum_pqc W[p, q, c, o] X[n, s i + d p, t j + e q, c_o + c]

Symbols: X is x (n, h, w, c_in) with zeros around it; W = kernel (r, q, c_in / groups, c_out);
(s, t) = stride, (d, e) = dilation. Output channel o sees the channels of its group: c_o is
c_in / groups times the number of the group, and groups divide the output channels alike.
Sizes: i runs over (h + padding - d (r - 1) - 1) // s + 1 rows, which must be at least 1.
"SAME" pads so that there are ceil(h / s) rows, the odd zero at the end (as XLA and TensorFlow do;
PyTorch's padding=p is ((p, p), (p, p)), which differs for a stride above 1).

A window of one pixel is a product of each pixel's channels with a matrix. On a CPU the derivative
in the kernel of a 3x3 window with stride and dilation 1 is taken as 16 products for 4 results
(_winograd) where that is the faster, in float32 and float64 and for many pixels and channels. All
else is a sum over the window alone.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxml import _check
from jaxml._typing import Array, Float, Key
from jaxml.nn import _winograd, initializers
from jaxml.nn._tensor import along_last, tensor

__all__ = ["Params", "apply", "init"]

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]
Images = Float[Array, "n h w c"]
WORK = 2e8  # multiplications and additions from which on a CPU fewer of them are faster


class Params(NamedTuple):
    """A convolution."""

    kernel: Float[Array, "r q c_in_of_a_group c_out"]  # W
    bias: Float[Array, " c_out"] | None  # b; None adds none, as before a batch norm


def init(
    *,
    key: Key,
    c_in: int,
    c_out: int,
    window: int | Sequence[int] = (3, 3),
    groups: int = 1,
    use_bias: bool = True,
    dtype: Any = jnp.float32,
) -> Params:
    """Draw a kernel by He's rule, with a bias of zeros.

    Args:
      key: Draws the kernel.
      c_in: Channels of the images, >= 1, a multiple of groups; static, as all sizes here.
      c_out: Channels of the result, >= 1, a multiple of groups.
      window: Rows and columns of the window, or one number for both.
      groups: Parts into which the channels are split; c_in of them is a depthwise convolution.
      use_bias: Whether there is a bias.
      dtype: Of the parameters.

    Raises:
      ValueError: A size is below 1, or groups divides c_in or c_out not.

    Example:
      >>> init(key=jax.random.key(0), c_in=4, c_out=6, groups=2).kernel.shape
      (3, 3, 2, 6)
    """
    rows, columns = _pair("window", window)
    groups = _check.integer("groups", groups, 1)
    for name, c in (("c_in", c_in), ("c_out", c_out)):
        if _check.integer(name, c, 1) % groups:
            raise ValueError(f"{name} must be a multiple of groups = {groups}: got {c}")
    shape = (rows, columns, c_in // groups, c_out)
    kernel = initializers.he_normal(shape, key=key, dtype=dtype)
    return Params(kernel, jnp.zeros(c_out, dtype) if use_bias else None)


def apply(
    params: Params,
    x: Images,
    *,
    stride: int | Sequence[int] = 1,
    padding: str | Sequence[Sequence[int]] = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Float[Array, "n i j c_out"]:
    """Return y as defined at the top of this module.

    Args:
      params: Kernel and bias, cast to the dtype of x.
      x: Images, batch first and channels last.
      stride: (s, t), or one number for both; static, as are all options.
      padding: "SAME", "VALID" (none), or ((above, below), (left, right)), zeros to add.
      dilation: (d, e), the distance between pixels that a window sees, or one number for both.
      groups: As given to init.

    Raises:
      ValueError: Channels that fit neither the kernel nor the groups, an option that is none of
        the above, or a window larger than the padded image.

    Example:
      >>> params = Params(jnp.ones((3, 3, 1, 1)), jnp.zeros(1))
      >>> apply(params, jnp.ones((1, 2, 2, 1)))[0, :, :, 0].tolist()  # each window sees all four
      [[4.0, 4.0], [4.0, 4.0]]
    """
    x = tensor("x", x, "n", "h", "w", "c")
    kernel = tensor("params.kernel", params.kernel, "r", "q", "c_in / groups", "c_out")
    groups = _check.integer("groups", groups, 1)
    c, c_out = kernel.shape[2:]
    if x.shape[3] != c * groups:
        expected = f"{c * groups} channels ({c} of the kernel in each of {groups} group(s))"
        raise ValueError(f"x must have {expected}: got {x.shape[3]}, shape {x.shape}")
    if c_out % groups:
        raise ValueError(f"groups must divide the {c_out} channels of the kernel: got {groups}")
    stride, dilation = _pair("stride", stride), _pair("dilation", dilation)
    _, h, w, _ = x.shape
    r, q, _, _ = kernel.shape
    pads = _pads(padding, (h, w), (r, q), stride, dilation)
    y = _convolved(x, kernel.astype(x.dtype), stride, pads, dilation, groups)
    if params.bias is None:
        return y
    return y + along_last(tensor("params.bias", params.bias, c_out), y)


def _pair(name: str, value: Any) -> Pair:
    """Two positive integers, from one or two."""
    pair = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name} must be one number or two (rows, columns): got {value!r}")
    rows, columns = (_check.integer(name, v, 1) for v in pair)
    return rows, columns


def _pads(padding: Any, image: Pair, window: Pair, stride: Pair, dilation: Pair) -> Pads:
    """Zeros to add above and below, left and right."""
    spans = [d * (r - 1) + 1 for r, d in zip(window, dilation, strict=True)]
    if not isinstance(padding, str):
        ends = padding if isinstance(padding, Sequence) else ()
        if [len(two) if isinstance(two, Sequence) else 0 for two in ends] != [2, 2]:
            expected = '"SAME", "VALID" or ((above, below), (left, right))'
            raise ValueError(f"padding must be {expected}: got {padding!r}")
        pads = [(_check.integer("padding", a, 0), _check.integer("padding", b, 0)) for a, b in ends]
    elif _check.choice("padding", padding, ("SAME", "VALID")) == "VALID":
        pads = [(0, 0), (0, 0)]
    else:
        # ceil(h / s) windows reach over s (ceil(h / s) - 1) + span pixels.
        more = [
            max((-(-h // s) - 1) * s + span - h, 0)
            for h, s, span in zip(image, stride, spans, strict=True)
        ]
        pads = [(m // 2, m - m // 2) for m in more]
    padded = [h + a + b for h, (a, b) in zip(image, pads, strict=True)]
    if any(p < span for p, span in zip(padded, spans, strict=True)):
        raise ValueError(
            f"the window spans {tuple(spans)} pixels, more than the padded image: expected at "
            f"least as many, got {tuple(padded)}"
        )
    return pads[0], pads[1]


@partial(jax.jit, static_argnums=(2, 3, 4, 5))
def _convolved(
    x: Images, W: Array, stride: Pair, pads: Pads, dilation: Pair, groups: int
) -> Images:
    if W.shape[:2] == (1, 1) and groups == 1:
        return jnp.matmul(_padded(x, pads)[:, :: stride[0], :: stride[1]], W[0, 0])

    def whole(x: Images, W: Array) -> Images:
        return jax.lax.conv_general_dilated(
            x, W, stride, pads, rhs_dilation=dilation, feature_group_count=groups,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    plain = (W.shape[:2], stride, dilation, groups) == ((3, 3), (1, 1), (1, 1), 1)
    large = min(W.shape[2:]) >= 32 and 2 * x.size * W.size / W.shape[2] >= WORK
    if not (plain and large and x.dtype.itemsize >= 4):
        return whole(x, W)

    @jax.custom_jvp
    def convolved(x: Images, W: Array) -> Images:
        return whole(x, W)

    @convolved.defjvp
    def _(primals: tuple, tangents: tuple) -> tuple:
        (x, W), (dx, dW) = primals, tangents
        by_tiles = partial(_winograd.convolved, pads=pads)
        # No branch around the other two: in one, XLA misses its fast form of a transpose on a CPU.
        along_W = jax.lax.platform_dependent(x, dW, cpu=by_tiles, default=whole)
        return convolved(x, W), whole(dx, W) + along_W

    return convolved(x, W)


def _padded(x: Images, pads: Pads) -> Images:
    return x if pads == ((0, 0), (0, 0)) else jnp.pad(x, ((0, 0), *pads, (0, 0)))
