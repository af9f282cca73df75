"""Attention at its edges: nothing to attend to, extremes, NaN, errors, the gate of cuDNN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.nn import _cudnn, attention
from jaxml.nn.attention import scaled_dot_product
from tests.nn.attention_problems import drawn


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
