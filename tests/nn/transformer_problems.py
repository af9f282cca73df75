"""Parameters of blocks and decoders, and the block in NumPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import erf

from jaxml.nn.transformer import block, decoder
from tests.nn.attention_problems import by_loops

__all__ = ["HIDDEN", "VOCABULARY", "H", "M", "block_params", "decoder_params", "numpy_block"]

M, H, HIDDEN, VOCABULARY = 6, 2, 5, 7


def bent(tree: Any, rng: np.random.Generator) -> Any:
    """Parameters away from their initial zeros and ones."""
    return jax.tree.map(lambda a: a + 0.3 * rng.standard_normal(a.shape), tree)


def block_params(rng: np.random.Generator, dtype: Any = jnp.float64) -> block.Params:
    """Parameters of a block."""
    drawn = block.init(key=jax.random.key(0), d_model=M, n_heads=H, d_hidden=HIDDEN, dtype=dtype)
    return bent(drawn, rng)


def decoder_params(
    rng: np.random.Generator | None = None, *, n_layers: int = 1, dtype: Any = jnp.float64
) -> decoder.Params:
    """Parameters of a decoder, the initial ones without rng."""
    sizes = {"vocabulary": VOCABULARY, "d_model": M, "n_heads": H, "d_hidden": HIDDEN}
    drawn = decoder.init(key=jax.random.key(0), n_layers=n_layers, dtype=dtype, **sizes)
    return drawn if rng is None else bent(drawn, rng)


def numpy_block(params: Any, x: Any, *, norm: str, causal: bool) -> np.ndarray:
    """One sequence (t, m), in float64."""

    def N(p, x):
        mu, v = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return p.scale * (x - mu) / np.sqrt(v + 1e-5) + p.bias

    def A(p, x):
        q, k, v = (np.einsum("im,mhd->ihd", x, p.kernel[:, r]) + p.bias[r] for r in range(3))
        o = by_loops(q, k, v, None, q.shape[-1] ** -0.5, causal)
        return np.einsum("ihd,hdm->im", o, p.output_kernel) + p.output_bias

    def F(x):
        z = x @ params.mlp_in.kernel + params.mlp_in.bias
        return 0.5 * z * (1 + erf(z / 2**0.5)) @ params.mlp_out.kernel + params.mlp_out.bias

    params, x = jax.tree.map(np.asarray, (params, x))
    if norm == "pre":
        y = x + A(params.attention, N(params.attention_norm, x))
        return y + F(N(params.mlp_norm, y))
    y = N(params.attention_norm, x + A(params.attention, x))
    return N(params.mlp_norm, y + F(y))
