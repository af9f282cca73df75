"""Compiler defects that this version must not have, or that our own forms must avoid."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.verify.canaries import CANARIES, order_key


@pytest.mark.parametrize("name", CANARIES)
def test_canary(name):
    assert CANARIES[name](), f"{name}: this jaxlib returns wrong values"


def test_order_key_orders_as_the_floats():
    x = np.array([-np.inf, -2.5, -1e-30, -0.0, 0.0, 1e-30, 3.0, np.inf, np.nan], np.float32)
    key = np.asarray(order_key(jnp.asarray(x)))
    assert key.dtype == np.int32
    assert key[3] == key[4]
    assert (np.diff(np.delete(key, 3)) > 0).all()
