"""minimize, newton and lbfgs: answers against SciPy, every code, derivatives, transformations."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize

import jaxml
from jaxml import Code, optim

H = np.array([[3.0, 1.0, 0.5], [1.0, 2.0, 0.2], [0.5, 0.2, 1.0]])
L = float(np.linalg.eigvalsh(H).max())
B = np.array([1.0, -2.0, 0.5])
GD, MOMENTUM = optim.gradient_descent(1.0 / L), optim.momentum(0.5 / L, 0.6)
# A constant rate would leave Adam in a cycle around the minimum.
ADAM = optim.adam(optax.exponential_decay(0.1, 20, 0.5), 0.8, 0.9)
LBFGS = optax.lbfgs()


def quadratic(w, b):
    return 0.5 * w @ jnp.asarray(H, w.dtype) @ w - b.astype(w.dtype) @ w


def bowl(w, b):
    """Convex, smooth, not quadratic: the last entry has another scale."""
    return quadratic(w, b) + jnp.sum(jnp.cosh(w)) + 10.0 * w[-1] ** 2


def rosenbrock(x):
    return (1.0 - x[0]) ** 2 + 100.0 * (x[1] - x[0] ** 2) ** 2


SOLVERS = {
    "gradient_descent": lambda f, w, **kw: optim.minimize(f, w, optimizer=GD, **kw),
    "momentum": lambda f, w, **kw: optim.minimize(f, w, optimizer=MOMENTUM, **kw),
    "adam": lambda f, w, **kw: optim.minimize(f, w, optimizer=ADAM, **kw),
    "optax.lbfgs": lambda f, w, **kw: optim.minimize(f, w, optimizer=LBFGS, **kw),
    "lbfgs": lambda f, w, **kw: optim.lbfgs(f, w, memory_size=4, **kw),
    "newton": optim.newton,
}


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


# ---- derivatives -------------------------------------------------------------------------------


def test_derivatives_are_those_of_refits():
    def refit(b):
        fit = optim.newton(bowl, jnp.zeros(3), args=(b,), tol=1e-12)
        return fit.params, fit.info.objective

    h = 1e-4
    want = [
        np.stack([(a - b) / (2 * h) for a, b in pairs], axis=-1)
        for pairs in zip(
            *(
                [(p, m) for p, m in zip(refit(B + h * e), refit(B - h * e), strict=True)]
                for e in np.eye(3)
            ),
            strict=True,
        )
    ]
    for mode in (jax.jacfwd, jax.jacrev):
        for got, expected in zip(mode(refit)(jnp.asarray(B)), want, strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-7)


def test_closed_over_values_are_differentiated_like_arguments():
    b, w = jnp.asarray(B), jnp.zeros(3)
    by_args = jax.jacrev(lambda b: optim.newton(bowl, w, args=(b,)).params)(b)
    closed = lambda b: optim.newton(lambda w: bowl(w, b), w).params  # noqa: E731
    np.testing.assert_allclose(jax.jacrev(closed)(b), by_args, atol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(closed))(b), by_args, atol=1e-12)


def test_second_derivatives():
    # w = log a  =>  dw/da = 1/a, d2w/da2 = -1/a^2
    def w(a):
        return optim.newton(lambda w, a: jnp.exp(w) - a * w, jnp.array(0.0), args=(a,)).params

    np.testing.assert_allclose(jax.grad(w)(2.0), 0.5, rtol=1e-9)
    np.testing.assert_allclose(jax.hessian(w)(2.0), -0.25, rtol=1e-9)


def test_the_start_and_the_tolerance_have_zero_derivative():
    def w(start, tol):
        return optim.newton(bowl, start, args=(jnp.asarray(B),), tol=tol).params.sum()

    assert jax.grad(w, (0, 1))(jnp.ones(3), 1e-10)[1] == 0
    np.testing.assert_array_equal(jax.grad(w)(jnp.ones(3), 1e-10), 0)


def test_a_flat_direction_has_the_derivative_of_least_norm():
    # f = (w_1 + w_2 - a)^2: gradient descent from 0 stays on w_1 = w_2 = a/2.
    def w(a):
        fit = optim.minimize(lambda w, a: (w.sum() - a) ** 2, jnp.zeros(2), args=(a,),
                             optimizer=optim.gradient_descent(0.2))  # fmt: skip
        return fit.params

    np.testing.assert_allclose(w(3.0), 1.5, atol=1e-9)
    np.testing.assert_allclose(jax.jacrev(w)(3.0), 0.5, atol=1e-9)


def test_large_problems_solve_the_hessian_by_conjugate_gradients():
    # 600 entries > 512; diagonal curvature c + 3 w^2 gives dw/db = 1/(c + 3 w^2) by hand.
    c = jnp.linspace(1.0, 3.0, 600)
    b = jnp.sin(jnp.arange(600.0))

    def w(b):
        loss = lambda w, b: jnp.sum(c * w**2 / 2 + w**4 / 4 - b * w)  # noqa: E731
        return optim.minimize(
            loss, jnp.zeros(600), args=(b,), tol=1e-10, optimizer=optim.gradient_descent(0.2)
        ).params

    solution = w(b)
    v = jnp.cos(jnp.arange(600.0))
    want = v / (c + 3 * solution**2)
    np.testing.assert_allclose(jax.jvp(w, (b,), (v,))[1], want, atol=1e-9)
    np.testing.assert_allclose(jax.vjp(w, b)[1](v)[0], want, atol=1e-9)


# ---- transformations, arguments ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["gradient_descent", "lbfgs", "newton"])
def test_jit_and_vmap_change_nothing(name):
    def loss(w, b):
        return bowl(w, b) / 10.0

    def solve(b):
        return SOLVERS[name](loss, jnp.zeros(3) + 0.1, args=(b,), tol=1e-10)

    batch = jnp.stack([jnp.asarray(B), -2.0 * B, 0.0 * B])
    mapped = jax.vmap(solve)(batch)
    for i, b in enumerate(batch):
        single, row = solve(b), jax.tree.map(lambda leaf, i=i: leaf[i], mapped)
        assert int(row.info.code) == int(single.info.code) == 0
        np.testing.assert_allclose(row.params, single.params, atol=1e-10)
    if name == "gradient_descent":
        chex.assert_trees_all_close(jax.jit(solve)(batch[0]), solve(batch[0]), atol=1e-12)


def test_a_bad_member_of_a_batch_spoils_only_itself():
    solve = jax.jit(jax.vmap(lambda b: optim.newton(quadratic, jnp.zeros(3), args=(b,))))
    good = jnp.stack([jnp.asarray(B), jnp.asarray(B), 2.0 * B])
    clean, mixed = solve(good), solve(good.at[1, 0].set(jnp.nan))
    assert mixed.info.code.tolist() == [0, Code.NONFINITE_INPUT, 0]
    np.testing.assert_array_equal(mixed.params[::2], clean.params[::2])


def test_a_learning_rate_can_be_mapped_over():
    rates = jnp.array([0.5, 1.0, 2.5]) / L
    fits = jax.vmap(
        lambda lr: optim.minimize(
            quadratic, jnp.zeros(3), args=(jnp.asarray(B),), optimizer=optim.gradient_descent(lr)
        )
    )(rates)
    assert fits.info.code.tolist() == [0, 0, Code.DIVERGED]
    assert int(fits.info.n_iter[0]) > int(fits.info.n_iter[1])


@pytest.mark.parametrize("solve", [optim.newton, SOLVERS["gradient_descent"]])
def test_the_loss_is_traced_once_for_equal_shapes(solve):
    traces = []

    def loss(w, b):
        traces.append(1)
        return bowl(w, b)

    for scale in (1.0, 2.0, 3.0):
        solve(loss, jnp.zeros(3), args=(scale * jnp.asarray(B),), tol=1e-6 * scale,
              max_iter=50 + int(scale))  # fmt: skip
    assert len(traces) == 1


def test_the_same_call_gives_the_same_bits():
    first, again = (optim.lbfgs(bowl, jnp.ones(3), args=(jnp.asarray(B),)) for _ in range(2))
    chex.assert_trees_all_equal(first, again)


def test_progress_changes_nothing_and_draws_on_stderr(capsys):
    kw = {"args": (jnp.asarray(B),), "optimizer": GD, "max_iter": 250}
    quiet = optim.minimize(bowl, jnp.zeros(3), tol=0.0, **kw)
    shown = optim.minimize(bowl, jnp.zeros(3), tol=0.0, progress=True, **kw)
    chex.assert_trees_all_equal(quiet, shown)
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="progress"):
        jax.jit(lambda b: optim.minimize(quadratic, b, args=(b,), optimizer=GD, progress=True))(
            jnp.asarray(B)
        )


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        (TypeError, "optax GradientTransformation", lambda: optim.minimize(
            jnp.sum, jnp.ones(2), optimizer="adam")),
        (TypeError, "args must be a tuple", lambda: optim.newton(
            quadratic, jnp.ones(3), args=jnp.asarray(B))),
        (TypeError, "no arrays", lambda: optim.newton(jnp.sum, {})),
        (TypeError, "Complex", lambda: optim.newton(jnp.sum, jnp.ones(2, complex))),
        (ValueError, "scalar", lambda: optim.newton(lambda w: w, jnp.ones(2))),
        (ValueError, "NaN", lambda: optim.newton(jnp.sum, jnp.array([1.0, jnp.nan]))),
        (ValueError, "max_iter must be >= 1", lambda: optim.newton(jnp.sum, 1.0, max_iter=0)),
        (ValueError, "tol must be >= 0", lambda: optim.newton(jnp.sum, 1.0, tol=-1.0)),
        (ValueError, "memory_size", lambda: optim.lbfgs(jnp.sum, 1.0, memory_size=0)),
    ],
)  # fmt: skip
def test_arguments_are_checked(error, text, call):
    with pytest.raises(error, match=text):
        call()
