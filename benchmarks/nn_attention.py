"""Attention and a pre-norm transformer block, beside PyTorch and flax.linen.

PyTorch's attention gets (b, h, t, d), in that order in memory; its kernel is chosen by ``backend``
(PyTorch's own choice, or "cudnn"). The block is written of torch.nn.functional with one product for
queries, keys and values, and of linen's layers; weights are the same, dropout is off. In 16 bits
flax's block computes its softmax in 16 bits too.
"""

import contextlib
from typing import Any

import numpy as np

from benchmarks import layers
from benchmarks.peers import Given
from benchmarks.problem import Contestant, Job, Problem

__all__ = ["JOBS"]


def attention(
    rng: np.random.Generator, dtype: str, *, b: int, t: int, h: int, d: int,
    causal: bool = False, gradient: bool = False,
) -> Problem:  # fmt: skip
    """Normal queries, keys and values: scores of variance 1 once scaled."""
    import jax
    import jax.numpy as jnp

    from jaxml.closed_form.nn import attention as hand
    from jaxml.nn.attention import scaled_dot_product

    qkv = tuple(layers.normal(rng, dtype, b, t, h, d) for _ in range(3))

    def f(q: Any, k: Any, v: Any) -> tuple[Any, tuple]:
        return scaled_dot_product(q, k, v, causal=causal), ()

    def reference(*arrays: Any) -> Any:
        keep = jnp.tril(jnp.ones((t, t), bool)) if causal else jnp.ones((t, t), bool)

        def head(arrays: tuple) -> Any:
            q, k, v, *g = arrays
            o = hand.apply(q, k, v, keep, scale=d**-0.5)
            return (o, hand.backward(q, k, v, g[0], keep, scale=d**-0.5)) if gradient else o

        one_by_one = tuple(jnp.swapaxes(a, 1, 2).reshape(b * h, t, d) for a in arrays)
        out = jax.lax.map(head, one_by_one)
        return jax.tree.map(lambda a: jnp.swapaxes(a.reshape(b, h, t, d), 1, 2), out)

    return layers.problem(
        rng, f, qkv, gradient=gradient, reference=reference,
        flops=4.0 * b * h * t * t * d * (0.5 if causal else 1.0), given={"causal": causal},
    )  # fmt: skip


def attention_peer(
    given: Given, tol: float | None, *, library: str, backend: str | None = None,
    compiled: bool = False,
) -> Contestant:  # fmt: skip
    """scaled_dot_product_attention of PyTorch, or dot_product_attention of flax.linen."""
    del tol
    qkv, u, causal, gradient = (given[name] for name in ("leaves", "u", "causal", "gradient"))
    if library == "flax":
        linen = layers.flax()
        t = qkv[0].shape[1]
        mask = np.tril(np.ones((1, 1, t, t), bool)) if causal else None

        def f(q: Any, k: Any, v: Any) -> tuple[Any, tuple]:
            return linen.dot_product_attention(q, k, v, mask=mask), ()

        return layers.flax_call(f, qkv, u, lambda y, g: (y, g) if gradient else y,
                                gradient=gradient)  # fmt: skip
    library_ = layers.torch()

    def g(q: Any, k: Any, v: Any) -> tuple[Any, tuple]:
        with _backend(library_, backend):
            y = library_.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return y, ()

    def heads_first(a: np.ndarray) -> Any:
        return layers.tensor(a).transpose(1, 2).contiguous()

    def read(y: Any, g: Any) -> Any:
        y, *g = (layers.back(a).transpose(0, 2, 1, 3) for a in (y, *g))
        return (y, tuple(g)) if gradient else y

    leaves = tuple(map(heads_first, qkv))
    return layers.torch_call(g, leaves, heads_first(u), read, gradient=gradient, compiled=compiled)


def _backend(library: Any, name: str | None) -> Any:
    """The context in which PyTorch's attention runs on that kernel."""
    if name is None:
        return contextlib.nullcontext()
    kinds = library.nn.attention.SDPBackend
    return library.nn.attention.sdpa_kernel({"cudnn": kinds.CUDNN_ATTENTION}[name])


def block(
    rng: np.random.Generator, dtype: str, *, b: int, t: int, d_model: int, n_heads: int,
    d_hidden: int, causal: bool = False, gradient: bool = False,
) -> Problem:  # fmt: skip
    """Normal rows, kernels that keep their variance, gains about 1, small biases."""
    import jax
    import jax.numpy as jnp

    from jaxml.closed_form.nn.transformer import block as hand
    from jaxml.nn import attention, dense
    from jaxml.nn.norm import layer_norm
    from jaxml.nn.transformer import block

    m, h, n = d_model, n_heads, d_hidden
    d = m // h

    def draw(*shape: int, fan: int) -> Any:
        return layers.normal(rng, dtype, *shape, scale=fan**-0.5)

    def norm() -> Any:
        bias = draw(m, fan=100)
        return layer_norm.Params((1 + draw(m, fan=100)).astype(bias.dtype), bias)

    params = block.Params(
        norm(),
        attention.Params(
            draw(m, 3, h, d, fan=m), draw(3, h, d, fan=100), draw(h, d, m, fan=m), draw(m, fan=100)
        ),
        norm(),
        dense.Params(draw(m, n, fan=m), draw(n, fan=100)),
        dense.Params(draw(n, m, fan=n), draw(m, fan=100)),
    )

    def f(params: Any, x: Any) -> tuple[Any, tuple]:
        return block.apply(params, x, causal=causal), ()

    def reference(params: Any, x: Any, *u: Any) -> Any:
        keep = jnp.tril(jnp.ones((t, t), bool)) if causal else jnp.ones((t, t), bool)
        y = jax.lax.map(lambda x: hand.apply(params, x, keep, norm="pre"), x)
        if not gradient:
            return y
        grads, dx = jax.lax.map(
            lambda xg: hand.backward(params, xg[0], xg[1], keep, norm="pre"), (x, *u)
        )
        return y, (jax.tree.map(lambda a: a.sum(axis=0), grads), dx)

    flops = 2.0 * b * t * (4 * m * m + 2 * m * n) + 4.0 * b * t * t * m * (0.5 if causal else 1)
    return layers.problem(
        rng, f, (params, layers.normal(rng, dtype, b, t, m)), gradient=gradient,
        reference=reference, flops=flops, given={"causal": causal},
    )  # fmt: skip


