"""Attention against loops and PyTorch, in blocks, by every route, and its derivatives."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml.nn import _attend, attention
from jaxml.nn.attention import scaled_dot_product
from tests import tolerances
from tests.nn.attention_problems import by_loops, drawn, mask_of

SHAPES = [
    ((), 5, 7, 2, 3, 4),
    ((3,), 6, 6, 2, 4, 4),
    ((2, 2), 1, 3, 1, 2, 2),
]  # lead, t, s, h, d, e
MASKS = ["none", "full", "padding", "rows", "heads"]
EVERY = {"bfloat16": 2e-2, "float16": 2e-3, "float32": 1e-5, "float64": 1e-12}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("causal", [False, True])
def test_loops_agree(rng, shape, kind, causal):
    lead, t, s, h, d, e = shape
    q, k, v, _ = drawn(rng, *shape)
    mask = mask_of(rng, kind, lead, t, s, h)
    got = scaled_dot_product(q, k, v, mask=mask, causal=causal)
    assert got.shape == (*lead, t, h, e)
    np.testing.assert_allclose(got, by_loops(q, k, v, mask, d**-0.5, causal), atol=1e-13)


@pytest.mark.parametrize("dtype", EVERY)
def test_dtypes(rng, dtype):
    q, k, v, g = (jnp.asarray(a, dtype) for a in drawn(rng, (2,), 6, 9, 2, 8, 8))
    o, pull = jax.vjp(lambda *a: scaled_dot_product(*a, scale=0.7), q, k, v)
    grads = pull(g)
    assert o.dtype == dtype
    assert all(one.dtype == dtype for one in grads)
    wide = tuple(a.astype(jnp.float64) for a in (q, k, v, g))
    want, pull = jax.vjp(lambda *a: scaled_dot_product(*a, scale=0.7), *wide[:3])
    for one, exact in zip((o, *grads), (want, *pull(wide[3])), strict=True):
        np.testing.assert_allclose(one.astype(jnp.float64), exact, atol=EVERY[dtype] * 2)


def test_works_without_x64(rng):
    with jax.enable_x64(False):
        q, k, v, _ = (a.astype(np.float32) for a in drawn(rng, (), 5, 7, 2, 3, 4))
        got = scaled_dot_product(q, k, v, causal=True)
        assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, by_loops(q, k, v, None, 3**-0.5, True), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(seed=st.integers(0, 2**31 - 1), shape=st.sampled_from(SHAPES[1:]),
       kind=st.sampled_from(MASKS), scale=st.floats(0.1, 2.0))  # fmt: skip
def test_pytorch_agrees(dtype, seed, shape, kind, scale):
    """Outputs and gradients of scaled_dot_product_attention, queries left alone included."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(seed)
    lead, t, s, h, *_ = shape
    arrays = [a.astype(dtype) for a in drawn(rng, *shape)]
    mask = mask_of(rng, kind, lead, t, s, h)
    o, pull = jax.vjp(lambda *a: scaled_dot_product(*a, mask=mask, scale=scale), *arrays[:3])
    q, k, v, g = (torch.tensor(np.moveaxis(a, -2, -3).copy()) for a in arrays)
    leaves = [a.requires_grad_() for a in (q, k, v)]
    theirs = None if mask is None else torch.tensor(np.broadcast_to(mask, (*lead, h, t, s)).copy())
    want = torch.nn.functional.scaled_dot_product_attention(*leaves, attn_mask=theirs, scale=scale)
    want.backward(g)
    pairs = [
        (o, want.detach()),
        *zip(pull(jnp.asarray(arrays[3])), [a.grad for a in leaves], strict=True),
    ]
    for ours, other in pairs:
        np.testing.assert_allclose(ours, np.moveaxis(other.numpy(), -3, -2), atol=EVERY[dtype] * 5)


