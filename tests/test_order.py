"""Floats sorted as integers: every bit counts, equal numbers keep their order."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import _order


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_argsort_is_stable_and_exact(dtype):
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(size=300), rng.integers(-2, 3, 300), [0.0, -0.0]]).astype(dtype)
    z[:50] *= np.asarray(1e-30, dtype)
    label = rng.integers(0, 2, 602).astype(np.int32)
    order = _order.argsort(_order.key(z))
    assert (np.asarray(order) == np.argsort(z + 0.0, kind="stable")).all()
    order = _order.argsort(_order.key(z), jnp.asarray(label))
    assert (np.asarray(order) == np.lexsort((np.arange(602), label, z + 0.0))).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_keys_order_as_numbers_do(dtype):
    top = np.finfo(dtype)
    z = [-np.inf, -top.max, -1.0, -top.tiny, 0.0, top.tiny, 1.0, 1.0 + top.eps, top.max, np.inf]
    k = np.asarray(_order.key(np.array([*z, np.nan], dtype)))
    assert k.dtype.itemsize == np.dtype(dtype).itemsize
    assert (k[1:] > k[:-1]).all()
    np.testing.assert_array_equal(_order.value(jnp.asarray(k[:-1])), np.array(z, dtype))
    assert _order.key(jnp.asarray(-0.0, dtype)) == _order.key(jnp.asarray(0.0, dtype))
