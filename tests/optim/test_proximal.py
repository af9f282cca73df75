"""proximal_gradient and the projections: brute force, scikit-learn, SciPy, refits, every code."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from sklearn.linear_model import Lasso

import jaxml
from jaxml import Code, optim, penalties
from jaxml.optim import projections

RNG = np.random.default_rng(7)
X = RNG.standard_normal((30, 5))
Y = X @ np.array([1.0, 0.0, -2.0, 0.0, 0.5]) + 0.1 * RNG.standard_normal(30)


def smooth(w, X, y):
    return 0.5 * jnp.mean((jnp.matmul(X, w, precision="highest") - y) ** 2)


def prox_l1(v, step, l1):
    return penalties.prox_l1(v, step * l1)


def penalty(w, l1):
    return l1 * penalties.l1(w)


def lasso(l1, dtype="float64", X=X, y=Y, **kw):
    args = (jnp.asarray(X, dtype), jnp.asarray(y, dtype))
    return optim.proximal_gradient(smooth, prox_l1, jnp.zeros(5, dtype), args=args,
                                   prox_args=(l1,), penalty=penalty, **kw)  # fmt: skip


IN_SIMPLEX = projections.as_prox(projections.simplex)
IN_BOX = projections.as_prox(projections.box)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("l1", [0.01, 0.1, 0.7])
def test_lasso_as_in_scikit_learn(l1, dtype):
    fit = jaxml.check(lasso(l1, dtype))
    want = Lasso(alpha=l1, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(X, Y).coef_
    np.testing.assert_allclose(fit.params, want, atol=1e-9 if dtype == "float64" else 1e-4)
    assert fit.params.dtype == dtype
    np.testing.assert_array_equal(np.asarray(fit.params) == 0, want == 0)
    # The certificate and the objective, recomputed in NumPy.
    w = np.asarray(fit.params, np.float64)
    v = w - X.T @ (X @ w - Y) / 30
    J = 0.5 * np.mean((X @ w - Y) ** 2) + l1 * np.abs(w).sum()
    residual = np.abs(w - np.sign(v) * np.maximum(np.abs(v) - l1, 0)).max() / max(1, J)
    assert residual <= 10 * float(jnp.finfo(dtype).eps) ** (2 / 3)
    np.testing.assert_allclose(fit.info.objective, J, rtol=1e-5)


def test_a_penalty_that_leaves_nothing_gives_exact_zeros():
    fit = jaxml.check(lasso(1.0001 * np.abs(X.T @ Y / 30).max()))
    np.testing.assert_array_equal(fit.params, 0)


def test_bounds_as_in_scipy():
    args = (jnp.asarray(X), jnp.asarray(Y))
    fit = jaxml.check(optim.proximal_gradient(smooth, IN_BOX, jnp.ones(5), args=args,
                                              prox_args=(0.0, 0.8)))  # fmt: skip
    want = scipy.optimize.lsq_linear(X, Y, (0.0, 0.8), method="bvls", tol=1e-14).x
    np.testing.assert_allclose(fit.params, want, atol=1e-9)


def test_restart_bounds_the_steps_on_a_long_valley():
    # Condition number 1e4: without momentum some 1e5 steps, without restart ripples.
    d = jnp.logspace(0, -4, 5)
    fit = optim.proximal_gradient(
        lambda w: jnp.sum(d * (w - 3.0) ** 2) / 2,
        prox_l1,
        jnp.zeros(5),
        prox_args=(1e-5,),
        max_iter=5000,
    )
    jaxml.check(fit)
    np.testing.assert_allclose(fit.params, 3.0 - 1e-5 / d, atol=1e-5)
    assert int(fit.info.n_iter) < 3000


def test_the_scale_of_the_data_does_not_matter():
    for scale in (1e-4, 1e4):
        fit = jaxml.check(lasso(0.1 * scale, X=scale * X, y=Y))
        np.testing.assert_allclose(fit.params * scale, lasso(0.1).params, atol=1e-6)


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_derivatives_are_those_of_refits(mode):
    h = 1e-5

    def by_penalty(l1):
        return lasso(l1, tol=1e-13).params

    want = (by_penalty(0.1 + h) - by_penalty(0.1 - h)) / (2 * h)
    np.testing.assert_allclose(mode(by_penalty)(0.1), want, atol=1e-7)
    assert (np.asarray(want) == 0).any()
    assert (np.asarray(want) != 0).any()

    def by_target(y):
        return optim.proximal_gradient(smooth, IN_SIMPLEX, jnp.ones(5) / 5, tol=1e-13,
                                       args=(jnp.asarray(X), y)).params  # fmt: skip

    got = mode(by_target)(jnp.asarray(Y))
    for i in (0, 7):
        e = h * np.eye(30)[i]
        want = (by_target(Y + e) - by_target(Y - e)) / (2 * h)
        np.testing.assert_allclose(got[:, i], want, atol=1e-7)


def test_large_problems_solve_for_the_derivative_iteratively():
    # 600 entries, f = sum c (w - b)^2 / 2: w = soft(b, l1/c), so dw/db = 1 where |b| > l1/c.
    c, b = jnp.linspace(0.5, 2.0, 600), jnp.linspace(-1.0, 1.0, 600)

    def w(b):
        return optim.proximal_gradient(
            lambda w, b: jnp.sum(c * (w - b) ** 2) / 2,
            prox_l1,
            jnp.zeros(600),
            args=(b,),
            prox_args=(0.3,),
        ).params

    kept = jnp.abs(b) > 0.3 / c
    np.testing.assert_allclose(w(b), jnp.where(kept, b - jnp.sign(b) * 0.3 / c, 0), atol=1e-9)
    v = jnp.cos(jnp.arange(600.0))
    np.testing.assert_allclose(jax.jvp(w, (b,), (v,))[1], jnp.where(kept, v, 0), atol=1e-8)
    np.testing.assert_allclose(jax.vjp(w, b)[1](v)[0], jnp.where(kept, v, 0), atol=1e-8)


def test_codes():
    assert int(lasso(0.1, max_iter=1).info.code) == Code.MAX_ITER
    flat = lasso(0.1, "float32", tol=1e-30)
    hit = float(flat.info.residual) == 0
    assert int(flat.info.code) == (Code.CONVERGED if hit else Code.LINE_SEARCH_FAILED)
    falling = optim.proximal_gradient(lambda w: -jnp.sum(w**2), prox_l1, jnp.ones(2),
                                      prox_args=(0.1,))  # fmt: skip
    assert int(falling.info.code) == Code.DIVERGED
    spoiled = jax.jit(lambda y: lasso(0.1, y=y))(jnp.asarray(Y).at[3].set(jnp.nan))
    assert int(spoiled.info.code) == Code.NONFINITE_INPUT
    assert np.isnan(spoiled.params).all()


def test_a_path_in_one_call_equals_the_loop():
    grid = jnp.array([0.01, 0.1, 1.0])
    path = jax.jit(jax.vmap(lambda l1: lasso(l1).params))(grid)
    for l1, w in zip(grid, path, strict=True):
        np.testing.assert_allclose(w, lasso(float(l1)).params, atol=1e-10)


def test_arguments_are_checked():
    with pytest.raises(TypeError, match="prox_args must be a tuple"):
        optim.proximal_gradient(jnp.sum, prox_l1, jnp.ones(2), prox_args=0.1)
    with pytest.raises(ValueError, match="radius must be > 0"):
        projections.simplex(jnp.ones(2), 0.0)
    with pytest.raises(ValueError, match="v must be a vector"):
        projections.simplex(jnp.ones((2, 2)))


# ---- projections -------------------------------------------------------------------------------


def _on_simplex_by_enumeration(v, radius):
    """Try every support: the nearest feasible point wins."""
    best = None
    for size in range(1, len(v) + 1):
        for support in map(list, itertools.combinations(range(len(v)), size)):
            w = np.zeros(len(v))
            w[support] = v[support] - (v[support].sum() - radius) / size
            if (w >= 0).all() and (best is None or np.sum((w - v) ** 2) < np.sum((best - v) ** 2)):
                best = w
    return best


@pytest.mark.parametrize("radius", [0.3, 1.0, 5.0])
def test_simplex_by_enumeration_of_supports(rng, radius):
    for n in (1, 2, 5):
        for v in rng.normal(scale=2.0, size=(6, n)):
            got = projections.simplex(jnp.asarray(v), radius)
            np.testing.assert_allclose(got, _on_simplex_by_enumeration(v, radius), atol=1e-13)
            np.testing.assert_allclose(got, optax.projections.projection_simplex(
                jnp.asarray(v), radius), atol=1e-12)  # fmt: skip


def test_simplex_far_from_the_origin_and_with_ties():
    v = jnp.array([1e6 + 0.25, 1e6, 0.0], "float32")
    np.testing.assert_allclose(projections.simplex(v), [0.625, 0.375, 0.0], atol=1e-6)
    np.testing.assert_allclose(projections.simplex(jnp.ones(4)), 0.25, atol=1e-15)


def test_simplex_has_the_derivative_of_its_support():
    v = jnp.array([0.9, -3.0, 0.6, 0.3])
    support = np.array([1.0, 0.0, 1.0, 1.0])
    want = np.diag(support) - np.outer(support, support) / 3
    np.testing.assert_allclose(jax.jacrev(projections.simplex)(v), want, atol=1e-14)
    np.testing.assert_allclose(jax.jacfwd(projections.simplex, 1)(v, 1.0), support / 3, atol=1e-14)


def test_box_and_its_derivative_on_and_off_the_bounds():
    v = jnp.array([-2.0, -1.0, 0.3, 1.0, 5.0])
    np.testing.assert_array_equal(projections.box(v, -1.0, 1.0), [-1.0, -1.0, 0.3, 1.0, 1.0])
    slope = jax.jacrev(lambda v: projections.box(v, -1.0, 1.0))(v)
    np.testing.assert_array_equal(slope, np.diag([0.0, 1.0, 1.0, 1.0, 0.0]))
    by_high = jax.jacfwd(lambda high: projections.box(v, -1.0, high))(1.0)
    np.testing.assert_array_equal(by_high, [0.0, 0.0, 0.0, 0.0, 1.0])
    np.testing.assert_array_equal(projections.box(v), v)