def block_peer(
    given: Given, tol: float | None, *, library: str, backend: str | None = None,
    compiled: bool = False,
) -> Contestant:  # fmt: skip
    """The same block of torch.nn.functional or flax.linen."""
    del tol
    (params, x), u, causal, gradient = (
        given[name] for name in ("leaves", "u", "causal", "gradient")
    )
    m, _, h, d = params.attention.kernel.shape
    if library == "flax":
        f = _flax_block(h, causal, x)

        def ordered(y: Any, g: Any) -> Any:
            return (y, *g) if gradient else y

        return layers.flax_call(f, (params, x), u, ordered, gradient=gradient)
    torch = layers.torch()
    functional = torch.nn.functional

    def g(s1: Any, b1: Any, W: Any, b: Any, O: Any, c: Any, s2: Any, b2: Any, W1: Any, c1: Any,
          W2: Any, c2: Any, x: Any) -> tuple[Any, tuple]:  # fmt: skip
        y = functional.linear(functional.layer_norm(x, (m,), s1, b1), W, b)
        q, k, v = y.view(*x.shape[:2], 3, h, d).permute(2, 0, 3, 1, 4).unbind(0)
        with _backend(torch, backend):
            o = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        x = x + functional.linear(o.transpose(1, 2).reshape(x.shape), O, c)
        hidden = functional.linear(functional.layer_norm(x, (m,), s2, b2), W1, c1)
        return x + functional.linear(functional.gelu(hidden), W2, c2), ()

    A = params.attention
    leaves = (
        *map(layers.tensor, params.attention_norm),
        _transposed(A.kernel.reshape(m, -1)), layers.tensor(A.bias.reshape(-1)),
        _transposed(A.output_kernel.reshape(m, m)), layers.tensor(A.output_bias),
        *map(layers.tensor, params.mlp_norm),
        *(t for p in (params.mlp_in, params.mlp_out)
          for t in (_transposed(p.kernel), layers.tensor(p.bias))),
        layers.tensor(x),
    )  # fmt: skip

    def read(y: Any, g: Any) -> Any:
        if not gradient:
            return layers.back(y)
        s1, b1, W, b, O, c, s2, b2, W1, c1, W2, c2, dx = map(layers.back, g)
        return (
            layers.back(y), s1, b1, W.T.reshape(A.kernel.shape), b.reshape(A.bias.shape),
            O.T.reshape(A.output_kernel.shape), c, s2, b2, W1.T, c1, W2.T, c2, dx,
        )  # fmt: skip

    return layers.torch_call(
        g, leaves, layers.tensor(u), read, gradient=gradient, compiled=compiled
    )


def _transposed(W: np.ndarray) -> Any:
    """A kernel as nn.Linear holds it."""
    return layers.tensor(W).T.contiguous()


def _flax_block(h: int, causal: bool, x: np.ndarray) -> Any:
    """(params, x) -> (z, ()) by linen's layers, in the dtype of x; params as ours."""
    linen = layers.flax()
    kind = {"dtype": x.dtype, "param_dtype": x.dtype}
    norm = linen.LayerNorm(epsilon=1e-5, use_fast_variance=False, **kind)
    heads = linen.MultiHeadDotProductAttention(num_heads=h, **kind)
    mask = np.tril(np.ones((1, 1, x.shape[1], x.shape[1]), bool)) if causal else None

    def dense(p: Any, y: Any) -> Any:
        return linen.Dense(p.bias.shape[0], **kind).apply({"params": p._asdict()}, y)

    def f(params: Any, x: Any) -> tuple[Any, tuple]:
        A = params.attention
        names = ("query", "key", "value")
        own = {name: {"kernel": A.kernel[:, r], "bias": A.bias[r]} for r, name in enumerate(names)}
        own["out"] = {"kernel": A.output_kernel, "bias": A.output_bias}
        y = norm.apply({"params": params.attention_norm._asdict()}, x)
        x = x + heads.apply({"params": own}, y, mask=mask)
        y = norm.apply({"params": params.mlp_norm._asdict()}, x)
        return x + dense(params.mlp_out, linen.gelu(dense(params.mlp_in, y), approximate=False)), ()

    return f


JOBS = {
    "nn.attention": Job(attention, attention_peer),
    "nn.transformer_block": Job(block, block_peer),
}
