"""Kernels against NumPy and scikit-learn, their derivatives, and what gram accepts."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml import kernels
from jaxml.kernels import RBF, Laplacian, Linear, Polynomial, gram
from tests import tolerances

KERNELS = {
    "linear": Linear(),
    "polynomial": Polynomial(3.0, 0.3, 0.5),
    "rbf": RBF(0.2),
    "laplacian": Laplacian(0.15),
}
each = pytest.mark.parametrize("name", KERNELS)


def points(n=7, d=3, dtype="float64", seed=0):
    return np.random.default_rng([seed, n, d]).normal(size=(n, d)).astype(dtype)


def oracle(name, X, Z):
    """The Gram matrix by scikit-learn."""
    from sklearn.metrics import pairwise

    return {
        "linear": lambda: pairwise.linear_kernel(X, Z),
        "polynomial": lambda: pairwise.polynomial_kernel(X, Z, degree=3, gamma=0.3, coef0=0.5),
        "rbf": lambda: pairwise.rbf_kernel(X, Z, gamma=0.2),
        "laplacian": lambda: pairwise.laplacian_kernel(X, Z, gamma=0.15),
    }[name]()


@each
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gram_against_scikit_learn_and_against_the_pairs(name, dtype):
    X, Z, kernel = points(dtype=dtype), points(4, dtype=dtype, seed=1), KERNELS[name]
    tol = 10 * tolerances.of(dtype).rounding
    for other in (None, Z):
        K = gram(kernel, X, other)
        others = X if other is None else other
        assert K.dtype == dtype
        assert K.shape == (7, len(others))
        want = oracle(name, X.astype("float64"), others.astype("float64"))
        np.testing.assert_allclose(K, want, rtol=tol, atol=tol)
        pairs = np.array([[kernel(x, z) for z in others] for x in X])
        np.testing.assert_allclose(K, pairs, rtol=tol, atol=tol)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_distances_far_from_the_origin(offset):
    """The matmul form subtracts large squares; the mean is taken off first."""
    X = (points(9, 4) + offset).astype("float32")
    K = np.asarray(gram(RBF(0.2), X))
    np.testing.assert_array_equal(np.diag(K), 1.0)
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_allclose(
        K, oracle("rbf", X.astype("float64"), X.astype("float64")), rtol=1e-5
    )


def test_a_bare_function_and_a_pytree_of_ones_own():
    class Periodic(NamedTuple):
        period: float

        def __call__(self, x, z):
            return jnp.exp(-2.0 * jnp.sum(jnp.sin(jnp.pi * (x - z) / self.period) ** 2))

    def cosine(x, z):
        return x @ z / jnp.sqrt((x @ x) * (z @ z))

    X = points()
    norms = np.linalg.norm(X, axis=1)
    np.testing.assert_allclose(gram(cosine, X), X @ X.T / np.outer(norms, norms), rtol=1e-12)
    partial = functools.partial(lambda x, z, c: c * (x @ z), c=2.0)
    np.testing.assert_allclose(gram(partial, X), 2.0 * X @ X.T, rtol=1e-12)
    got = jax.vmap(lambda p: gram(Periodic(p), X))(np.array([1.0, 3.0]))
    r = X[:, None] - X[None]
    want = [np.exp(-2.0 * (np.sin(np.pi * r / p) ** 2).sum(-1)) for p in (1.0, 3.0)]
    np.testing.assert_allclose(got, want, rtol=1e-10)


def test_parameters_are_traced_once():
    traces = []

    @jax.jit
    def f(gamma, X):
        traces.append(1)
        return gram(RBF(gamma), X)

    X = points()
    for gamma in (0.1, 0.7):
        np.testing.assert_allclose(f(gamma, X), gram(RBF(gamma), X), rtol=1e-12)
    assert len(traces) == 1
    K = jax.vmap(lambda p: gram(Polynomial(p, 0.5, 1.0), X))(np.arange(1.0, 4.0))
    for i, degree in enumerate((1, 2, 3)):
        np.testing.assert_allclose(K[i], (0.5 * X @ X.T + 1.0) ** degree, rtol=1e-12)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_whole_degrees_of_negative_and_zero_bases(degree):
    x, z = np.array([1.0, 2.0]), np.array([[-3.0, 1.0], [2.0, -1.0]])  # products -1 and 0
    for kernel in (Polynomial(degree, 1.0, 0.0), Polynomial(float(degree), 1.0, 0.0)):
        got = gram(kernel, x[None], z)[0]
        np.testing.assert_allclose(got, np.array([-1.0, 0.0]) ** degree, atol=1e-15)
    slopes = jax.vmap(jax.grad(lambda z: Polynomial(float(degree), 1.0, 0.0)(x, z)))(z)
    want = degree * np.array([-1.0, 0.0]) ** max(degree - 1, 0)
    np.testing.assert_allclose(slopes, want[:, None] * x, atol=1e-15)


@each
def test_derivatives_are_finite_at_coincident_points_to_second_order(name):
    x = points(1)[0]
    kernel = KERNELS[name]
    for z in (x, np.zeros(3), -x):
        for f in (jax.grad, jax.hessian):
            for leaf in jax.tree.leaves(
                f(lambda k, x, z: k(x, z), argnums=(0, 1, 2))(kernel, x, z)
            ):
                assert np.isfinite(leaf).all()
    X = np.stack([x, x, points(1, seed=2)[0]])
    pairs = jax.grad(
        lambda X: jnp.sum(jnp.cos(jax.vmap(lambda a: jax.vmap(lambda b: kernel(a, b))(X))(X)))
    )
    whole = jax.grad(lambda X: jnp.sum(jnp.cos(gram(kernel, X))))
    np.testing.assert_allclose(whole(X), pairs(X), rtol=1e-9, atol=1e-12)


@each
def test_jit_eager_vmap_and_loop_agree(name):
    kernel, batch = KERNELS[name], np.stack([points(seed=s) for s in range(3)])
    eager = [np.asarray(gram(kernel, X)) for X in batch]
    stacked = jax.vmap(lambda X: gram(kernel, X))(batch)
    for i, X in enumerate(batch):
        np.testing.assert_allclose(jax.jit(gram)(kernel, X), eager[i], rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(stacked[i], eager[i], rtol=1e-12, atol=1e-13)


def test_what_gram_refuses():
    X = points()
    bad = X.copy()
    bad[2, 1] = np.nan
    with pytest.raises(ValueError, match="X contains NaN or inf"):
        gram(RBF(0.1), bad)
    with pytest.raises(ValueError, match="Z contains NaN or inf"):
        gram(RBF(0.1), X, bad)
    with pytest.raises(ValueError, match=r"3 column\(s\) of X"):
        gram(RBF(0.1), X, X[:, :2])
    with pytest.raises(ValueError, match="2 axes"):
        gram(RBF(0.1), X[0])
    with pytest.raises(TypeError, match="callable"):
        gram("rbf", X)
    assert gram(RBF(0.1), np.arange(6).reshape(3, 2)).dtype == "float64"
    assert np.isnan(jax.jit(gram)(RBF(0.1), bad)).any()


@each
def test_positive_semidefinite_and_invariant(name):
    """On drawn points: no eigenvalue below rounding; orders and rotations act as they should."""
    kernel = KERNELS[name]

    @given(st.integers(0, 200), st.sampled_from([0.1, 1.0, 10.0]), st.booleans())
    def holds(seed, scale, twice):
        X = scale * points(seed=seed)
        X = np.concatenate([X[:4], X[:3]]) if twice else X  # duplicates make K singular
        K = np.asarray(gram(kernel, X))
        top = np.abs(K).max()
        assert np.linalg.eigvalsh(K)[0] >= -1e-11 * len(K) * top
        order = np.random.default_rng(seed).permutation(7)
        np.testing.assert_allclose(gram(kernel, X[order]), K[order][:, order], atol=1e-12 * top)
        if name != "laplacian":
            Q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
            np.testing.assert_allclose(gram(kernel, X @ Q), K, rtol=1e-9, atol=1e-12 * top)

    holds()


def test_as_pytree_leaves_pytrees_alone():
    kernel = RBF(0.3)
    assert kernels.as_pytree(kernel) is kernel
    assert jax.tree.leaves(kernels.as_pytree(lambda x, z: x @ z)) == []
