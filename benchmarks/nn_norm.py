"""Batch norm in training and dropout, beside PyTorch and flax.linen.

Images are channels last on our side; PyTorch's batch norm gets (n, c, h, w), in memory as named by
``channels_last``. All sides keep running statistics. Dropout draws its mask within the call, each
library by its own generator: it is judged by whether each entry is 0 or x / (1 - p), the share of
zeros within 6 standard errors of the rate, and by the gradient being that of the same mask.
"""

from typing import Any

import numpy as np

from benchmarks import layers
from benchmarks.peers import Given
from benchmarks.problem import Contestant, Job, Problem

__all__ = ["JOBS"]


def batch_norm(
    rng: np.random.Generator, dtype: str, *, n: int, h: int, w: int, c: int, gradient: bool = False
) -> Problem:
    """Images with channels of unequal mean and scale, gains about 1."""
    from jaxml.closed_form.nn.norm import batch_norm as hand
    from jaxml.nn.norm import batch_norm

    wide = "float64" if dtype == "float64" else "float32"
    scale: Any = 1 + layers.normal(rng, dtype, c, scale=0.1)
    bias: Any = layers.normal(rng, dtype, c, scale=0.1)
    params = batch_norm.Params(scale, bias)
    x = layers.normal(rng, wide, n, h, w, c) * rng.uniform(0.5, 2.0, c) + rng.standard_normal(c)
    x = x.astype(scale.dtype)
    mean: Any = np.zeros(c, wide)
    state = batch_norm.State(mean, mean + 1)

    def f(params: Any, x: Any) -> tuple[Any, Any]:
        return batch_norm.apply(params, state, x, training=True)

    def reference(params: Any, x: Any, *u: Any) -> Any:
        rows = x.reshape(-1, c)
        y = hand.apply(params, rows, eps=1e-5).reshape(x.shape)
        if not gradient:
            return y
        grads, dx = hand.backward(params, rows, u[0].reshape(-1, c), eps=1e-5)
        return y, (grads, dx.reshape(x.shape))

    return layers.problem(
        rng, f, (params, x), gradient=gradient, reference=reference, flops=0.0,
        given={"state": state},
    )  # fmt: skip


def batch_norm_peer(
    given: Given, tol: float | None, *, library: str, channels_last: bool = False,
    compiled: bool = False,
) -> Contestant:  # fmt: skip
    """torch.nn.functional.batch_norm or flax.linen.BatchNorm."""
    del tol
    params, x = given["leaves"]
    gradient, u, state = given["gradient"], given["u"], given["state"]
    if library == "flax":
        module = layers.flax().BatchNorm(
            use_running_average=False, momentum=0.9, epsilon=1e-5, dtype=x.dtype,
            param_dtype=x.dtype,
        )  # fmt: skip
        stats = {"mean": state.mean, "var": state.variance}

        def f(params: Any, x: Any) -> tuple[Any, Any]:
            variables = {"params": params, "batch_stats": stats}
            return module.apply(variables, x, mutable=["batch_stats"])

        def ordered(y: Any, g: Any) -> Any:
            return (y, (g[0]["scale"], g[0]["bias"], g[1])) if gradient else y

        return layers.flax_call(f, (params._asdict(), x), u, ordered, gradient=gradient)
    functional = layers.torch().nn.functional
    mean, variance = (layers.tensor(v) for v in state)

    def images(x: np.ndarray) -> Any:
        t = layers.tensor(x).permute(0, 3, 1, 2)
        return t if channels_last else t.contiguous()

    def g(scale: Any, bias: Any, x: Any) -> tuple[Any, tuple]:
        y = functional.batch_norm(x, mean, variance, scale, bias, training=True, eps=1e-5)
        return y, ()

    def read(y: Any, g: Any) -> Any:
        y = layers.back(y).transpose(0, 2, 3, 1)
        if not gradient:
            return y
        return y, (*map(layers.back, g[:2]), layers.back(g[2]).transpose(0, 2, 3, 1))

    tensors = (*map(layers.tensor, params), images(x))
    return layers.torch_call(g, tensors, images(u), read, gradient=gradient, compiled=compiled)


