"""Convolution against loops over its definition and against PyTorch, and what it refuses."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxml.nn import _winograd, conv
from tests import tolerances

ROUNDING = {"float64": 1e-12, "float32": 2e-5, "bfloat16": 2e-2, "float16": 4e-3}


def _outer(size, span, stride, pads):
    return (size + sum(pads) - span) // stride + 1


def _brute(kernel, bias, x, stride, pads, dilation, groups, g=None):
    """y by seven nested loops; with g = dL/dy, (dL/dkernel, dL/dbias, dL/dx) by the same loops."""
    n, h, w, _ = x.shape
    r, q, c, c_out = kernel.shape
    spans = [d * (k - 1) + 1 for k, d in zip((r, q), dilation, strict=True)]
    sizes = [_outer(*at) for at in zip((h, w), spans, stride, pads, strict=True)]
    y = np.zeros((n, *sizes, c_out)) + bias
    dW, dx = np.zeros(kernel.shape), np.zeros(x.shape)
    for b, i, j, o in np.ndindex(*y.shape):
        first = o // (c_out // groups) * c
        for p, s, k in itertools.product(range(r), range(q), range(c)):
            row = i * stride[0] + p * dilation[0] - pads[0][0]
            column = j * stride[1] + s * dilation[1] - pads[1][0]
            if not (0 <= row < h and 0 <= column < w):
                continue
            at = b, row, column, first + k
            if g is None:
                y[b, i, j, o] += kernel[p, s, k, o] * x[at]
            else:
                dW[p, s, k, o] += x[at] * g[b, i, j, o]
                dx[at] += kernel[p, s, k, o] * g[b, i, j, o]
    return y if g is None else (dW, g.sum(axis=(0, 1, 2)), dx)


CONFIGURATIONS = [
    # n, h, w, c of a group, c_out, window, stride, pads, dilation, groups
    (2, 4, 5, 2, 3, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    (1, 5, 4, 1, 4, (3, 2), (2, 1), ((0, 2), (1, 0)), (1, 2), 2),
    (1, 7, 3, 2, 2, (2, 1), (3, 2), ((1, 1), (0, 0)), (3, 1), 1),
    (2, 3, 3, 1, 3, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 3),
    (1, 1, 1, 3, 2, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    (1, 3, 4, 3, 2, (1, 1), (2, 3), ((1, 0), (0, 1)), (1, 1), 1),
]


def _draw(rng, n, h, w, c, c_out, window, stride, pads, dilation, groups):
    params = conv.Params(rng.standard_normal((*window, c, c_out)), rng.standard_normal(c_out))
    options = {"stride": stride, "padding": pads, "dilation": dilation, "groups": groups}
    return params, rng.standard_normal((n, h, w, c * groups)), options


def _with_gradients(params, x, g, options):
    y, pull = jax.vjp(lambda params, x: conv.apply(params, x, **options), params, x)
    (dW, db), dx = pull(jnp.asarray(g, y.dtype))
    return y, dW, db, dx


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
def test_tiles_against_the_definition(rng, shape, pads):
    """The way of a CPU for large images: blocks of images, one block, odd sizes, other pads."""
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


def test_transformations_agree(rng):
    params, x, options = _draw(rng, 2, 5, 4, 2, 4, (3, 2), (2, 1), ((1, 1), (0, 1)), (1, 1), 2)
    params, xs = jax.tree.map(jnp.asarray, params), jnp.asarray(np.stack([x, 2.0 * x, x - 1.0]))

    def f(x):
        return conv.apply(params, x, **options)

    routes = tolerances.of("float64").routes
    loop = jnp.stack([f(x) for x in xs])
    step = jax.jit(chex.assert_max_traces(f, n=1))
    np.testing.assert_allclose(jnp.stack([step(x) for x in xs]), loop, rtol=routes, atol=routes)
    np.testing.assert_allclose(jax.vmap(f)(xs), loop, rtol=routes, atol=routes)
    np.testing.assert_array_equal(f(xs[0]), f(xs[0]))
    kernels = jnp.stack([params.kernel, -params.kernel, params.kernel**2])
    both = jax.vmap(lambda W, x: conv.apply(conv.Params(W, None), x, **options))(kernels, xs)
    one = conv.apply(conv.Params(kernels[2], None), xs[2], **options)
    np.testing.assert_allclose(both[2], one, rtol=routes, atol=routes)


def test_second_derivatives_and_forward_mode(rng):
    params, x, _ = _draw(rng, 1, 4, 4, 2, 2, (3, 3), *[None] * 3, 1)
    params, x = jax.tree.map(jnp.asarray, (params, x))

    def loss(kernel, x):  # cubic in both, so that all second derivatives are there
        return (conv.apply(conv.Params(kernel, params.bias), x) ** 3).sum()

    def f(kernel):
        return jax.grad(loss, 1)(kernel, x)

    forward = jax.jacfwd(f)(params.kernel)
    reverse = jax.jacrev(f)(params.kernel)
    np.testing.assert_allclose(forward, reverse, rtol=1e-10, atol=1e-10)
    # y = A x for a given kernel, so d2L/dx2 = A' diag(6 y) A
    A = jax.jacfwd(lambda x: conv.apply(params, x))(x).reshape(x.size, x.size)
    y = conv.apply(params, x).ravel()
    H = jax.hessian(loss, 1)(params.kernel, x).reshape(x.size, x.size)
    np.testing.assert_allclose(H, A.T @ (6.0 * y[:, None] * A), rtol=1e-10, atol=1e-9)


def test_a_nan_reaches_only_the_windows_that_see_it(rng):
    params, x, _ = _draw(rng, 2, 6, 6, 1, 2, (3, 3), *[None] * 3, 1)
    x[0, 2, 3, 0] = np.nan
    y = np.isnan(conv.apply(params, x))
    assert y[0, 1:4, 2:5].all()
    assert y.sum() == 2 * 9


def test_no_images_and_no_bias(rng):
    params, x, _ = _draw(rng, 2, 5, 4, 2, 3, (3, 3), *[None] * 3, 1)
    assert conv.apply(params, x[:0]).shape == (0, 5, 4, 3)
    bare = conv.apply(params._replace(bias=None), x)
    np.testing.assert_allclose(bare + params.bias[None, None, None], conv.apply(params, x))
    assert conv.init(key=jax.random.key(0), c_in=2, c_out=3, use_bias=False).bias is None
    whole = conv.apply(params, np.round(3 * x).astype(int))
    assert whole.dtype == np.float64


def test_init_keeps_the_variance(key):
    params = conv.init(key=key, c_in=32, c_out=64, window=(5, 3), groups=4, dtype=jnp.float64)
    assert params.kernel.shape == (5, 3, 8, 64)
    variance = 2 / (5 * 3 * 8)  # He, over the terms of one sum
    deviation = variance * np.sqrt(2 / params.kernel.size)
    assert abs(params.kernel.var() - variance) < 5 * deviation
    assert not params.bias.any()
    again = conv.init(key=key, c_in=32, c_out=64, window=(5, 3), groups=4, dtype=jnp.float64)
    np.testing.assert_array_equal(again.kernel, params.kernel)


X = np.ones((1, 4, 5, 6))
PARAMS = conv.Params(np.ones((3, 2, 3, 4)), np.zeros(4))


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (X, {}, r"x must have 3 channels .*: got 6, shape \(1, 4, 5, 6\)"),
        (X[0], {"groups": 2}, r"x must have shape \(n, h, w, c\): got \(4, 5, 6\)"),
        (np.ones((1, 4, 5, 9)), {"groups": 3}, r"groups must divide the 4 channels .*: got 3"),
        (X, {"groups": 0}, r"groups must be >= 1: got 0"),
        (X, {"groups": 2, "stride": (1, 2, 3)}, r"stride must be one number or two .*: got \(1, 2"),
        (X, {"groups": 2, "stride": 0}, r"stride must be >= 1: got 0"),
        (X, {"groups": 2, "dilation": (1, 0)}, r"dilation must be >= 1: got 0"),
        (X, {"groups": 2, "padding": "FULL"}, r"padding must be one of SAME, VALID: got 'FULL'"),
        (X, {"groups": 2, "padding": (1, 1)}, r"padding must be .*above, below.*: got \(1, 1\)"),
        (X, {"groups": 2, "padding": ((0, -1), (0, 0))}, r"padding must be >= 0: got -1"),
        (
            X[:, :2],
            {"groups": 2, "padding": "VALID"},
            r"window spans \(3, 2\) pixels, more than the padded image: .* got \(2, 5\)",
        ),
        (
            X,
            {"groups": 2, "padding": ((0, 0), (1, 0)), "dilation": (2, 6)},
            r"window spans \(5, 7\) pixels.* got \(4, 6\)",
        ),
    ],
)
def test_errors_say_what_was_expected(x, options, message):
    with pytest.raises(ValueError, match=message):
        conv.apply(PARAMS, x, **options)


def test_init_errors():
    with pytest.raises(ValueError, match="c_out must be a multiple of groups = 2: got 3"):
        conv.init(key=jax.random.key(0), c_in=2, c_out=3, groups=2)
    with pytest.raises(ValueError, match="window must be >= 1: got 0"):
        conv.init(key=jax.random.key(0), c_in=2, c_out=3, window=0)
    with pytest.raises(TypeError, match="c_in is static and must be an integer"):
        conv.init(key=jax.random.key(0), c_in=2.0, c_out=3)
    with pytest.raises(TypeError, match="x must hold real numbers"):
        conv.apply(PARAMS, 1j * X, groups=2)
