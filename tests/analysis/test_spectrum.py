"""Spectra against NumPy, and what Lanczos promises of its values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.analysis.convexity import (
    condition_number,
    hessian_spectrum,
    smoothness,
    strong_convexity,
)
from jaxml.analysis.lanczos import lanczos

KEY = jax.random.key(3)


def symmetric(values, seed=0):
    Q = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values),) * 2))[0]
    return (Q * np.asarray(values)) @ Q.T


def quadratic(x, A):
    return 0.5 * jnp.vdot(x, jnp.matmul(A, x, precision="highest"))


def diagonal(x, h):
    return 0.5 * jnp.sum(h * x**2)


def test_dense_spectrum_of_a_pytree():
    A = symmetric([-2.0, 0.5, 1.0, 4.0, 7.0])

    def loss(p, scale):
        return scale * quadratic(jnp.concatenate([p["w"].ravel(), p["b"][None]]), A)

    params = {"b": jnp.asarray(0.3), "w": jnp.ones((2, 2))}
    values, bounds = hessian_spectrum(loss, params, 2.0)
    want = np.linalg.eigvalsh(2.0 * A)  # a permutation of the entries keeps the eigenvalues
    assert np.all(abs(values - want) <= bounds + 1e-14)
    assert bounds.max() < 1e-13
    ends = hessian_spectrum(loss, params, 2.0, k=1).values
    np.testing.assert_allclose(ends, want[[0, -1]], rtol=1e-13)


def test_constants_of_a_quadratic():
    A, x = symmetric([0.5, 1.0, 4.0]), jnp.ones(3)
    assert abs(smoothness(quadratic, x, A) - 4.0) < 1e-13
    assert abs(strong_convexity(quadratic, x, A) - 0.5) < 1e-13
    assert abs(condition_number(quadratic, x, A) - 8.0) < 1e-12
    B = symmetric([-6.0, 1.0, 4.0])
    assert abs(smoothness(quadratic, x, B) - 6.0) < 1e-13  # |lambda|, not lambda
    assert abs(strong_convexity(quadratic, x, B) + 6.0) < 1e-13
    assert condition_number(quadratic, x, B) == np.inf
    assert condition_number(quadratic, x, symmetric([0.0, 1.0, 4.0])) == np.inf


def test_constants_are_local_where_the_hessian_moves():
    def loss(x):
        return jnp.sum(x**4)  # H = diag(12 x^2)

    x = jnp.array([1.0, 2.0])
    np.testing.assert_allclose(smoothness(loss, x), 48.0, rtol=1e-14)
    np.testing.assert_allclose(strong_convexity(loss, x), 12.0, rtol=1e-14)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_lanczos_finds_the_ends_within_its_bounds(dtype):
    n = 1500
    h = np.concatenate([np.linspace(1.0, 2.0, n - 4), [-3.0, 0.1, 5.0, 9.0]])
    h = np.random.default_rng(0).permutation(h)
    x = jnp.ones(n, dtype)
    values, bounds = hessian_spectrum(diagonal, x, jnp.asarray(h, dtype), k=2, key=KEY)
    assert values.dtype == bounds.dtype == dtype
    assert np.all(np.abs(values - np.array([-3.0, 0.1, 5.0, 9.0])) <= bounds)
    assert bounds.max() < (1e-3 if dtype == jnp.float32 else 1e-11)
    constants = [
        f(diagonal, x, jnp.asarray(h, dtype), key=KEY) for f in (smoothness, strong_convexity)
    ]
    np.testing.assert_allclose(constants, [9.0, -3.0], rtol=1e-5)


def test_lanczos_bound_holds_before_convergence():
    h = np.linspace(0.0, 1.0, 2000) ** 2
    values, bounds = hessian_spectrum(
        diagonal, jnp.zeros(2000), jnp.asarray(h), k=3, key=KEY, n_steps=12
    )
    assert bounds.max() > 1e-6  # 12 steps are too few, and the bound says so
    nearest = np.abs(np.asarray(values)[:, None] - h[None, :]).min(axis=1)
    assert np.all(nearest <= bounds)


@pytest.mark.parametrize("values", [[2.0] * 6, [0.0] * 6, [1.0, 1.0, 1.0, 5.0, 5.0, -2.0]])
def test_lanczos_restarts_on_repeated_values(values):
    A = jnp.asarray(symmetric(values))
    ritz = lanczos(lambda v: A @ v, 6, n_steps=6, key=KEY, dtype=A.dtype)
    np.testing.assert_allclose(ritz.values, np.sort(values), atol=1e-12)
    V = np.asarray(ritz.vectors)
    np.testing.assert_allclose(V @ V.T, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(V @ np.asarray(A), np.sort(values)[:, None] * V, atol=1e-11)


def test_lanczos_keeps_its_vectors_orthogonal():
    A = symmetric(np.r_[np.linspace(0, 1, 190), 10.0 ** np.arange(1, 11)])
    ritz = lanczos(lambda v: jnp.asarray(A) @ v, 200, n_steps=80, key=KEY, dtype=jnp.float64)
    V = np.asarray(ritz.vectors)
    np.testing.assert_allclose(V @ V.T, np.eye(80), atol=1e-12)
    # No copies of the dominant values, the mark of lost orthogonality.
    np.testing.assert_allclose(ritz.values[-5:], 10.0 ** np.arange(6, 11), rtol=1e-9)


def test_spectrum_under_jit_and_vmap():
    A, points = jnp.asarray(symmetric([1.0, 3.0])), jnp.array([[1.0, 2.0], [0.5, -1.0]])

    def loss(x):
        return quadratic(x, A) + jnp.sum(x**4)

    each = jnp.stack([hessian_spectrum(loss, x).values for x in points])
    batch = jax.vmap(lambda x: hessian_spectrum(loss, x).values)(points)
    np.testing.assert_allclose(batch, each, rtol=1e-13)
    np.testing.assert_allclose(jax.jit(lambda x: condition_number(loss, x))(points[0]),
                               each[0, 1] / each[0, 0], rtol=1e-13)  # fmt: skip


def test_spectrum_says_what_is_missing():
    x = jnp.zeros(1100)
    with pytest.raises(ValueError, match="params has 1100 entries: pass k"):
        hessian_spectrum(diagonal, x, 1.0)
    with pytest.raises(ValueError, match="params has 1100 entries: pass k"):
        smoothness(diagonal, x, 1.0)
    with pytest.raises(ValueError, match=r"k must be in 1\.\.550"):
        hessian_spectrum(diagonal, x, 1.0, k=551, key=KEY)
    with pytest.raises(ValueError, match=r"n_steps must be in 4\.\.1100: got 3"):
        hessian_spectrum(diagonal, x, 1.0, k=2, key=KEY, n_steps=3)
