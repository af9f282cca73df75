"""Dropout: ends, realized rates, the law of the mask, and what a key decides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml.nn import _bits, dropout

DTYPES = [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_rates_0_and_1(dtype, key):
    x = jnp.array([1.0, -2.0, jnp.nan, jnp.inf], dtype)
    y, back = jax.vjp(lambda x: dropout.apply(x, rate=0, key=key), x)
    np.testing.assert_array_equal(np.asarray(y, float), np.asarray(x, float))
    np.testing.assert_array_equal(back(jnp.ones(4, dtype))[0], np.ones(4))
    y, back = jax.vjp(lambda x: dropout.apply(x, rate=1.0, key=key), x)
    np.testing.assert_array_equal(y, np.zeros(4))
    np.testing.assert_array_equal(back(jnp.ones(4, dtype))[0], np.zeros(4))
    assert y.dtype == dtype


@pytest.mark.parametrize("rate", [1.5, -0.1, float("nan"), float("inf")])
def test_rates_out_of_range(rate, key):
    with pytest.raises(ValueError, match=r"rate must lie in \[0, 1\]: got"):
        dropout.apply(jnp.ones(3), rate=rate, key=key)


def test_rates_that_are_no_static_number(key):
    for rate in (True, "0.5", jnp.array(0.5)):
        with pytest.raises(TypeError, match="rate is static and must be a Python number"):
            dropout.apply(jnp.ones(3), rate=rate, key=key)
    with pytest.raises(TypeError, match="static"):
        jax.jit(lambda rate: dropout.apply(jnp.ones(3), rate=rate, key=key))(0.5)


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_realized_rate(rate):
    p = dropout.realized_rate(rate)
    assert 0 < p < 1
    assert p * 2**32 == int(p * 2**32)
    if 1e-6 < rate < 1 - 1e-6:
        assert abs(p - rate) <= 1e-3 * min(rate, 1 - rate)


@pytest.mark.parametrize(("rate", "bits"), [(0.5, 8), (0.25, 8), (0.1, 16), (0.9, 16), (1e-4, 32),
                                            (0.99995, 32)])  # fmt: skip
def test_the_mask_is_bernoulli_of_the_realized_rate(rate, bits, key):
    p, n = dropout.realized_rate(rate), 400_000
    assert p * 2**bits == round(p * 2**bits)
    y = np.asarray(dropout.apply(jnp.ones((400, n // 400)), rate=rate, key=key))
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - p)], rtol=1e-15)
    zero = y == 0
    se = np.sqrt(p * (1 - p) / n)
    assert abs(zero.mean() - p) < 4 * se
    assert abs(y.mean() - 1) < 4 * np.sqrt(p / (1 - p) / n)
    # Neighbors are independent, along both axes and among the parts of one word.
    for shift, axis in ((1, 0), (1, 1), (2, 1), (4, 1), (500, 1)):
        pairs = (zero & np.roll(zero, shift, axis)).mean()
        assert abs(pairs - p * p) < 6 * np.sqrt(3 * p * p * (1 - p) / n) + 6 / n


def test_all_thresholds_of_8_bits_are_hit_evenly(key):
    drawn = np.asarray(_bits.integers(key, (256, 1024), 8)).ravel()
    counts = np.bincount(drawn, minlength=256)
    chi2 = ((counts - 1024.0) ** 2 / 1024.0).sum()  # 255 degrees of freedom
    assert abs(chi2 - 255) < 5 * np.sqrt(2 * 255)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", [0.25, 0.1, 1e-3])
def test_backward_is_the_same_mask(rate, dtype, key, rng):
    x, g = (jnp.asarray(rng.standard_normal((3, 7)), dtype) for _ in range(2))
    y, back = jax.vjp(lambda x: dropout.apply(x, rate=rate, key=key), x)
    mask = np.asarray(dropout.apply(jnp.ones((3, 7)), rate=rate, key=key)) > 0
    grow = 1 / (1 - dropout.realized_rate(rate))
    for got, before in ((y, x), (back(g)[0], g)):
        assert got.dtype == dtype
        want = np.where(mask, np.asarray(before, float) * grow, 0)
        eps = float(jnp.finfo(dtype).eps)
        np.testing.assert_allclose(np.asarray(got, float), want, rtol=2 * eps)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0), (0, 3), (2, 3, 5), (1, 1)])
def test_shapes(shape, key):
    for rate in (0.5, 0.1, 1e-4):
        y = dropout.apply(jnp.ones(shape), rate=rate, key=key)
        assert y.shape == shape


def test_a_key_decides_the_mask(key):
    x = jnp.ones((4, 64))
    one, two = (dropout.apply(x, rate=0.5, key=key) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(
        jax.jit(lambda x, k: dropout.apply(x, rate=0.5, key=k))(x, key), one
    )
    other = dropout.apply(x, rate=0.5, key=jax.random.fold_in(key, 1))
    assert 0.3 < (np.asarray(one) != np.asarray(other)).mean() < 0.7
    # A key for each example: its mask does not depend on its place in the batch.
    keys = jax.random.split(key, 4)
    rows = jax.vmap(lambda x, k: dropout.apply(x, rate=0.5, key=k))
    order = jnp.array([2, 0, 3, 1])
    np.testing.assert_array_equal(rows(x, keys)[order], rows(x, keys[order]))
    np.testing.assert_array_equal(rows(x, keys)[2], dropout.apply(x[2], rate=0.5, key=keys[2]))


def test_what_is_dropped_may_have_been_anything(key):
    x = jnp.full(64, jnp.nan)
    y, back = jax.vjp(lambda x: dropout.apply(x, rate=0.5, key=key), x)
    mask = np.asarray(dropout.apply(jnp.ones(64), rate=0.5, key=key)) > 0
    np.testing.assert_array_equal(np.isnan(y), mask)
    np.testing.assert_array_equal(back(jnp.ones(64))[0], 2.0 * mask)


def test_without_x64(key):
    with jax.enable_x64(False):
        for rate in (0.5, 0.1, 0.99995):
            assert dropout.apply(jnp.ones(8), rate=rate, key=key).dtype == jnp.float32


@pytest.mark.parametrize(("key", "counter", "want"), [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((2**32 - 1,) * 2, (2**32 - 1,) * 2, (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
])  # fmt: skip
def test_threefry_gives_the_published_numbers(key, counter, want):
    """The known answers that come with the reference implementation, Random123."""
    pairs = [tuple(jnp.uint32(v) for v in pair) for pair in (key, counter)]
    assert tuple(int(v) for v in _bits.threefry(*pairs)) == want


def test_no_counter_is_used_twice():
    low, high = _bits._counters((3, 4, 5))
    assert sorted(np.asarray(low).ravel().tolist()) == list(range(60))
    assert not np.asarray(high).any()
    with pytest.raises(ValueError, match="random bits in a call"):
        jax.eval_shape(lambda: _bits._counters((2**17, 2**16)))


def test_other_kinds_of_keys():
    for key in (jax.random.key(0, impl="rbg"), jax.random.PRNGKey(0)):
        y = dropout.apply(jnp.ones((20, 64)), rate=0.5, key=key)
        assert 0.4 < (np.asarray(y) == 0).mean() < 0.6