def dropout(
    rng: np.random.Generator, dtype: str, *, n: int, d: int, rate: float, gradient: bool = False
) -> Problem:
    """Normal rows; a new mask in every row of the table, the same in every call of a side."""
    import jax

    from jaxml.nn import dropout

    x = layers.normal(rng, dtype, n, d)
    u = layers.normal(rng, dtype, n, d)
    key = jax.random.key_data(jax.random.key(int(rng.integers(2**31))))

    def f(x: Any, key: Any) -> Any:
        return dropout.apply(x, rate=rate, key=jax.random.wrap_key_data(key))

    def both(x: Any, key: Any, u: Any) -> Any:
        y, pull = jax.vjp(lambda x: f(x, key), x)
        return y, pull(u)[0]

    call = jax.jit(both if gradient else f)
    arrays = (x, np.asarray(key), u) if gradient else (x, np.asarray(key))
    n_bytes = (4 if gradient else 2) * x.nbytes

    def fit(*arrays: Any, tol: float | None) -> Any:
        del tol
        return call(*arrays)

    return Problem(
        arrays=arrays, fit=fit,
        given={"x": x, "u": u, "rate": rate, "gradient": gradient},
        gap=lambda out: mask_error(x, u, rate, out if gradient else (out,)),
        work=lambda _: (n_bytes, 0.0), read=lambda out: (out,),
    )  # fmt: skip


def mask_error(x: np.ndarray, u: np.ndarray, rate: float, out: tuple) -> float:
    """Return how far out, y or (y, dL/dx), is from a dropout at about that rate; inf if it is none.

    The scale of what is kept may be 1/(1 - p) for a p within a standard error of the rate; the
    error is the largest relative one of an entry, the scale taken from the entries themselves.
    """
    x, u, *found = (np.asarray(a, np.float64) for a in (x, u, *out))
    kept = found[0] != 0
    off = np.sqrt(rate * (1.0 - rate) / x.size)
    if abs(np.mean(~kept) - rate) > 6.0 * off + 2.0**-17:
        return float("inf")
    scale = np.median(found[0][kept] / x[kept])
    if abs(scale * (1.0 - rate) - 1.0) > 1e-3:
        return float("inf")
    errors = [np.abs(y - scale * kept * v) for y, v in zip(found, (x, u), strict=False)]
    sizes = [np.maximum(scale * np.abs(v), np.finfo(np.float32).tiny) for v in (x, u)]
    worst = max(float((e / s).max()) for e, s in zip(errors, sizes, strict=False))
    return worst if np.isfinite(worst) else float("inf")


def dropout_peer(
    given: Given, tol: float | None, *, library: str, compiled: bool = False
) -> Contestant:
    """torch.nn.functional.dropout or flax.linen.Dropout."""
    del tol
    x, u, rate, gradient = (given[k] for k in ("x", "u", "rate", "gradient"))
    if library == "flax":
        import jax

        module = layers.flax().Dropout(rate, deterministic=False)
        key = jax.random.key(0)

        def f(x: Any, key: Any) -> Any:
            return module.apply({}, x, rngs={"dropout": key})

        def both(x: Any, key: Any, u: Any) -> Any:
            y, pull = jax.vjp(lambda x: f(x, key), x)
            return y, pull(u)[0]

        call = jax.jit(both if gradient else f)
        arrays = jax.device_put((x, key, u) if gradient else (x, key))

        def run() -> Any:
            return call(*arrays)

        def as_is(out: Any) -> Any:
            return (out,)

        return run, as_is
    functional = layers.torch().nn.functional

    def g(x: Any) -> tuple[Any, tuple]:
        return functional.dropout(x, p=rate, training=True), ()

    def read(y: Any, g: Any) -> Any:
        return (layers.back(y), layers.back(g[0])) if gradient else layers.back(y)

    tensors = (layers.tensor(x),)
    return layers.torch_call(
        g, tensors, layers.tensor(u), read, gradient=gradient, compiled=compiled
    )


JOBS = {
    "nn.batch_norm": Job(batch_norm, batch_norm_peer),
    "nn.dropout": Job(dropout, dropout_peer),
}
