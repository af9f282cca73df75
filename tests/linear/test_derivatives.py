"""Implicit derivatives of every fit against finite differences of refits, in both modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import tolerances
from tests.linear.family import FAMILY, problem

TIGHT = 1e-13
H = 1e-3


def _solver(member):
    """Return theta -> params (flat) with everything real traced, and a point and a direction."""
    X, y, s = problem(member, n=20, d=3, seed=5)
    theta = {"X": X, "sample_weight": s, **{k: np.float64(v) for k, v in member.real.items()}}
    if not member.n_classes:
        theta["y"] = y

    def fit(theta):
        others = {k: v for k, v in theta.items() if k not in ("X", "y")}
        return member.fit(theta["X"], theta.get("y", y), tol=TIGHT, **others)

    def flat(theta):
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(fit(theta).params)])

    rng = np.random.default_rng(7)
    direction = {
        name: rng.choice([-1.0, 1.0], size=np.shape(value)) * (0.05 if name[0] == "l" else 1.0)
        for name, value in theta.items()
    }
    return fit, jax.jit(flat), theta, direction


def _along(theta, name, direction, t):
    return {**theta, name: theta[name] + t * direction[name]}


@pytest.mark.parametrize("member", FAMILY, ids=lambda m: m.label)
def test_params_against_refits(member):
    _, flat, theta, direction = _solver(member)
    forward = jax.jit(lambda theta, d: jax.jvp(flat, (theta,), (d,))[1])
    reverse = jax.jit(lambda theta, u: jax.vjp(flat, theta)[1](u)[0])
    u = np.random.default_rng(8).normal(size=flat(theta).shape)
    pulled = reverse(theta, u)
    for name in theta:
        at = [np.asarray(flat(_along(theta, name, direction, k * H))) for k in (-2, -1, 1, 2)]
        want = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * H)
        only = jax.tree.map(np.zeros_like, theta) | {name: direction[name]}
        got = np.asarray(forward(theta, only))
        tol = tolerances.of("float64").derivative
        scale = max(np.linalg.norm(want), 1e-3)
        assert np.linalg.norm(want) > 0, name
        assert np.linalg.norm(got - want) <= tol * scale, (name, got, want)
        # The adjoint identity ties reverse mode to it.
        adjoint = np.sum(np.asarray(pulled[name]) * direction[name])
        np.testing.assert_allclose(adjoint, u @ got, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("member", FAMILY, ids=lambda m: m.label)
def test_the_objective_and_vmap_of_grad(member):
    fit, _, theta, direction = _solver(member)
    slope = jax.grad(lambda theta: fit(theta).info.objective)
    objective = jax.jit(lambda theta: fit(theta).info.objective)
    got = jax.jit(slope)(theta)
    for name in theta:
        at = [float(objective(_along(theta, name, direction, k * H))) for k in (-2, -1, 1, 2)]
        want = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * H)
        np.testing.assert_allclose(
            np.sum(np.asarray(got[name]) * direction[name]), want, rtol=1e-7, atol=1e-9
        )
    points = [_along(theta, "X", direction, t) for t in (0.0, 0.05, -0.1)]
    batch = jax.jit(jax.vmap(slope))(jax.tree.map(lambda *leaves: np.stack(leaves), *points))
    for i, point in enumerate(points):
        one = jax.jit(slope)(point)
        for name in theta:
            np.testing.assert_allclose(batch[name][i], one[name], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("member", FAMILY, ids=lambda m: m.label)
@pytest.mark.parametrize("dtype", ["float32"])
def test_derivatives_keep_the_dtype_and_are_finite(member, dtype):
    X, y, s = problem(member, dtype=dtype)

    def total(X, s):
        params = member.fit(X, y, sample_weight=s).params
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))

    for g in jax.jit(jax.grad(total, argnums=(0, 1)))(X, s):
        assert g.dtype == dtype
        assert np.isfinite(g).all()
