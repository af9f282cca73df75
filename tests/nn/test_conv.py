"""Convolution against loops over its definition and against PyTorch: values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxml.nn import _winograd, conv
from tests.nn.conv_problems import brute as _brute
from tests.nn.conv_problems import draw as _draw
from tests.nn.conv_problems import with_gradients as _with_gradients

ROUNDING = {"float64": 1e-12, "float32": 2e-5, "bfloat16": 2e-2, "float16": 4e-3}

CONFIGURATIONS = [
    # n, h, w, c of a group, c_out, window, stride, pads, dilation, groups
    (2, 4, 5, 2, 3, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    (1, 5, 4, 1, 4, (3, 2), (2, 1), ((0, 2), (1, 0)), (1, 2), 2),
    (1, 7, 3, 2, 2, (2, 1), (3, 2), ((1, 1), (0, 0)), (3, 1), 1),
    (2, 3, 3, 1, 3, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 3),
    (1, 1, 1, 3, 2, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    (1, 3, 4, 3, 2, (1, 1), (2, 3), ((1, 0), (0, 1)), (1, 1), 1),
]


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_values_and_gradients_against_loops(rng, configuration):
    params, x, options = _draw(rng, *configuration)
    *_, stride, pads, dilation, groups = configuration
    want = _brute(*params, x, stride, pads, dilation, groups)
    g = rng.standard_normal(want.shape)
    got = _with_gradients(jax.tree.map(jnp.asarray, params), jnp.asarray(x), g, options)
    want = (want, *_brute(*params, x, stride, pads, dilation, groups, g))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * max(np.abs(b).max(), 1.0))


@st.composite
def _configurations(draw):
    groups = draw(st.sampled_from([1, 1, 2]))
    window = draw(st.tuples(st.integers(1, 4), st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, 3), st.integers(1, 2)))
    pads = draw(st.tuples(*(st.tuples(st.integers(0, 2), st.integers(0, 2)) for _ in range(2))))
    size = [
        max(draw(st.integers(1, 7)), d * (k - 1) + 1 - sum(ends))
        for k, d, ends in zip(window, dilation, pads, strict=True)
    ]
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    c, c_out = draw(st.integers(1, 3)), groups * draw(st.integers(1, 2))
    return draw(st.integers(1, 2)), *size, c, c_out, window, stride, pads, dilation, groups


@given(configuration=_configurations())
@settings(max_examples=12)
def test_values_and_gradients_against_pytorch(configuration):
    torch = pytest.importorskip("torch", reason="PyTorch is in the extra bench")
    functional = torch.nn.functional
    params, x, options = _draw(np.random.default_rng(0), *configuration)
    W = torch.tensor(params.kernel.transpose(3, 2, 0, 1), requires_grad=True)
    b = torch.tensor(params.bias, requires_grad=True)
    images = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    (top, bottom), (left, right) = options["padding"]
    theirs = functional.conv2d(
        functional.pad(images, (left, right, top, bottom)), W, b, stride=options["stride"],
        dilation=options["dilation"], groups=options["groups"],
    )  # fmt: skip
    g = np.random.default_rng(1).standard_normal(theirs.shape)
    theirs.backward(torch.tensor(g))
    got = _with_gradients(params, x, g.transpose(0, 2, 3, 1), options)
    want = (
        theirs.detach().numpy().transpose(0, 2, 3, 1),
        W.grad.numpy().transpose(2, 3, 1, 0),
        b.grad.numpy(),
        images.grad.numpy().transpose(0, 2, 3, 1),
    )
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * max(np.abs(b).max(), 1.0))


@pytest.mark.parametrize(("size", "stride", "window"), [(7, 2, 3), (8, 2, 3), (5, 3, 2), (1, 1, 5)])
def test_same_has_one_row_per_stride_and_the_odd_zero_last(rng, size, stride, window):
    params, x, _ = _draw(rng, 1, size, size, 1, 1, (window, window), *[None] * 3, 1)
    y = conv.apply(params, x, stride=stride)
    count = -(-size // stride)
    more = max((count - 1) * stride + window - size, 0)
    assert y.shape == (1, count, count, 1)
    pads = ((more // 2, more - more // 2),) * 2
    want = _brute(*params, x, (stride, stride), pads, (1, 1), 1)
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-12 * np.abs(want).max())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("window", [1, 3])
def test_other_dtypes_stay_and_agree(rng, dtype, window):
    params, x, _ = _draw(rng, 2, 8, 8, 16, 16, (window, window), *[None] * 3, 1)
    x = jnp.asarray(x, dtype)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf / window, dtype), params)

    def loss(params, x):
        y = conv.apply(params, x)
        return y.astype(jnp.float64).sum(), y

    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (params, x))
    (_, y), grads = jax.value_and_grad(loss, (0, 1), has_aux=True)(params, x)
    (_, exact), want = jax.value_and_grad(loss, (0, 1), has_aux=True)(*wide)
    for a, b in zip(jax.tree.leaves((y, grads)), jax.tree.leaves((exact, want)), strict=True):
        assert a.dtype == dtype
        gap = np.abs(np.asarray(a, np.float64) - np.asarray(b)).max()
        assert gap <= ROUNDING[dtype] * np.abs(b).max()


@pytest.mark.parametrize("pads", [((1, 1), (1, 1)), ((0, 2), (0, 0))], ids=str)
@pytest.mark.parametrize("shape", [(70, 8, 9), (2, 3, 4), (1, 65, 67)], ids=str)
def test_tiles_against_the_definition(rng, monkeypatch, shape, pads):
    """The way of a CPU for large images: blocks of images, one block, odd sizes, other pads."""
    monkeypatch.setattr(_winograd, "ENTRY", 2**12)  # 12 or 13 of 70 images
    params, x, options = _draw(rng, *shape, 2, 3, (3, 3), (1, 1), pads, (1, 1), 1)
    params, x = jax.tree.map(jnp.asarray, (params, x))
    y, dW, _, dx = _with_gradients(
        params, x, g := rng.standard_normal(conv.apply(params, x, **options).shape), options
    )
    tiles, pull = jax.vjp(lambda W, x: _winograd.convolved(x, W, pads), params.kernel, x)
    for a, b in zip(
        (tiles, *pull(jnp.asarray(g))), (y - params.bias[None, None, None], dW, dx), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max())


def test_float32_of_a_real_size(rng):
    """A size at which a CPU takes its own way: value and gradients to float32's rounding."""
    options = {"padding": "SAME"}
    params, x, _ = _draw(rng, 4, 31, 32, 64, 48, (3, 3), *[None] * 3, 1)
    assert conv.WORK < 18 * 4 * 31 * 32 * 64 * 48
    g = rng.standard_normal((4, 31, 32, 48))
    want = _with_gradients(params, x, g, options)
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (params, x))
    got = _with_gradients(*single, g, options)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == np.float32
        assert np.linalg.norm(np.asarray(a, np.float64) - b) <= 2e-6 * np.linalg.norm(b)


def test_init_keeps_the_variance(key):
    params = conv.init(key=key, c_in=32, c_out=64, window=(5, 3), groups=4, dtype=jnp.float64)
    assert params.kernel.shape == (5, 3, 8, 64)
    variance = 2 / (5 * 3 * 8)  # He, over the terms of one sum
    deviation = variance * np.sqrt(2 / params.kernel.size)
    assert abs(params.kernel.var() - variance) < 5 * deviation
    assert not params.bias.any()
    again = conv.init(key=key, c_in=32, c_out=64, window=(5, 3), groups=4, dtype=jnp.float64)
    np.testing.assert_array_equal(again.kernel, params.kernel)
