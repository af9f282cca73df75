"""An LSTM through time and pooling over images, beside PyTorch and flax.linen.

The LSTM starts from zeros; PyTorch adds two biases, of which the second is 0 here, and flax has one
matrix per gate. Windows of the pools are square, with zeros or, for a maximum, -inf around.
"""

from typing import Any

import numpy as np

from benchmarks import layers
from benchmarks.peers import Given
from benchmarks.problem import Contestant, Job, Problem

__all__ = ["JOBS"]


def lstm(
    rng: np.random.Generator,
    dtype: str,
    *,
    t: int,
    b: int,
    d: int,
    h: int,
    gradient: bool = False,
) -> Problem:
    """Normal sequences, weights of variance 1 / (d + h)."""
    from jaxml.nn import lstm

    scale = float((d + h) ** -0.5)
    W: Any = layers.normal(rng, dtype, d, 4 * h, scale=scale)
    R: Any = layers.normal(rng, dtype, h, 4 * h, scale=scale)
    bias: Any = layers.normal(rng, dtype, 4 * h, scale=0.1)
    params = lstm.Params(W, R, bias)
    x = layers.normal(rng, dtype, t, b, d)
    return layers.problem(
        rng, lstm.apply, (params, x), gradient=gradient,
        reference=layers.by_autodiff(_cell_equations, gradient=gradient),
        flops=8.0 * t * b * h * (d + h), given={},
    )  # fmt: skip


