"""Pooling against windows visited one by one and against PyTorch; ties, NaN and padding."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml.nn import pool

PADDINGS = ["VALID", "SAME", "pairs"]


def configurations(n_axes=2):
    axis = st.tuples(st.integers(1, 7), st.integers(1, 4), st.integers(1, 4))
    return st.tuples(
        st.lists(axis, min_size=n_axes, max_size=n_axes),
        st.sampled_from(PADDINGS),
        st.integers(0, 9),
    )


def arguments(axes, padding, seed):
    """Arguments of a pool, and the padding as pairs; a window that does not fit is shrunk."""
    rng = np.random.default_rng(seed)
    sizes, windows, strides = (tuple(column) for column in zip(*axes, strict=True))
    if padding == "SAME":
        total = [max((-(-n // s) - 1) * s + w - n, 0) for n, w, s in axes]
        pairs = tuple((p // 2, p - p // 2) for p in total)
        given_as = "SAME"
    else:
        windows = tuple(min(w, n) for w, n in zip(windows, sizes, strict=True))
        pairs = tuple(
            tuple(map(int, rng.integers(0, w, size=2))) if padding == "pairs" else (0, 0)
            for w in windows
        )
        given_as = pairs if padding == "pairs" else "VALID"
    return sizes, {"window": windows, "stride": strides, "padding": given_as}, pairs, rng


def brute_force(x, window, stride, pairs, G=None):
    """Max and its cotangent, mean with and without padding: one window at a time, in NumPy."""
    n, *sizes, c = x.shape
    outs = [
        (size + low + high - w) // s + 1
        for size, w, s, (low, high) in zip(sizes, window, stride, pairs, strict=True)
    ]
    top, mean, inner = (np.zeros((n, *outs, c)) for _ in range(3))
    dx = np.zeros_like(x)
    for k, corner, j in itertools.product(range(n), itertools.product(*map(range, outs)), range(c)):
        places = [
            place
            for place in itertools.product(
                *(
                    range(o * s - low, o * s - low + w)
                    for o, w, s, (low, _) in zip(corner, window, stride, pairs, strict=True)
                )
            )
            if all(0 <= p < size for p, size in zip(place, sizes, strict=True))
        ]
        entries = [x[(k, *place, j)] for place in places]
        at = (k, *corner, j)
        winner = int(np.argmax(entries))
        top[at] = entries[winner]
        mean[at], inner[at] = sum(entries) / np.prod(window), np.mean(entries)
        if G is not None:
            dx[(k, *places[winner], j)] += G[at]
    return top, mean, inner, dx


@given(configurations())
def test_every_window_by_hand(configuration):
    sizes, how, pairs, rng = arguments(*configuration)
    # ties nearly everywhere, some of them of -inf or NaN
    x = rng.choice([-np.inf, -np.inf, 0.0, 0.0, 1.0, 1.0, np.nan], size=(2, *sizes, 2))
    shape = jax.eval_shape(lambda x: pool.max_pool(x, **how), x).shape
    G = rng.integers(1, 9, size=shape).astype(float)
    top, mean, inner, dx = brute_force(x, how["window"], how["stride"], pairs, G)
    y, pull = jax.vjp(lambda x: pool.max_pool(x, **how), jnp.asarray(x))
    np.testing.assert_array_equal(y, top)
    np.testing.assert_array_equal(pull(jnp.asarray(G))[0], dx)
    np.testing.assert_allclose(pool.avg_pool(x, **how), mean, atol=1e-14)
    np.testing.assert_allclose(pool.avg_pool(x, **how, count_include_pad=False), inner, atol=1e-14)


@pytest.mark.parametrize("axes", [[(6, 3, 2)], [(3, 2, 1), (4, 2, 2), (5, 3, 2)]])
def test_signals_and_volumes(axes):
    sizes, how, pairs, rng = arguments(axes, "SAME", 5)
    x = rng.standard_normal((2, *sizes, 1))
    np.testing.assert_array_equal(
        pool.max_pool(x, **how), brute_force(x, how["window"], how["stride"], pairs)[0]
    )


@given(configurations(), st.booleans())
def test_pytorch_agrees(configuration, count):
    torch = pytest.importorskip(
        "torch", reason="PyTorch, the oracle of this test, is not installed"
    )
    axes, padding, seed = configuration
    sizes, how, _, rng = arguments(axes, "VALID", seed)
    if padding == "pairs":  # PyTorch pads alike on both sides, at most half of the window
        half = tuple(int(rng.integers(0, w // 2 + 1)) for w in how["window"])
    else:
        half = (0, 0)
    how["padding"] = tuple((p, p) for p in half)
    x = rng.integers(0, 4, size=(2, *sizes, 3)).astype(float)
    functions = (
        (lambda x: pool.max_pool(x, **how),
         lambda x: torch.nn.functional.max_pool2d(x, how["window"], how["stride"], half)),
        (lambda x: pool.avg_pool(x, **how, count_include_pad=count),
         lambda x: torch.nn.functional.avg_pool2d(
             x, how["window"], how["stride"], half, count_include_pad=count)),
    )  # fmt: skip
    for ours, theirs in functions:
        y, pull = jax.vjp(ours, jnp.asarray(x))
        G = rng.standard_normal(y.shape)
        image = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
        out = theirs(image)
        out.backward(torch.tensor(G.transpose(0, 3, 1, 2)))
        np.testing.assert_allclose(y, out.detach().numpy().transpose(0, 2, 3, 1), atol=1e-14)
        gradient = image.grad.numpy().transpose(0, 2, 3, 1)
        np.testing.assert_allclose(pull(jnp.asarray(G))[0], gradient, atol=1e-13)


def line(*values):
    return jnp.array(values).reshape(1, -1, 1)


def winners(x, **how):
    return jax.grad(lambda x: pool.max_pool(x, **how).sum())(x).ravel().tolist()


def test_ties_go_to_the_first():
    assert winners(line(2.0, 2.0, 1.0, 3.0), window=2) == [1, 0, 0, 1]
    square = jnp.array([[1.0, 5.0], [5.0, 5.0]]).reshape(1, 2, 2, 1)  # memory order: row 0 first
    assert winners(square, window=2) == [0, 1, 0, 0]
    assert winners(line(1.0, 1.0, 1.0), window=2, stride=1) == [1, 1, 0]


def test_zeros_of_both_signs_tie():
    assert winners(line(-0.0, 0.0), window=2) == [1, 0]


def test_nan_wins():
    x = line(1.0, jnp.nan, jnp.nan, jnp.inf)
    assert np.isnan(pool.max_pool(x, window=4)).all()
    assert winners(x, window=4) == [0, 1, 0, 0]


def test_padding_never_wins():
    low = line(-jnp.inf, -jnp.inf, -jnp.inf)
    assert winners(low, window=3, stride=1, padding="SAME") == [2, 1, 0]
    assert pool.max_pool(line(-5.0), window=3, padding="SAME").item() == -5.0
    assert winners(line(-5.0), window=3, stride=1, padding="SAME") == [1]


def test_a_wide_window():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 300, 1)))
    assert pool.max_pool(x, window=300).item() == x.max()
    assert int(np.argmax(winners(x, window=300))) == int(jnp.argmax(x))


def test_what_fills_no_window_is_left_out():
    assert pool.max_pool(line(1.0, 2.0, 9.0), window=2).ravel().tolist() == [2.0]
    assert winners(line(1.0, 2.0, 9.0), window=2) == [0, 1, 0]
    assert winners(line(1.0, 2.0, 9.0, 3.0), window=1, stride=3) == [1, 0, 0, 1]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_dtype_is_kept(dtype):
    x = jnp.asarray(np.random.default_rng(1).integers(0, 9, size=(2, 5, 4, 3)), dtype)
    for f in (
        lambda x: pool.max_pool(x, window=3, stride=2, padding="SAME"),
        lambda x: pool.avg_pool(x, window=3, stride=2, padding="SAME"),
        pool.global_avg_pool,
    ):
        y, pull = jax.vjp(f, x)
        assert y.dtype == pull(y)[0].dtype == dtype
        wide = f(x.astype(jnp.float64))
        np.testing.assert_allclose(y.astype(np.float64), wide, rtol=4 * float(jnp.finfo(dtype).eps))


def test_sums_of_sixteen_bits_are_taken_with_more():
    x = jnp.full((1, 64, 64, 1), 1.0, jnp.float16).at[0, 0, 0].set(2048.0)
    assert pool.global_avg_pool(x).item() == np.float16((2048 + 4095) / 4096)
    assert pool.avg_pool(x, window=64).item() == np.float16((2048 + 4095) / 4096)


def test_modes_of_differentiation_agree():
    rng = np.random.default_rng(2)
    x, dx = jnp.asarray(rng.standard_normal((2, 2, 5, 6, 3)))
    for f in (
        lambda x: pool.max_pool(x, window=(3, 2), stride=(2, 3), padding="SAME"),
        lambda x: pool.avg_pool(x, window=(3, 2), stride=1, padding=((1, 0), (0, 1))),
        pool.global_avg_pool,
    ):
        y, dy = jax.jvp(f, (x,), (dx,))
        G = jnp.asarray(rng.standard_normal(y.shape))
        (back,) = jax.vjp(f, x)[1](G)
        np.testing.assert_allclose(jnp.vdot(G, dy), jnp.vdot(back, dx), rtol=1e-12)
        # Where no window changes its winner, a pool is linear.
        _, second = jax.jvp(
            lambda x, f=f: jax.grad(lambda x: jnp.sum(f(x) ** 2) / 2)(x), (x,), (dx,)
        )
        np.testing.assert_allclose(second, jax.vjp(f, x)[1](dy)[0], rtol=1e-12)


def test_transformations_agree():
    x = jnp.asarray(np.random.default_rng(3).standard_normal((3, 2, 4, 6, 2)), jnp.float32)
    for f in (
        lambda x: pool.max_pool(x, window=3, stride=1, padding="SAME"),
        lambda x: pool.avg_pool(x, window=2),
        pool.global_avg_pool,
    ):
        want = jnp.stack([f(one) for one in x])
        np.testing.assert_allclose(jax.vmap(f)(x), want, rtol=1e-6, atol=1e-6)
        step = jax.jit(chex.assert_max_traces(f, n=1))
        np.testing.assert_allclose(jnp.stack([step(one) for one in x]), want, rtol=1e-6, atol=1e-6)


def test_no_samples():
    x = jnp.zeros((0, 4, 4, 2))
    assert pool.max_pool(x, window=2).shape == (0, 2, 2, 2)
    assert jax.grad(lambda x: pool.max_pool(x, window=2).sum())(x).shape == x.shape
    assert pool.global_avg_pool(x).shape == (0, 2)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"window": 5}, r"a window of 5 for an axis of 4 with padding \(0, 0\)"),
        ({"window": 0}, "window must be >= 1: got 0"),
        ({"window": (2, 2, 2)}, r"window must be an integer or hold 2 of them: got \(2, 2, 2\)"),
        ({"window": 2, "stride": 0}, "stride must be >= 1: got 0"),
        ({"window": 2, "padding": "FULL"}, "padding must be one of VALID, SAME: got 'FULL'"),
        ({"window": 2, "padding": ((0, 0),)}, "a pair for each of the 2 spatial axes"),
        ({"window": 2, "padding": ((0, 0), (2, 0))}, r"padding must be less than the window, 2"),
        ({"window": 2, "padding": ((0, 0), (-1, 0))}, "padding must be >= 0: got -1"),
    ],
)
@pytest.mark.parametrize("f", [pool.max_pool, pool.avg_pool])
def test_what_does_not_fit_is_refused(f, how, message):
    with pytest.raises(ValueError, match=message):
        f(jnp.zeros((1, 4, 6, 2)), **how)


def test_other_refusals():
    with pytest.raises(ValueError, match=r"x must have shape \(n, \*spatial, c\)"):
        pool.max_pool(jnp.zeros((4, 6)), window=2)
    with pytest.raises(ValueError, match="no spatial axis empty"):
        pool.global_avg_pool(jnp.zeros((1, 0, 2)))
    with pytest.raises(TypeError, match="window is static and must be an integer"):
        pool.avg_pool(jnp.zeros((1, 4, 2)), window=2.0)
