"""Implicit derivatives of every fit against finite differences of refits, in both modes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from tests import tolerances
from tests.linear.family import FAMILY, each, problem

TIGHT = 1e-13
H = 1e-3


@functools.cache
def _solver(member):
    """Return theta -> (params, J), flat, with everything real traced; a point and a direction."""
    X, y, s = problem(member, n=20, d=3, seed=5)
    theta = {"X": X, "sample_weight": s, **{k: np.float64(v) for k, v in member.real.items()}}
    if not member.n_classes:
        theta["y"] = y

    @jax.jit
    def fit(theta):
        others = {k: v for k, v in theta.items() if k not in ("X", "y")}
        params, info = member.fit(theta["X"], theta.get("y", y), tol=TIGHT, **others)
        return jnp.concatenate([*map(jnp.ravel, jax.tree.leaves(params)), info.objective[None]])

    rng = np.random.default_rng(7)
    direction = {
        name: rng.choice([-1.0, 1.0], size=np.shape(value)) * (0.05 if name[0] == "l" else 1.0)
        for name, value in theta.items()
    }
    return fit, jax.jit(lambda theta, u: jax.vjp(fit, theta)[1](u)[0]), theta, direction


def _along(theta, name, direction, t):
    return {**theta, name: theta[name] + t * direction[name]}


def _slope(fit, theta, name, direction):
    """The derivative along a direction by a fourth-order difference of refits."""
    at = [np.asarray(fit(_along(theta, name, direction, k * H))) for k in (-2, -1, 1, 2)]
    return (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * H)


@each(FAMILY)
def test_params_against_refits(member):
    fit, reverse, theta, direction = _solver(member)
    forward = jax.jit(lambda theta, d: jax.jvp(fit, (theta,), (d,))[1])
    u = np.random.default_rng(8).normal(size=fit(theta).shape)
    u[-1] = 0.0  # J has a test of its own
    pulled = reverse(theta, u)
    for name in theta:
        want = _slope(fit, theta, name, direction)[:-1]
        only = jax.tree.map(np.zeros_like, theta) | {name: direction[name]}
        got = np.asarray(forward(theta, only))[:-1]
        tol = tolerances.of("float64").derivative
        scale = max(np.linalg.norm(want), 1e-3)
        assert np.linalg.norm(want) > 0, name
        assert np.linalg.norm(got - want) <= tol * scale, (name, got, want)
        # The adjoint identity ties reverse mode to it.
        adjoint = np.sum(np.asarray(pulled[name]) * direction[name])
        np.testing.assert_allclose(adjoint, u[:-1] @ got, rtol=1e-9, atol=1e-11)


@each(FAMILY)
def test_the_objective_and_vmap_of_grad(member):
    fit, reverse, theta, direction = _solver(member)
    only_J = np.eye(len(fit(theta)))[-1]
    got = reverse(theta, only_J)
    for name in theta:
        np.testing.assert_allclose(
            np.sum(np.asarray(got[name]) * direction[name]),
            _slope(fit, theta, name, direction)[-1], rtol=1e-7, atol=1e-9,
        )  # fmt: skip
    points = [_along(theta, "X", direction, t) for t in (0.0, 0.05, -0.1)]
    slopes = jax.jit(jax.vmap(jax.grad(lambda theta: fit(theta)[-1])))
    batch = slopes(jax.tree.map(lambda *leaves: np.stack(leaves), *points))
    for i, point in enumerate(points):
        one = reverse(point, only_J)
        for name in theta:
            np.testing.assert_allclose(batch[name][i], one[name], rtol=1e-9, atol=1e-11)


@each(FAMILY)
def test_derivatives_keep_the_dtype_and_are_finite(member):
    X, y, s = problem(member, dtype="float32")

    def total(X, s):
        params = member.fit(X, y, sample_weight=s).params
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))

    for g in jax.jit(jax.grad(total, argnums=(0, 1)))(X, s):
        assert g.dtype == "float32"
        assert np.isfinite(g).all()
