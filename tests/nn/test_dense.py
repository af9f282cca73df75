"""Initializers and the dense layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml.nn import dense, initializers

NAMES = ("xavier_uniform", "xavier_normal", "he_uniform", "he_normal")
each = pytest.mark.parametrize("name", NAMES)


@pytest.mark.parametrize(("shape", "want"), [
    ((5, 7), (5, 7)), ((3, 3, 16, 32), (144, 288)), ((4, 2, 3), (8, 12)), ((9,), (9, 1)),
    ((), (1, 1)), ((2, 3, 4, 5, 6), (120, 144)),
])  # fmt: skip
def test_fans(shape, want):
    assert initializers.fans(shape) == want
    if len(shape) >= 2:  # count the weights that meet one output, one input
        w = np.ones(shape)
        assert want == (w[..., 0].size, np.moveaxis(w, -2, -1)[..., 0].size)


@each
def test_variance_and_law(name, key):
    shape, n = (3, 3, 24, 40), 3 * 3 * 24 * 40
    w = np.asarray(getattr(initializers, name)(shape, key=key, dtype=jnp.float64))
    v = {"xavier": 2 / (9 * (24 + 40)), "he": 2 / (9 * 24)}[name.split("_")[0]]
    kurtosis = {"uniform": 1.8, "normal": 3.0}[name.split("_")[1]]
    assert abs(w.mean()) < 5 * np.sqrt(v / n)
    assert abs((w**2).mean() / v - 1) < 5 * np.sqrt((kurtosis - 1) / n)
    assert abs((w**4).mean() / v**2 / kurtosis - 1) < 0.2
    if kurtosis < 2:
        assert np.abs(w).max() <= np.sqrt(3 * v)
    else:
        assert np.abs(w).max() > 3 * np.sqrt(v)  # not truncated at two deviations


@each
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64])
def test_dtype_and_repeatability(name, dtype, key):
    f = getattr(initializers, name)
    w = f((4, 3), key=key, dtype=dtype)
    assert w.dtype == dtype
    np.testing.assert_array_equal(w, f([4, 3], key=key, dtype=dtype))
    wide = f((4, 3), key=key, dtype=jnp.promote_types(dtype, jnp.float32))
    np.testing.assert_array_equal(w, wide.astype(dtype))
    assert (
        np.asarray(w) != np.asarray(f((4, 3), key=jax.random.fold_in(key, 1), dtype=dtype))
    ).any()
    many = jax.vmap(lambda k: f((4, 3), key=k, dtype=dtype))(jax.random.split(key, 2))
    np.testing.assert_array_equal(many[1], f((4, 3), key=jax.random.split(key, 2)[1], dtype=dtype))


def test_without_x64(key):
    with jax.enable_x64(False):
        assert initializers.he_normal((2, 2), key=key, dtype=jnp.float64).dtype == jnp.float32
        layer = dense.init(key=key, d_in=2, d_out=2, dtype=jnp.float64)
        assert layer.bias.dtype == layer.kernel.dtype == jnp.float32


def test_initializers_refuse(key):
    with pytest.raises(ValueError, match=r"shape\[1\] must be >= 1: got 0"):
        initializers.he_normal((3, 0), key=key)
    with pytest.raises(TypeError, match=r"shape\[0\] is static and must be an integer"):
        initializers.he_normal((2.5, 3), key=key)


@given(st.integers(0, 2**31 - 1), st.sampled_from([(), (3,), (2, 0), (2, 4)]))
def test_dense_is_the_product(seed, rows):
    rng = np.random.default_rng(seed)
    layer = dense.Params(
        jnp.asarray(rng.standard_normal((3, 2))), jnp.asarray(rng.standard_normal(2))
    )
    x = rng.standard_normal((*rows, 3))
    want = np.einsum("...i,ij->...j", x, np.asarray(layer.kernel)) + np.asarray(layer.bias)
    np.testing.assert_allclose(dense.apply(layer, x), want, rtol=1e-13, atol=1e-13)


def test_dense_init_and_refusals(key):
    layer = dense.init(key=key, d_in=30, d_out=20, initializer=initializers.he_uniform)
    assert layer.kernel.shape == (30, 20)
    np.testing.assert_array_equal(layer.bias, np.zeros(20))
    np.testing.assert_array_equal(layer.kernel, initializers.he_uniform((30, 20), key=key))
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 30\): got \(4, 29\)"):
        dense.apply(layer, jnp.zeros((4, 29)))
    with pytest.raises(ValueError, match="d_in must be >= 1: got 0"):
        dense.init(key=key, d_in=0, d_out=2)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64])
def test_dense_computes_in_the_dtype_of_x(dtype, key, rng):
    layer = dense.init(key=key, d_in=6, d_out=5)
    x = jnp.asarray(rng.standard_normal((4, 6)), dtype)
    y = dense.apply(layer, x)
    assert y.dtype == dtype
    want = np.asarray(x, float) @ np.asarray(layer.kernel, float)
    np.testing.assert_allclose(
        np.asarray(y, float), want, atol=12 * float(jnp.finfo(dtype).eps) + 1e-6
    )
    assert dense.apply(layer, np.ones((2, 6), int)).dtype == jnp.float64


def test_pytorch_agrees(rng):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    W, b, x = rng.standard_normal((3, 2)), rng.standard_normal(2), rng.standard_normal((5, 3))
    g = rng.standard_normal((5, 2))
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, W.T.copy(), b)]
    want = torch.nn.functional.linear(*tensors)
    want.backward(torch.tensor(g))
    y, back = jax.vjp(dense.apply, dense.Params(jnp.asarray(W), jnp.asarray(b)), jnp.asarray(x))
    np.testing.assert_allclose(y, want.detach().numpy(), rtol=1e-13, atol=1e-13)
    params, dx = back(jnp.asarray(g))
    for ours, theirs in (
        (dx, tensors[0]),
        (params.kernel.T, tensors[1]),
        (params.bias, tensors[2]),
    ):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-12, atol=1e-13)
