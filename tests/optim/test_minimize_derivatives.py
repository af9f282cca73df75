"""minimize, newton and lbfgs: derivatives against refits, transformations, checked arguments."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code, optim
from tests.optim.minimize_problems import GD, SOLVERS, B, L, bowl, quadratic

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
