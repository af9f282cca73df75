"""Convolution and a basic residual block in training, beside PyTorch and flax.linen.

PyTorch's tensors are (n, c, h, w), in memory as named by ``channels_last``; its kernels are (c_out,
c_in, r, q). The residual block is two 3x3 convolutions without bias, each followed by a batch norm
of the batch's moments, with the identity as skip; all sides keep running statistics.
"""

from typing import Any

import numpy as np

from benchmarks import layers
from benchmarks.peers import Given
from benchmarks.problem import Contestant, Job, Problem

__all__ = ["JOBS"]


def conv(
    rng: np.random.Generator,
    dtype: str,
    *,
    n: int,
    h: int,
    w: int,
    c_in: int,
    c_out: int,
    window: int = 3,
    stride: int = 1,
    gradient: bool = False,
) -> Problem:
    """Normal images, a kernel by He's rule, zeros of half the window around."""
    from jaxml.closed_form.nn import conv as hand
    from jaxml.nn import conv

    x = layers.normal(rng, dtype, n, h, w, c_in)
    scale = float(np.sqrt(2.0 / (window**2 * c_in)))
    params = conv.Params(
        layers.normal(rng, dtype, window, window, c_in, c_out, scale=scale),
        layers.normal(rng, dtype, c_out),
    )
    pads = ((window // 2, window // 2),) * 2

    def f(params: Any, x: Any) -> tuple[Any, tuple]:
        return conv.apply(params, x, stride=stride, padding=pads), ()

    def reference(params: Any, x: Any, *u: Any) -> Any:
        options: dict[str, Any] = {"stride": (stride, stride), "padding": pads}
        y = hand.apply(params, x, **options)
        return (y, hand.backward(params, x, *u, **options)) if gradient else y

    pixels = n * (-(-h // stride)) * (-(-w // stride))
    return layers.problem(
        rng, f, (params, x), gradient=gradient, reference=reference,
        flops=2.0 * pixels * window**2 * c_in * c_out, given={"stride": stride},
    )  # fmt: skip


def conv_peer(
    given: Given, tol: float | None, *, library: str, channels_last: bool = False,
    compiled: bool = False,
) -> Contestant:  # fmt: skip
    """torch.nn.functional.conv2d or flax.linen.Conv."""
    del tol
    params, x = given["leaves"]
    gradient, stride = given["gradient"], given["stride"]
    window, _, _, c_out = params.kernel.shape
    pad = window // 2
    if library == "flax":
        options = {"strides": stride, "padding": pad, "dtype": x.dtype, "param_dtype": x.dtype}
        module = layers.flax().Conv(c_out, (window, window), **options)
        leaves = ({"kernel": params.kernel, "bias": params.bias}, x)

        def f(params: Any, x: Any) -> tuple[Any, tuple]:
            return module.apply({"params": params}, x), ()

        def ordered(y: Any, g: Any) -> Any:
            return (y, g[0]["kernel"], g[0]["bias"], g[1]) if gradient else y

        return layers.flax_call(f, leaves, given["u"], ordered, gradient=gradient)
    functional = layers.torch().nn.functional
    tensors = (
        _kernel(params.kernel, channels_last),
        layers.tensor(params.bias),
        _images(x, channels_last),
    )

    def g(W: Any, b: Any, x: Any) -> tuple[Any, tuple]:
        return functional.conv2d(x, W, b, stride=stride, padding=pad), ()

    def read(y: Any, g: Any) -> Any:
        return (_nhwc(y), _hwio(g[0]), layers.back(g[1]), _nhwc(g[2])) if gradient else _nhwc(y)

    u = _images(given["u"], channels_last)
    return layers.torch_call(g, tensors, u, read, gradient=gradient, compiled=compiled)


def _images(x: Any, channels_last: bool) -> Any:
    """(n, h, w, c) as a tensor (n, c, h, w), in that order in memory or in ours."""
    images = layers.tensor(x).permute(0, 3, 1, 2)
    return images if channels_last else images.contiguous()


def _kernel(W: Any, channels_last: bool) -> Any:
    kernel = layers.tensor(W).permute(3, 2, 0, 1).contiguous()
    kind = layers.torch().channels_last
    return kernel.to(memory_format=kind) if channels_last else kernel


def _nhwc(x: Any) -> np.ndarray:
    return layers.back(x).transpose(0, 2, 3, 1)


def _hwio(W: Any) -> np.ndarray:
    return layers.back(W).transpose(2, 3, 1, 0)


def block(
    rng: np.random.Generator,
    dtype: str,
    *,
    n: int,
    h: int,
    w: int,
    c: int,
    gradient: bool = False,
) -> Problem:
    """Normal images, kernels by He's rule, gains about 1."""
    from jaxml.closed_form.nn import residual as hand
    from jaxml.nn import conv
    from jaxml.nn.norm import batch_norm
    from jaxml.nn.residual import basic

    x = layers.normal(rng, dtype, n, h, w, c)
    scale = float(np.sqrt(2.0 / (9 * c)))
    kernels = [layers.normal(rng, dtype, 3, 3, c, c, scale=scale) for _ in range(2)]
    norms = [
        batch_norm.Params(
            1 + layers.normal(rng, dtype, c, scale=0.1), layers.normal(rng, dtype, c, scale=0.1)
        )
        for _ in range(2)
    ]
    params = basic.Params(tuple(conv.Params(W, None) for W in kernels), tuple(norms), None)
    wide = "float64" if dtype == "float64" else "float32"
    zeros: Any = np.zeros(c, wide)
    moments = batch_norm.State(zeros, zeros + 1)
    state = basic.State((moments, moments), None)

    def f(params: Any, x: Any) -> tuple[Any, Any]:
        return basic.apply(params, state, x, training=True)

    def reference(params: Any, x: Any, *u: Any) -> Any:
        y = hand.apply(params, x)
        return (y, hand.backward(params, x, *u)) if gradient else y

    return layers.problem(
        rng, f, (params, x), gradient=gradient, reference=reference,
        flops=2 * 2.0 * n * h * w * 9 * c * c, given={},
    )  # fmt: skip


def block_peer(
    given: Given, tol: float | None, *, library: str, channels_last: bool = False,
    compiled: bool = False,
) -> Contestant:  # fmt: skip
    """The same block of torch.nn.functional or flax.linen."""
    del tol
    params, x = given["leaves"]
    gradient, u, c = given["gradient"], given["u"], x.shape[3]
    flat = [*(p.kernel for p in params.convs), *(v for norm in params.norms for v in norm)]
    if library == "flax":
        f = _flax_block(c, x.dtype)

        def ordered(y: Any, g: Any) -> Any:
            return (y, *g) if gradient else y

        return layers.flax_call(f, (*flat, x), u, ordered, gradient=gradient)
    functional = layers.torch().nn.functional
    tensors = (
        *(_kernel(W, channels_last) for W in flat[:2]),
        *map(layers.tensor, flat[2:]),
        _images(x, channels_last),
    )
    wide = np.float64 if x.dtype == np.float64 else np.float32
    moments = [layers.tensor(f(c, wide)) for _ in range(2) for f in (np.zeros, np.ones)]

    def g(W1: Any, W2: Any, s1: Any, b1: Any, s2: Any, b2: Any, x: Any) -> tuple[Any, tuple]:
        y = functional.conv2d(x, W1, padding=1)
        y = functional.batch_norm(y, moments[0], moments[1], s1, b1, training=True, eps=1e-5)
        y = functional.conv2d(functional.relu(y), W2, padding=1)
        y = functional.batch_norm(y, moments[2], moments[3], s2, b2, training=True, eps=1e-5)
        return functional.relu(y + x), ()

    def read(y: Any, g: Any) -> Any:
        if not gradient:
            return _nhwc(y)
        return _nhwc(y), [_hwio(W) for W in g[:2]], [layers.back(v) for v in g[2:6]], _nhwc(g[6])

    u = _images(u, channels_last)
    return layers.torch_call(g, tensors, u, read, gradient=gradient, compiled=compiled)


def _flax_block(c: int, dtype: Any) -> Any:
    linen = layers.flax()
    options = {"dtype": dtype, "param_dtype": dtype}
    conv = linen.Conv(c, (3, 3), padding=1, use_bias=False, **options)
    norm = linen.BatchNorm(use_running_average=False, momentum=0.9, epsilon=1e-5, **options)
    zero = {"mean": np.zeros(c, np.float32), "var": np.ones(c, np.float32)}

    def normed(x: Any, scale: Any, bias: Any) -> tuple[Any, Any]:
        variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": zero}
        return norm.apply(variables, x, mutable=["batch_stats"])

    def f(W1: Any, W2: Any, s1: Any, b1: Any, s2: Any, b2: Any, x: Any) -> tuple[Any, Any]:
        y, first = normed(conv.apply({"params": {"kernel": W1}}, x), s1, b1)
        y = conv.apply({"params": {"kernel": W2}}, linen.relu(y))
        y, second = normed(y, s2, b2)
        return linen.relu(y + x), (first, second)

    return f


JOBS = {"nn.conv": Job(conv, conv_peer), "nn.residual": Job(block, block_peer)}
