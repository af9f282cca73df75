"""Attention: loops and PyTorch as oracles, masks, extremes, blocks, dtypes, the gate of cuDNN."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml.nn import _attend, _cudnn, attention
from jaxml.nn.attention import scaled_dot_product
from tests import tolerances

SHAPES = [
    ((), 5, 7, 2, 3, 4),
    ((3,), 6, 6, 2, 4, 4),
    ((2, 2), 1, 3, 1, 2, 2),
]  # lead, t, s, h, d, e
MASKS = ["none", "full", "padding", "rows", "heads"]
EVERY = {"bfloat16": 2e-2, "float16": 2e-3, "float32": 1e-5, "float64": 1e-12}


def drawn(rng, lead, t, s, h, d, e):
    """(q, k, v, g)."""
    sizes = ((t, h, d), (s, h, d), (s, h, e), (t, h, e))
    return tuple(rng.standard_normal((*lead, *size)) for size in sizes)


def mask_of(rng, kind, lead, t, s, h):
    """A mask, of the shape that its kind has; some queries may have nothing left."""
    shape = {
        "full": (*lead, h, t, s),
        "padding": (*lead, 1, 1, s),
        "rows": (t, s),
        "heads": (h, 1, 1),
    }
    return None if kind == "none" else rng.random(shape[kind]) < 0.6


def by_loops(q, k, v, mask, scale, causal):
    """Attention query by query in float64."""
    q, k, v = (np.asarray(a, np.float64) for a in (q, k, v))
    *lead, t, h, _ = q.shape
    s = k.shape[-3]
    keep = np.broadcast_to(True if mask is None else mask, (*lead, h, t, s))
    out = np.zeros((*lead, t, h, v.shape[-1]))
    for at in itertools.product(*map(range, lead), range(h), range(t)):
        *example, head, i = at
        left = [j for j in range(s) if keep[(*at, j)] and (j <= i or not causal)]
        if left:
            z = np.array([scale * q[(*example, i, head)] @ k[(*example, j, head)] for j in left])
            p = np.exp(z - z.max())
            rows = np.stack([v[(*example, j, head)] for j in left])
            out[(*example, i, head)] = p @ rows / p.sum()
    return out


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


def test_scores_of_all_heads_never_stand_at_once():
    """Forward and gradient at 4 x 8 heads of 512 x 512 scores: no array of their size, nor near."""
    shape = jax.ShapeDtypeStruct((4, 512, 8, 64), jnp.float32)
    f = jax.jit(jax.grad(lambda *a: scaled_dot_product(*a).sum(), (0, 1, 2)))
    used = f.lower(shape, shape, shape).compile().memory_analysis().temp_size_in_bytes
    every_score = 4 * 8 * 512 * 512 * 4
    assert used < every_score  # of which six copies of q, k, v and o are 25 MB of 34
    longer = jax.ShapeDtypeStruct((1, 2048, 8, 64), jnp.float32)
    more = f.lower(longer, longer, longer).compile().memory_analysis().temp_size_in_bytes
    assert more < 1.5 * used  # for as many rows, and four times as many scores: 134 MB


def test_nothing_to_attend_to(rng):
    """0 and gradient 0, to the bit; jax.nn gives the mean of all values, and a gradient to them."""
    q, k, v, _ = drawn(rng, (), 3, 4, 2, 2, 2)
    mask = np.ones((2, 3, 4), bool)
    mask[:, 1] = False

    def row(*a):
        return scaled_dot_product(*a, mask=mask)[1].sum()

    assert (np.asarray(scaled_dot_product(q, k, v, mask=mask))[1] == 0).all()
    for one in jax.grad(row, (0, 1, 2))(q, k, v):
        assert (np.asarray(one) == 0).all()
    tangent = jax.jvp(row, (q, k, v), (q, k, v))[1]
    assert tangent == 0
    theirs = jax.grad(
        lambda v: jax.nn.dot_product_attention(q[None], k[None], v[None], mask=mask[None])[
            0, 1
        ].sum()
    )
    assert np.abs(theirs(v)).max() > 0.2  # what is not done here


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_extreme_scores(dtype):
    """Scores of +-1e4 pick one key; gradients are finite, and -inf is a key left out."""
    q = jnp.array([[[100.0]], [[-100.0]]], dtype)
    k = jnp.array([[[100.0]], [[-100.0]], [[0.0]]], dtype)
    v = jnp.array([[[1.0]], [[2.0]], [[3.0]]], dtype)
    o, pull = jax.vjp(lambda *a: scaled_dot_product(*a, scale=1.0), q, k, v)
    assert o[:, 0, 0].tolist() == [1.0, 2.0]
    assert all(np.isfinite(np.asarray(one, np.float64)).all() for one in pull(jnp.ones_like(o)))
    z = jnp.array([[[1.0]], [[1.0]]], dtype)
    far = jnp.array([[[-jnp.inf]], [[1.0]]], dtype)  # scores -inf and 1
    assert scaled_dot_product(z, far, v[:2], scale=1.0)[:, 0, 0].tolist() == [2.0, 2.0]
    assert scaled_dot_product(z, far[:1], v[:1], scale=1.0)[:, 0, 0].tolist() == [0.0, 0.0]


def test_not_a_number_is_not_hidden(rng):
    q, k, v, _ = drawn(rng, (), 3, 4, 1, 2, 2)
    q[1] = np.nan
    o = np.asarray(scaled_dot_product(q, k, v))
    assert np.isnan(o[1]).all()
    assert np.isfinite(o[[0, 2]]).all()


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (0, 0)])
def test_nothing_there(sizes):
    t, s = sizes
    q, k = jnp.ones((2, t, 2, 3)), jnp.ones((2, s, 2, 3))
    o, pull = jax.vjp(scaled_dot_product, q, k, k)
    assert o.shape == q.shape
    assert (o == 0).all()
    assert all((one == 0).all() for one in pull(jnp.ones_like(o)))


def test_one_key_is_its_value(rng):
    q, k, v, _ = drawn(rng, (), 3, 1, 2, 2, 2)
    np.testing.assert_array_equal(scaled_dot_product(q, k, v), np.broadcast_to(v, q.shape))


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


def test_wrong_arguments(rng):
    q, k, v, _ = drawn(rng, (2,), 3, 4, 2, 2, 2)
    for args, text in (
        ((q[0, 0], k, v), r"q must have shape \(..., t, h, d\): got \(2, 2\)"),
        ((q, k[:, :, :1], v), r"k must have shape \(2, s, 2, 2\): got \(2, 4, 1, 2\)"),
        ((q, k, v[:, :3]), r"v must have shape \(2, 4, 2, e\): got \(2, 3, 2, 2\)"),
    ):
        with pytest.raises(ValueError, match=text):
            scaled_dot_product(*args)
    with pytest.raises(
        ValueError, match=r"mask must broadcast to .* = \(2, 2, 3, 4\): got shape \(3, 3\)"
    ):
        scaled_dot_product(q, k, v, mask=np.ones((3, 3), bool))
    with pytest.raises(
        TypeError, match="mask must hold booleans, True to attend: got dtype float64"
    ):
        scaled_dot_product(q, k, v, mask=np.ones((3, 4)))
    with pytest.raises(ValueError, match="n_heads must divide d_model: got 6 features and 4 heads"):
        attention.init(key=jax.random.key(0), d_model=6, n_heads=4)
    params = attention.init(key=jax.random.key(0), d_model=4, n_heads=2)
    with pytest.raises(ValueError, match=r"x must have shape \(..., t, 4\): got \(3, 5\)"):
        attention.apply(params, np.ones((3, 5)))


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


# -- cuDNN: the gate, and what is lowered behind it, on a machine without a GPU
def test_what_may_go_to_cudnn(monkeypatch):
    def fits(capability=9.0, dtype=jnp.bfloat16, t=64, s=64, d=64, e=64):
        monkeypatch.setattr(_cudnn, "capability", lambda: capability)
        q, k, v = (jnp.zeros((1, n, 1, w), dtype) for n, w in ((t, d), (s, d), (s, e)))
        return _cudnn.is_eligible(q, k, v)

    assert fits()
    assert fits(dtype=jnp.float16)
    assert fits(d=256, e=256)
    assert fits(capability=8.0, d=128, e=128)
    assert not fits(capability=8.0, d=256, e=256)
    assert not fits(capability=7.5)
    assert not fits(capability=0.0)
    assert not fits(dtype=jnp.float32)
    assert not fits(d=60, e=60)
    assert not fits(e=32)
    assert not fits(t=32)
    assert not fits(s=1)


def test_cuda_gets_the_fused_kernel_and_a_cpu_does_not(monkeypatch):
    fused = pytest.importorskip(
        "jax._src.cudnn.fused_attention_stablehlo", reason="JAX keeps cuDNN elsewhere"
    )
    monkeypatch.setattr(_cudnn, "capability", lambda: 9.0)
    monkeypatch.setattr(fused, "check_cudnn_version", lambda: 91000)
    x = jax.ShapeDtypeStruct((2, 64, 2, 64), jnp.bfloat16)

    def text(f, platform):
        return jax.jit(f).trace(x, x, x).lower(lowering_platforms=(platform,)).as_text()

    def plain(q, k, v):
        return scaled_dot_product(q, k, v, causal=True)

    def slope(q, k, v):
        return jax.grad(lambda *a: plain(*a).astype(jnp.float32).sum(), (0, 1, 2))(q, k, v)

    assert "fmhaSoftmax" in text(plain, "cuda")
    assert "fmha" not in text(plain, "cpu")
    assert "fmhaSoftmaxBackward" in text(slope, "cuda")
    assert "fmha" not in text(slope, "cpu")
    masked = np.ones((64, 64), bool)
    assert "fmha" not in text(lambda q, k, v: scaled_dot_product(q, k, v, mask=masked), "cuda")
