"""Functions safe at their awkward points, products, tolerances, distances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import _numerics
from tests import tolerances


def test_safe_functions_at_zero():
    zero = jnp.zeros(3)
    assert float(_numerics.safe_norm(zero)) == 0.0
    np.testing.assert_array_equal(jax.grad(_numerics.safe_norm)(zero), zero)
    np.testing.assert_array_equal(jax.jacfwd(_numerics.safe_norm)(zero), zero)
    np.testing.assert_array_equal(jax.grad(_numerics.tree_norm)({"a": zero})["a"], zero)
    assert float(jax.grad(_numerics.safe_sqrt)(0.0)) == 0.0
    assert float(_numerics.xlogx(0.0)) == 0.0
    assert float(jax.grad(_numerics.xlogx)(0.0)) == 0.0
    x = jnp.array([0.3, 4.0])
    np.testing.assert_allclose(jax.grad(_numerics.safe_norm)(x), x / np.linalg.norm(x), rtol=1e-15)
    np.testing.assert_allclose(jax.grad(lambda x: _numerics.xlogx(x).sum())(x), np.log(x) + 1)


def test_norms():
    tree = {"a": jnp.array([[3.0, -4.0]]), "b": jnp.array(-12.0)}
    assert float(_numerics.tree_norm(tree)) == 13.0


def test_products_are_of_full_precision():
    def product(x):
        return _numerics.matmul(x, x)

    text = jax.jit(product).lower(jnp.ones((2, 2), jnp.float32)).as_text()
    assert "HIGHEST" in text
    tol = tolerances.of("float32").rounding
    x = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    want = x.astype(np.float64) @ x.astype(np.float64)
    assert np.abs(product(x) - want).max() <= 10 * tol * np.abs(want).max()


def test_default_tol():
    assert _numerics.default_tol(jnp.float64) == pytest.approx(3.67e-11, rel=1e-2)
    assert _numerics.default_tol("float32") == pytest.approx(2.42e-5, rel=1e-2)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_squared_distances_are_those_of_a_double_loop(rng, offset):
    X, Z = rng.normal(size=(7, 3)) + offset, rng.normal(size=(5, 3)) + offset
    got = _numerics.squared_distances(jnp.asarray(X), jnp.asarray(Z))
    np.testing.assert_allclose(got, [[((x - z) ** 2).sum() for z in Z] for x in X], rtol=1e-11)
    assert (_numerics.squared_distances(jnp.asarray(X), jnp.asarray(X)) >= 0).all()
