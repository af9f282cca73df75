"""The block against NumPy's and PyTorch's: values, gradients, dtypes, dropout, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml.nn import activations, attention, dense
from jaxml.nn.norm import layer_norm
from jaxml.nn.transformer import block
from tests.nn.transformer_problems import HIDDEN, H, M, block_params, numpy_block


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("causal", [False, True])
def test_numpy_agrees(rng, norm, causal):
    params, x = block_params(rng), rng.standard_normal((2, 4, M))
    got = block.apply(params, x, norm=norm, causal=causal)
    want = [numpy_block(params, one, norm=norm, causal=causal) for one in x]
    np.testing.assert_allclose(got, want, atol=1e-12)


@given(st.integers(0, 2**31 - 1), st.booleans(), st.booleans())
def test_pytorch_agrees(seed, pre, padded):
    """nn.TransformerEncoderLayer with the same weights: value and every gradient."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(seed)
    params, (x, g) = block_params(rng), rng.standard_normal((2, 2, 4, M))
    keep = np.ones((2, 4), bool)
    keep[1, 3:] = not padded
    mask, norm = keep[:, None, None], "pre" if pre else "post"
    y, pull = jax.vjp(lambda p, x: block.apply(p, x, mask=mask, norm=norm), params, x)
    grads, dx = pull(jnp.asarray(g))
    layer = torch.nn.TransformerEncoderLayer(
        M, H, HIDDEN, dropout=0.0, activation="gelu", batch_first=True, norm_first=pre,
        dtype=torch.float64,
    )  # fmt: skip

    def theirs(p):
        """Our parameters in the order and layout of theirs."""
        A = p.attention
        return [
            A.kernel.reshape(M, -1).T, A.bias.ravel(), A.output_kernel.reshape(-1, M).T,
            A.output_bias, p.mlp_in.kernel.T, p.mlp_in.bias, p.mlp_out.kernel.T, p.mlp_out.bias,
            *p.attention_norm, *p.mlp_norm,
        ]  # fmt: skip

    with torch.no_grad():
        for one, value in zip(layer.parameters(), theirs(params), strict=True):
            one.copy_(torch.tensor(np.array(value)))
    z = torch.tensor(x).requires_grad_()
    out = layer(z, src_key_padding_mask=torch.tensor(~keep) if padded else None)
    out.backward(torch.tensor(g))
    pairs = [(y, out.detach()), (dx, z.grad)]
    pairs += zip(theirs(grads), [one.grad for one in layer.parameters()], strict=True)
    for ours, other in pairs:
        np.testing.assert_allclose(ours, other.numpy(), atol=1e-10)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_dtypes(rng, dtype, norm):
    params, x = block_params(rng), rng.standard_normal((3, M))
    want = block.apply(params, x, norm=norm)
    narrow = jax.tree.map(lambda a: a.astype(dtype), params)
    got = block.apply(narrow, jnp.asarray(x, dtype), norm=norm)
    assert got.dtype == dtype
    far = {"bfloat16": 0.15, "float16": 0.02, "float32": 1e-5}[dtype]
    np.testing.assert_allclose(got.astype(float), want, atol=far)


def test_short_and_constant_sequences(rng):
    params = block_params(rng)
    assert block.apply(params, np.zeros((2, 0, M))).shape == (2, 0, M)
    x = np.ones((1, M))
    np.testing.assert_allclose(
        block.apply(params, x), numpy_block(params, x, norm="pre", causal=False), atol=1e-12
    )
    grads = jax.grad(lambda p: block.apply(p, x).sum())(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_dropout(rng, key):
    """The mean over keys is near the block without; rate 1 leaves the identity."""
    params, x = block_params(rng), rng.standard_normal((3, M))
    np.testing.assert_array_equal(block.apply(params, x, rate=1.0, key=key), x)
    np.testing.assert_array_equal(block.apply(params, x, rate=0.0, key=key), block.apply(params, x))
    one, other = (block.apply(params, x, rate=0.5, key=k) for k in jax.random.split(key))
    assert (one != other).any()
    # A alone is linear in its mask: with F silent the mean over masks is the block itself.
    silent = params._replace(mlp_out=jax.tree.map(jnp.zeros_like, params.mlp_out))
    drawn = jax.vmap(lambda k: block.apply(silent, x, rate=0.25, key=k))(
        jax.random.split(key, 4000)
    )
    spread = drawn.std(axis=0) / 4000**0.5
    assert (abs(drawn.mean(axis=0) - block.apply(silent, x)) < 5 * spread + 1e-12).all()


def test_wrong_arguments(rng, key):
    params = block_params(rng)
    with pytest.raises(ValueError, match="norm must be one of pre, post: got 'none'"):
        block.apply(params, np.ones((2, M)), norm="none")
    with pytest.raises(
        ValueError, match=r"rate > 0 needs a random key: got rate=0\.1 and key=None"
    ):
        block.apply(params, np.ones((2, M)), rate=0.1)
    with pytest.raises(ValueError, match=r"x must have shape \(..., t, 6\): got \(2, 5\)"):
        block.apply(params, np.ones((2, 5)))
    with pytest.raises(ValueError, match="n_heads must divide d_model"):
        block.init(key=key, d_model=6, n_heads=4, d_hidden=3)


def test_another_activation(rng):
    params, x = block_params(rng), rng.standard_normal((3, M))
    got = block.apply(params, x, activation=activations.relu)
    y = x + attention.apply(params.attention, layer_norm.apply(params.attention_norm, x))
    hidden = np.maximum(dense.apply(params.mlp_in, layer_norm.apply(params.mlp_norm, y)), 0)
    np.testing.assert_allclose(got, y + dense.apply(params.mlp_out, hidden), atol=1e-13)