@given(seed=st.integers(0, 2**31 - 1), h=st.sampled_from([1, 2]), padded=st.booleans())
def test_pytorch_multi_head_agrees(seed, h, padded):
    """nn.MultiheadAttention with the same weights, and a key padding mask."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(seed)
    b, t, m = 2, 4, 6
    params = attention.Params(
        rng.standard_normal((m, 3, h, m // h)), rng.standard_normal((3, h, m // h)),
        rng.standard_normal((h, m // h, m)), rng.standard_normal(m),
    )  # fmt: skip
    x, g = rng.standard_normal((2, b, t, m))
    keep = np.ones((b, t), bool)
    keep[1, 2:] = not padded
    y, pull = jax.vjp(lambda p, x: attention.apply(p, x, mask=keep[:, None, None]), params, x)
    (W, bias, O, c), dx = pull(jnp.asarray(g))
    layer = torch.nn.MultiheadAttention(m, h, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.tensor(params.kernel.reshape(m, -1).T))
        layer.in_proj_bias.copy_(torch.tensor(params.bias.ravel()))
        layer.out_proj.weight.copy_(torch.tensor(params.output_kernel.reshape(-1, m).T))
        layer.out_proj.bias.copy_(torch.tensor(params.output_bias))
    z = torch.tensor(x).requires_grad_()
    out, _ = layer(z, z, z, key_padding_mask=torch.tensor(~keep), need_weights=False)
    out.backward(torch.tensor(g))
    pairs = [
        (y, out.detach()), (dx, z.grad), (W.reshape(m, -1).T, layer.in_proj_weight.grad),
        (bias.ravel(), layer.in_proj_bias.grad), (O.reshape(-1, m).T, layer.out_proj.weight.grad),
        (c, layer.out_proj.bias.grad),
    ]  # fmt: skip
    for ours, other in pairs:
        np.testing.assert_allclose(ours, other.numpy(), atol=1e-11)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", ["none", "full", "padding", "heads"])
@pytest.mark.parametrize("scores", [100, 12])  # a head and a half; less than two rows of one
def test_blocks_change_nothing(rng, scores, kind, causal):
    lead, t, s, h, d, e = (3,), 7, 6, 2, 2, 3
    n = 6
    q, k, v = (
        np.moveaxis(a, -2, -3).reshape(n, -1, a.shape[-1])
        for a in drawn(rng, lead, t, s, h, d, e)[:3]
    )
    mask = mask_of(rng, kind, lead, t, s, h)
    mask = None if mask is None else jnp.asarray(mask).reshape((1,) * (4 - mask.ndim) + mask.shape)
    cut = {"causal": causal, "heads": h}
    whole = _attend.plan(n, t, s, scores=10**6, **cut)
    blocks = _attend.plan(n, t, s, scores=scores, **cut)
    assert whole.group == n
    assert blocks.group * blocks.rows * s <= scores

    def both(plan):
        out, pull = jax.vjp(lambda *a: _attend.outputs(plan, mask, *a)[0], q, k, v)
        return out, pull(jnp.cos(out))

    chex.assert_trees_all_close(both(blocks), both(whole), atol=1e-13)


@pytest.mark.parametrize(("t", "share"), [(2048, 0.6), (4096, 0.25)])
def test_scores_of_all_heads_never_stand_at_once(t, share):
    """Forward and gradient at 8 heads of t x t scores: memory grows with t, not with t^2."""
    shape = jax.ShapeDtypeStruct((1, t, 8, 64), jnp.float32)
    f = jax.jit(jax.grad(lambda *a: scaled_dot_product(*a).sum(), (0, 1, 2)))
    used = f.lower(shape, shape, shape).compile().memory_analysis().temp_size_in_bytes
    assert used < share * 4 * 8 * t * t  # 134 MB and 537 MB are the scores


def test_transformations_agree(rng):
    """Jit, eager, vmap and a loop; one trace per shape; the same bits twice."""
    q, k, v, _ = drawn(rng, (3,), 6, 6, 2, 4, 4)
    mask = rng.random((3, 2, 6, 6)) < 0.7

    def f(q, k, v, mask):
        return scaled_dot_product(q, k, v, mask=mask, causal=True)

    traced = jax.jit(chex.assert_max_traces(f, n=1))
    want = f(q, k, v, mask)
    tol = tolerances.of("float64").routes
    for got in (
        traced(q, k, v, mask),
        jax.vmap(f)(q, k, v, mask),
        jnp.stack([*map(f, q, k, v, mask)]),
    ):
        np.testing.assert_allclose(got, want, atol=tol)
    np.testing.assert_array_equal(traced(q, k, v, mask), traced(q, k, v, mask))

    def g(q, k, v, mask):
        return jax.grad(lambda q: jnp.cos(f(q, k, v, mask)).sum())(q)

    np.testing.assert_allclose(jax.vmap(g)(q, k, v, mask), g(q, k, v, mask), atol=tol)


def test_second_derivatives(rng):
    q, k, v, _ = drawn(rng, (), 2, 3, 1, 2, 2)

    def f(q):
        return jnp.sin(scaled_dot_product(q, k, v, causal=True)).sum()

    H = jax.hessian(f)(q).reshape(4, 4)
    np.testing.assert_allclose(H, H.T, atol=1e-13)
    h, e = 1e-5, np.eye(4).reshape(4, *q.shape)
    columns = [(jax.grad(f)(q + h * one) - jax.grad(f)(q - h * one)).ravel() / (2 * h) for one in e]
    np.testing.assert_allclose(H, np.stack(columns), atol=1e-8)
    np.testing.assert_allclose(jax.jacrev(jax.jacrev(f))(q).reshape(4, 4), H, atol=1e-13)


def test_initial_layer_keeps_variance(key):
    """Xavier's kernels: unit rows give queries, keys and values of unit variance."""
    params = attention.init(key=key, d_model=64, n_heads=4, dtype=jnp.float64)
    x = jax.random.normal(key, (500, 64), jnp.float64)
    for one in attention.heads(params, x):
        assert one.shape == (500, 4, 16)
        assert abs(float(one.var()) - 1) < 0.1  # 4096 weights: 3 standard errors are 0.07
    assert attention.apply(params, x[:0]).shape == (0, 64)
    for dtype in ("bfloat16", "float32"):
        assert attention.apply(params, x[:3].astype(dtype)).dtype == dtype
