"""Sinusoidal encodings against mpmath, and the rotation between them."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml.nn.positional import shift_matrix, sinusoidal


@pytest.mark.parametrize(("dtype", "eps"), [("float32", 1e-7), ("float64", 1e-11)])
def test_mpmath_agrees_far_out(dtype, eps):
    """Position 99999 in float32 is right to the last digit: the angle is not rounded to 32 bits."""
    table = sinusoidal(100_000, 6, dtype=dtype)
    assert table.dtype == dtype
    assert table.shape == (100_000, 6)
    with mpmath.workdps(40):
        for pos in (0, 1, 777, 99_999):
            for j in range(6):
                w = mpmath.mpf(10000) ** (-mpmath.mpf(2 * (j // 2)) / 6)
                want = (mpmath.cos if j % 2 else mpmath.sin)(pos * w)
                assert abs(float(table[pos, j]) - float(want)) <= eps


@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from([2, 8]))
def test_one_rotation_for_every_position(pos, k, d_model):
    table = sinusoidal(64, d_model, dtype=jnp.float64)
    R = shift_matrix(k, d_model, dtype=jnp.float64)
    np.testing.assert_allclose(R @ table[pos], table[pos + k], atol=1e-13)
    np.testing.assert_allclose(R @ R.T, np.eye(d_model), atol=1e-14)
    back = shift_matrix(-k, d_model, dtype=jnp.float64)
    np.testing.assert_allclose(back @ table[pos + k], table[pos], atol=1e-13)


def test_traced_shift_is_the_same():
    for dtype in ("bfloat16", "float16", "float32", "float64"):
        R = jax.jit(lambda k, dtype=dtype: shift_matrix(k, 6, dtype=dtype))(2.5)
        assert R.dtype == dtype
        np.testing.assert_allclose(
            R.astype(float), shift_matrix(2.5, 6, dtype=dtype).astype(float),
            atol=float(jnp.finfo(dtype).eps),
        )  # fmt: skip
    many = jax.vmap(lambda k: shift_matrix(k, 4))(jnp.arange(3))
    np.testing.assert_allclose(many[2], shift_matrix(2, 4), atol=1e-6)


def test_no_positions_and_wrong_arguments():
    assert sinusoidal(0, 4).shape == (0, 4)
    for f in (lambda: sinusoidal(3, 5), lambda: shift_matrix(1.0, 5)):
        with pytest.raises(
            ValueError, match="d_model must be even, sines and cosines in pairs: got 5"
        ):
            f()
    with pytest.raises(ValueError, match="length must be >= 0: got -1"):
        sinusoidal(-1, 4)
    with pytest.raises(TypeError, match="length is static and must be an integer"):
        sinusoidal(2.0, 4)