def _cell_equations(params: Any, x: Any) -> tuple[Any, Any]:
    """The LSTM step by step as it is defined, differentiated by JAX."""
    import jax
    import jax.numpy as jnp

    W, R, bias = params

    def step(state: Any, x: Any) -> Any:
        h, c = state
        z = x @ W + h @ R
        i, f, g, o = jnp.split(z + jnp.broadcast_to(bias, z.shape), 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((x.shape[1], R.shape[0]), x.dtype)
    state, y = jax.lax.scan(step, (zeros, zeros), x)
    return y, state


def lstm_peer(
    given: Given, tol: float | None, *, library: str, compiled: bool = False
) -> Contestant:
    """torch.nn.LSTM (on a GPU cuDNN's) or flax.linen.RNN over an OptimizedLSTMCell."""
    del tol
    params, x = given["leaves"]
    gradient, u = given["gradient"], given["u"]
    if library == "flax":
        return _flax_lstm(params, x, u, gradient=gradient)
    W, R, bias = (layers.tensor(leaf) for leaf in params)
    kind = layers.torch()
    module = kind.nn.LSTM(x.shape[2], R.shape[0]).to(device=W.device, dtype=W.dtype)
    with kind.no_grad():
        module.weight_ih_l0.copy_(W.T)
        module.weight_hh_l0.copy_(R.T)
        module.bias_ih_l0.copy_(bias)
        module.bias_hh_l0.zero_()

    def f(W: Any, R: Any, b: Any, c: Any, x: Any) -> tuple[Any, Any]:
        del W, R, b, c  # the module's own
        return module(x)

    def read(y: Any, g: Any) -> Any:
        y = layers.back(y)
        return (y, layers.back(g[0].T), layers.back(g[1].T), *map(layers.back, g[2::2])) if g else y

    leaves = (*module.parameters(), layers.tensor(x))
    u = layers.tensor(u)
    return layers.torch_call(f, leaves, u, read, gradient=gradient, compiled=compiled)


def _flax_lstm(params: Any, x: Any, u: Any, *, gradient: bool) -> Contestant:
    linen = layers.flax()
    options = {"dtype": x.dtype, "param_dtype": x.dtype}
    h = params.recurrent.shape[0]
    module = linen.RNN(linen.OptimizedLSTMCell(h, **options), time_major=True, return_carry=True)
    kernel, recurrent, bias = (np.split(leaf, 4, axis=-1) for leaf in params)
    cell = {
        **{f"i{gate}": {"kernel": kernel[k]} for k, gate in enumerate("ifgo")},
        **{f"h{gate}": {"kernel": recurrent[k], "bias": bias[k]} for k, gate in enumerate("ifgo")},
    }

    def f(cell: Any, x: Any) -> tuple[Any, Any]:
        state, y = module.apply({"params": {"cell": cell}}, x)
        return y, state

    def ordered(y: Any, g: Any) -> Any:
        if not gradient:
            return y
        cell, dx = g
        leaves = [
            np.concatenate([np.asarray(cell[f"{side}{gate}"][leaf]) for gate in "ifgo"], axis=-1)
            for side, leaf in (("i", "kernel"), ("h", "kernel"), ("h", "bias"))
        ]
        return (y, *leaves, dx)

    return layers.flax_call(f, (cell, x), u, ordered, gradient=gradient)


def pool(
    rng: np.random.Generator,
    dtype: str,
    *,
    n: int,
    h: int,
    w: int,
    c: int,
    window: int,
    stride: int,
    pad: int = 0,
    mean: bool = False,
    gradient: bool = False,
) -> Problem:
    """Normal images; a maximum, or a mean that counts padding."""
    from jaxml.nn import pool

    x = layers.normal(rng, dtype, n, h, w, c)
    call = pool.avg_pool if mean else pool.max_pool

    def f(x: Any) -> tuple[Any, tuple]:
        return call(x, window=window, stride=stride, padding=((pad, pad),) * 2), ()

    def windows(x: Any) -> tuple[Any, tuple]:
        import jax

        area = (1, window, window, 1), (1, stride, stride, 1), ((0, 0), *((pad, pad),) * 2, (0, 0))
        if mean:
            return jax.lax.reduce_window(x, 0.0, jax.lax.add, *area) / window**2, ()
        return jax.lax.reduce_window(x, -np.inf, jax.lax.max, *area), ()

    return layers.problem(
        rng, f, (x,), gradient=gradient, flops=0.0,
        reference=layers.by_autodiff(windows, gradient=gradient),
        given={"window": window, "stride": stride, "pad": pad, "mean": mean},
    )  # fmt: skip


def pool_peer(
    given: Given, tol: float | None, *, library: str, channels_last: bool = False,
    compiled: bool = False,
) -> Contestant:  # fmt: skip
    """torch.nn.functional.max_pool2d and avg_pool2d, or flax.linen.max_pool and avg_pool."""
    del tol
    (x,), gradient, u = given["leaves"], given["gradient"], given["u"]
    window, stride, pad, mean = (given[key] for key in ("window", "stride", "pad", "mean"))
    if library == "flax":
        linen = layers.flax()
        call = linen.avg_pool if mean else linen.max_pool

        def f(x: Any) -> tuple[Any, tuple]:
            pads = ((pad, pad),) * 2
            return call(x, (window, window), strides=(stride, stride), padding=pads), ()

        return layers.flax_call(
            f, (x,), u, lambda y, g: (y, g[0]) if gradient else y, gradient=gradient
        )
    functional = layers.torch().nn.functional
    pooled = functional.avg_pool2d if mean else functional.max_pool2d

    def image(x: np.ndarray) -> Any:
        channels_first = layers.tensor(x).permute(0, 3, 1, 2)
        return channels_first if channels_last else channels_first.contiguous()

    def nhwc(x: Any) -> np.ndarray:
        return layers.back(x).transpose(0, 2, 3, 1)

    def g(x: Any) -> tuple[Any, tuple]:
        return pooled(x, window, stride, pad), ()

    return layers.torch_call(
        g, (image(x),), image(u), lambda y, g: (nhwc(y), nhwc(g[0])) if g else nhwc(y),
        gradient=gradient, compiled=compiled,
    )  # fmt: skip


JOBS = {"nn.lstm": Job(lstm, lstm_peer), "nn.pool": Job(pool, pool_peer)}
