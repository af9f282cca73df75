"""Implicit derivatives against finite differences of refits, in both modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import kernels
from jaxml.svm import dual, primal
from tests import tolerances

H = 1e-3
# The sets of rows at 0, free and at C stay as they are within 2 H of this problem.
X = np.array([[0.2, -1.0], [-0.3, 1.9], [-0.6, -0.2], [0.3, 0.6], [1.3, 0.9], [-1.4, 0.7]])
Y = np.array([-1, 1, -1, -1, 1, -1])
THETA = {"X": X, "sample_weight": np.ones(6), "C": np.float64(1.0)}


def scores(params, verbs):
    """f at two fixed points: what a user sees of every parameter."""
    return verbs.decision_function(params, np.array([[0.5, 0.2], [-1.0, 1.0]]))


def _rbf(theta):
    fit = dual.fit(
        theta["X"], Y, kernel=kernels.RBF(theta["gamma"]), C=theta["C"],
        sample_weight=theta["sample_weight"], tol=1e-12,
    )  # fmt: skip
    return {"b": fit.params.dual_coef, "c": fit.params.intercept, "J": fit.info.objective,
            "f": scores(fit.params, dual)}  # fmt: skip


def _polynomial(theta):
    kernel = kernels.Polynomial(2, theta["gamma"], theta["coef0"])
    fit = dual.fit(theta["X"], Y, kernel=kernel, C=theta["C"], tol=1e-12)
    return {"b": fit.params.dual_coef, "c": fit.params.intercept, "f": scores(fit.params, dual)}


def _primal(squared, theta):
    fit = primal.fit(
        theta["X"], Y, C=theta["C"], squared=squared, sample_weight=theta["sample_weight"],
        tol=1e-15 if squared else 1e-11,
    )  # fmt: skip
    return {"w": fit.params.coef, "c": fit.params.intercept, "J": fit.info.objective}


CASES = {
    "rbf": (_rbf, {**THETA, "gamma": np.float64(0.5)}),
    "polynomial": (
        _polynomial,
        {"X": X, "C": np.float64(1.0), "gamma": np.float64(0.5), "coef0": np.float64(1.0)},
    ),
    "hinge": (lambda theta: _primal(False, theta), THETA),
    "squared_hinge": (lambda theta: _primal(True, theta), THETA),
}


@pytest.mark.parametrize("name", CASES)
def test_against_refits(name):
    fit, theta = CASES[name]
    fit = jax.jit(fit)
    rng = np.random.default_rng(7)
    direction = {k: rng.choice([-1.0, 1.0], size=np.shape(v)) for k, v in theta.items()}
    forward = jax.jit(lambda theta, d: jax.jvp(fit, (theta,), (d,))[1])
    u = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), fit(theta))
    reverse = jax.jit(lambda theta: jax.vjp(fit, theta)[1](jax.tree.map(jnp.asarray, u))[0])
    pulled = reverse(theta)
    for key in theta:
        at = [fit({**theta, key: theta[key] + k * H * direction[key]}) for k in (-2, -1, 1, 2)]
        only = jax.tree.map(np.zeros_like, theta) | {key: direction[key]}
        got = forward(theta, only)
        for leaf in got:
            a, b, c, d = (np.asarray(one[leaf]) for one in at)
            want = (a - 8 * b + 8 * c - d) / (12 * H)
            scale = max(np.linalg.norm(want), 1e-2)
            tol = 10 * tolerances.of("float64").derivative
            assert np.linalg.norm(got[leaf] - want) <= tol * scale, (key, leaf, got[leaf], want)
        assert any(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(got)), key
        adjoint = np.sum(np.asarray(pulled[key]) * direction[key])
        want = sum(np.sum(u[leaf] * np.asarray(got[leaf])) for leaf in got)
        np.testing.assert_allclose(adjoint, want, rtol=1e-9, atol=1e-11)


def test_a_closed_over_kernel_parameter_and_batches_of_gradients():
    def through(gamma):
        fit = dual.fit(X, Y, kernel=lambda x, z: jnp.exp(-gamma * jnp.sum((x - z) ** 2)), tol=1e-12)
        return fit.info.objective

    def typed(gamma):
        return dual.fit(X, Y, kernel=kernels.RBF(gamma), tol=1e-12).info.objective

    slope = jax.jit(jax.grad(typed))
    np.testing.assert_allclose(jax.jit(jax.grad(through))(0.5), slope(0.5), rtol=1e-10)
    at = np.array([0.4, 0.5, 0.6])
    np.testing.assert_allclose(jax.vmap(jax.grad(typed))(at), [slope(g) for g in at], rtol=1e-9)


def test_derivatives_are_finite_where_the_system_is_singular():
    """Equal points, and a solution without a free support vector."""
    twice, labels = np.concatenate([X, X]), np.append(Y, Y)

    def total(X, C):
        params = dual.fit(X, labels, kernel=kernels.RBF(0.5), C=C, tol=1e-6).params
        return jnp.sum(dual.decision_function(params, X) ** 2)

    for C in (1.0, 1e-3):
        for leaf in jax.grad(total, argnums=(0, 1))(twice, C):
            assert np.isfinite(leaf).all()
