"""Penalties against their formulas, and proximal operators against brute-force minimization."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from jaxml import penalties

W = np.array([3.0, -0.5, 0.0, -2.0, 1e-12, 1e8])


def test_values():
    assert float(penalties.l1(jnp.asarray(W))) == np.abs(W).sum()
    assert float(penalties.l2(jnp.asarray(W))) == 0.5 * (W**2).sum()
    want = 0.3 * np.abs(W).sum() + 0.7 * 0.5 * (W**2).sum()
    np.testing.assert_allclose(
        penalties.elastic_net(jnp.asarray(W), l1_ratio=0.3), want, rtol=1e-15
    )
    assert float(penalties.l2(jnp.asarray(W.reshape(2, 3)))) == 0.5 * (W**2).sum()


def test_gradients_with_zero_at_the_kink():
    for derivative in (jax.grad, jax.jacfwd):
        np.testing.assert_array_equal(derivative(penalties.l1)(jnp.asarray(W)), np.sign(W))
        np.testing.assert_array_equal(derivative(penalties.l2)(jnp.asarray(W)), W)
    got = jax.grad(lambda r: penalties.elastic_net(jnp.asarray(W), l1_ratio=r))(0.4)
    np.testing.assert_allclose(got, np.abs(W).sum() - 0.5 * (W**2).sum(), rtol=1e-15)


@pytest.mark.parametrize("step", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.3, 1.0])
def test_prox_is_the_minimizer_found_by_brute_force(step, l1_ratio):
    for v in (-3.0, -0.5, -0.14, 0.0, 0.15, 0.6, 2.0, 7.5):

        def objective(w, v=v):
            return 0.5 * (w - v) ** 2 + step * (l1_ratio * abs(w) + (1 - l1_ratio) * 0.5 * w**2)

        grid = np.linspace(-8, 8, 3201)
        start = grid[np.argmin([objective(w) for w in grid])]
        found = optimize.minimize_scalar(
            objective,
            bounds=(start - 0.01, start + 0.01),
            method="bounded",
            options={"xatol": 1e-10},
        ).x
        best = min((found, 0.0), key=objective)
        got = float(penalties.prox_elastic_net(jnp.asarray(v), step, l1_ratio=l1_ratio))
        assert abs(got - best) < 1e-7
        assert objective(got) <= objective(best) + 1e-15
        if l1_ratio == 1.0:
            assert got == float(penalties.prox_l1(jnp.asarray(v), step))


def test_soft_threshold_is_exactly_zero_inside_and_positive_zero():
    v = jnp.asarray([0.5, -0.5, 0.3, -0.3, 0.0, -0.0])
    out = np.asarray(penalties.prox_l1(v, 0.5))
    assert (out == 0.0).all()
    assert not np.signbit(out).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_kept(dtype):
    w = jnp.asarray(W, dtype)
    for out in (
        penalties.l1(w), penalties.l2(w), penalties.elastic_net(w, l1_ratio=0.5),
        penalties.prox_l1(w, 0.5), penalties.prox_elastic_net(w, 0.5, l1_ratio=0.5),
    ):  # fmt: skip
        assert out.dtype == dtype
