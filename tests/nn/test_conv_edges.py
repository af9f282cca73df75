"""Convolution by every route and in second order; NaN, no images, no bias, and what it refuses."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.nn import conv
from tests import tolerances
from tests.nn.conv_problems import draw as _draw


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
