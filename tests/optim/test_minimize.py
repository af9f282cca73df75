"""minimize, newton and lbfgs: answers against SciPy, and every code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import jaxml
from jaxml import Code, optim
from tests.optim.minimize_problems import SOLVERS, B, H, L, bowl, quadratic


def rosenbrock(x):
    return (1.0 - x[0]) ** 2 + 100.0 * (x[1] - x[0] ** 2) ** 2


def gradient(w):
    return H @ w - B


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SOLVERS)
def test_a_certified_minimum_of_a_quadratic(name, dtype):
    fit = jaxml.check(SOLVERS[name](quadratic, jnp.zeros(3, dtype), args=(jnp.asarray(B),)))
    assert fit.params.dtype == fit.info.residual.dtype == dtype
    w = np.asarray(fit.params, np.float64)
    tol = float(jnp.finfo(dtype).eps) ** (2 / 3)
    value = 0.5 * w @ H @ w - B @ w
    # The certificate, recomputed; then what it implies for w, with ||H^-1|| = 1/mu.
    assert np.abs(gradient(w)).max() / max(1, abs(value)) <= 10 * tol
    np.testing.assert_allclose(w, np.linalg.solve(H, B), rtol=0, atol=30 * tol)
    np.testing.assert_allclose(fit.info.objective, value, rtol=1e-6)


@pytest.mark.parametrize("name", ["optax.lbfgs", "lbfgs", "newton"])
def test_rosenbrock_as_in_scipy(name):
    fit = jaxml.check(SOLVERS[name](rosenbrock, jnp.array([-1.2, 1.0])))
    scipy_fit = scipy.optimize.minimize(
        lambda x: float(rosenbrock(x)), [-1.2, 1.0], tol=1e-10, method="Nelder-Mead"
    )
    np.testing.assert_allclose(fit.params, scipy_fit.x, atol=1e-8)
    np.testing.assert_allclose(fit.params, [1.0, 1.0], atol=1e-10)


@pytest.mark.parametrize("name", ["lbfgs", "newton", "gradient_descent"])
def test_a_pytree_as_in_scipy(name):
    def loss(p):
        return bowl(jnp.concatenate([p["u"], p["v"][None]]), jnp.asarray(B)) / 10.0

    fit = jaxml.check(SOLVERS[name](loss, {"u": jnp.ones(2), "v": jnp.array(-1.0)}, tol=1e-9))
    want = scipy.optimize.minimize(
        lambda w: 0.5 * w @ H @ w - B @ w + np.cosh(w).sum() + 10 * w[-1] ** 2,
        np.zeros(3),
        jac=lambda w: gradient(w) + np.sinh(w) + np.array([0, 0, 20 * w[-1]]),
        tol=1e-12,
    ).x
    got = np.append(fit.params["u"], fit.params["v"])
    np.testing.assert_allclose(got, want, atol=1e-7)


def test_newton_from_a_point_of_negative_curvature():
    # f = x^4/4 - x^2/2 + y^2: a maximum in x at 0, minima at +-1.
    fit = jaxml.check(optim.newton(lambda w: w[0] ** 4 / 4 - w[0] ** 2 / 2 + w[1] ** 2,
                                   jnp.array([0.1, 1.0])))  # fmt: skip
    np.testing.assert_allclose(fit.params, [1.0, 0.0], atol=1e-9)


def test_newton_converges_quadratically():
    # log a by Newton on e^w - a w: few steps from far away, and exact for a quadratic in one.
    fit = optim.newton(lambda w, a: jnp.exp(w) - a * w, jnp.array(0.0), args=(5.0,), tol=1e-13)
    np.testing.assert_allclose(fit.params, np.log(5.0), rtol=1e-13)
    assert int(fit.info.n_iter) <= 10
    assert int(optim.newton(quadratic, jnp.zeros(3), args=(jnp.asarray(B),)).info.n_iter) == 1


# ---- codes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SOLVERS)
def test_one_iteration_is_max_iter(name):
    fit = SOLVERS[name](bowl, jnp.ones(3), args=(jnp.asarray(B),), max_iter=1)
    assert int(fit.info.code) == Code.MAX_ITER
    assert int(fit.info.n_iter) == 1
    assert np.isfinite(fit.params).all()
    assert float(fit.info.objective) <= float(bowl(jnp.ones(3), jnp.asarray(B)))


@pytest.mark.parametrize("name", ["gradient_descent", "adam", "newton"])
def test_a_tolerance_below_rounding_is_line_search_failed(name):
    b = jnp.asarray(B, "float32")
    fit = SOLVERS[name](quadratic, jnp.zeros(3, "float32"), args=(b,), tol=1e-30, max_iter=5000)
    # A gradient may come out as exactly 0, which is certified rightly.
    hit = float(fit.info.residual) == 0
    assert int(fit.info.code) == (Code.CONVERGED if hit else Code.LINE_SEARCH_FAILED)
    assert int(fit.info.n_iter) < 2000
    np.testing.assert_allclose(fit.params, np.linalg.solve(H, B), atol=2e-6)


@pytest.mark.parametrize("rate", [2.02, 2.5, 100.0])
def test_a_rate_above_two_over_l_diverges(rate):
    fit = optim.minimize(
        quadratic, jnp.ones(3), args=(jnp.asarray(B),),
        optimizer=optim.gradient_descent(rate / L), max_iter=5000,
    )  # fmt: skip
    assert int(fit.info.code) == Code.DIVERGED
    assert np.isnan(fit.params).all()
    with pytest.raises(jaxml.FitError, match="learning rate"):
        jaxml.check(fit)


def test_a_rate_just_below_two_over_l_converges():
    jaxml.check(optim.minimize(quadratic, jnp.ones(3), args=(jnp.asarray(B),), max_iter=5000,
                               optimizer=optim.gradient_descent(1.98 / L)))  # fmt: skip


@pytest.mark.parametrize("name", ["gradient_descent", "newton"])
def test_an_objective_without_minimum_is_not_certified(name):
    # -||w||^2 falls without end: the residual, relative to |f|, still goes to 0.
    fit = SOLVERS[name](lambda w: -jnp.sum(w**2), jnp.array([0.1, 5.0]), tol=1e-6)
    assert int(fit.info.code) == Code.DIVERGED
    assert np.isnan(fit.params).all()


def test_steps_out_of_the_domain_are_taken_back():
    # x - log x is NaN for x < 0, where a long step from x = 0.1 would land.
    fit = jaxml.check(optim.minimize(lambda x: jnp.sum(x - jnp.log(x)), jnp.array([0.1, 5.0]),
                                     optimizer=optim.gradient_descent(0.9)))  # fmt: skip
    np.testing.assert_allclose(fit.params, 1.0, atol=1e-9)


def test_a_domain_that_ends_where_f_falls_does_not_hang():
    # f falls towards the edge x = 1 of its domain: no minimum inside, and no step past it.
    fit = optim.minimize(
        lambda x: jnp.where(x > 1.0, jnp.nan, -x), jnp.array(0.0),
        optimizer=optim.gradient_descent(0.3), max_iter=10_000,
    )  # fmt: skip
    assert int(fit.info.code) in (Code.LINE_SEARCH_FAILED, Code.MAX_ITER)
    assert 0.9 < float(fit.params) <= 1.0


@pytest.mark.parametrize("name", ["gradient_descent", "newton"])
def test_non_finite_data_and_starts_have_their_codes(name):
    solve = jax.jit(lambda w, b: SOLVERS[name](quadratic, w, args=(b,)))
    spoiled = solve(jnp.zeros(3), jnp.array([1.0, jnp.nan, 0.0]))
    assert int(spoiled.info.code) == Code.NONFINITE_INPUT
    assert np.isnan(spoiled.params).all()
    outside = SOLVERS[name](lambda x: jnp.sum(jnp.log(x)), -jnp.ones(2))
    assert int(outside.info.code) == Code.DIVERGED


def test_the_best_point_is_kept():
    # A rate that grows: the steps first descend, then leave; the lowest point is returned.
    optimizer = optim.gradient_descent(lambda t: jnp.where(t < 20, 0.3 / L, 2.2 / L))
    values = [
        float(optim.minimize(quadratic, jnp.ones(3), args=(jnp.asarray(B),), optimizer=optimizer,
                             max_iter=k).info.objective)
        for k in (5, 20, 60, 80)
    ]  # fmt: skip
    assert values[0] > values[1] >= values[2] >= values[3]
