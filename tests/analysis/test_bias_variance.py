"""The decomposition of the squared error: identities, oracles, calibration, refusals."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxml import Code
from jaxml.analysis import bias_variance
from jaxml.linear import logistic, ridge
from jaxml.neighbors import knn
from tests import tolerances

N, M, R = 20, 4, 60
SIGMA = 0.4
X = np.linspace(-1, 1, N)[:, None]
Z = np.linspace(-0.9, 0.9, M)[:, None]
fit = partial(ridge.fit, l2=0.2)


def f(X):
    return X[:, 0] ** 2 + X[:, 0]


def draw(key, dtype=jnp.float64):
    noise = SIGMA * jax.random.normal(key, (N,), dtype)
    return jnp.asarray(X, dtype), jnp.asarray(f(X), dtype) + noise


def decompose(key, *, draw=draw, dtype=np.float64, **kw):
    given = {"n_datasets": R, "noise_variance": SIGMA**2, **kw}
    return bias_variance.decompose(
        fit, ridge.predict, draw, Z.astype(dtype), f(Z).astype(dtype), key=key, **given
    )


def test_terms_of_given_predictions(rng):
    F, y, truth = rng.normal(size=(R, M)), rng.normal(size=(R, M)), rng.normal(size=M)
    found = bias_variance.measure(F, truth, responses=y, noise_variance=np.arange(4.0))
    np.testing.assert_allclose(found.bias, F.mean(axis=0) - truth, rtol=1e-12)
    np.testing.assert_allclose(found.spread, F.var(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.bias2.value, (found.bias**2).mean(), rtol=1e-12)
    np.testing.assert_allclose(found.variance.value, F.var(axis=0).mean(), rtol=1e-12)
    np.testing.assert_allclose(found.noise.value, 1.5, rtol=1e-12)
    errors = ((F - y) ** 2).mean(axis=1)
    np.testing.assert_allclose(found.error.value, errors.mean(), rtol=1e-12)
    se = errors.std(ddof=1) / R**0.5
    np.testing.assert_allclose(found.error.standard_error, se, rtol=1e-12)


def test_the_estimates_without_bias_add_up_to_the_same(rng):
    F, truth = rng.normal(size=(R, M)), rng.normal(size=M)
    found = bias_variance.measure(F, truth)
    v = F.var(axis=0, ddof=1).mean()
    np.testing.assert_allclose(found.variance.value * R / (R - 1), v, rtol=1e-12)
    whole = found.bias2.value - found.variance.value / (R - 1) + v
    np.testing.assert_allclose(whole, found.error.value, rtol=1e-12)


@pytest.mark.parametrize("m", [3, 150])  # fewer and more test points than data sets
@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_standard_errors_are_what_repetition_shows(rng, m, bias):
    runs = 400
    L = rng.normal(size=(m, m)) / m**0.5
    F = bias + rng.normal(size=(runs, R, m)) @ L.T
    y = rng.normal(size=(runs, R, m))
    found = jax.vmap(lambda F, y: bias_variance.measure(F, np.zeros(m), responses=y))(F, y)
    for name in ("bias2", "variance", "error"):
        value, error = getattr(found, name)
        ratio = np.sqrt(np.mean(error**2)) / np.std(value)
        # That of bias2 errs to the safe side where there is no bias to see.
        assert 0.85 < ratio < (2.5 if name == "bias2" and bias == 0 else 1.25), (name, ratio)


def test_decompose_is_a_loop_over_data_sets(key):
    found = decompose(key)
    for_data, for_noise = jax.random.split(key)
    F = np.array(
        [ridge.predict(fit(*draw(k)).params, jnp.asarray(Z)) for k in jax.random.split(for_data, R)]
    )
    y = f(Z) + SIGMA * np.asarray(jax.random.normal(for_noise, (R, M)))
    want = bias_variance.measure(F, f(Z), responses=y, noise_variance=SIGMA**2)
    chex.assert_trees_all_close(found, want, rtol=tolerances.of("float64").fit)
    whole = found.bias2.value + found.variance.value
    np.testing.assert_allclose(whole, ((F - f(Z)) ** 2).mean(), rtol=1e-9)
    gap = found.error.value - whole - found.noise.value
    assert abs(float(gap)) < 5 * float(found.error.standard_error)
    assert int(found.code) == Code.CONVERGED


def test_chunks_and_transformations_give_the_same(key):
    found, tol = decompose(key), tolerances.of("float64").routes
    chex.assert_trees_all_close(decompose(key, batch_size=7), found, rtol=tol)
    jitted = jax.jit(decompose)
    chex.assert_trees_all_close(jitted(key), found, rtol=tol)
    keys = jax.random.split(key, 2)
    lanes = jax.vmap(decompose)(keys)
    chex.assert_trees_all_close(
        lanes, jax.tree.map(lambda *t: jnp.stack(t), *map(decompose, keys)), rtol=tol
    )
    for a, b in zip(jax.tree.leaves(decompose(key)), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(a, b)  # the same key, the same bits


def test_noise_is_traced_and_differentiable(key):
    def total(noise):
        return decompose(key, noise_variance=noise).error.value

    h = 1e-5
    slope = jax.grad(total)(0.3)
    np.testing.assert_allclose(slope, (total(0.3 + h) - total(0.3 - h)) / (2 * h), rtol=1e-7)


def test_dtype_is_kept(key):
    single = decompose(key, draw=partial(draw, dtype=jnp.float32), dtype=np.float32)
    assert {leaf.dtype.name for leaf in single[:6] for leaf in jax.tree.leaves(leaf)} == {"float32"}
    assert ravel_pytree(single)[0].shape == (2 * 4 + 2 * M + 1,)


def test_flexible_fits_have_less_bias_and_more_variance(key):
    def smooth(k):
        return bias_variance.decompose(
            lambda X, y: (X, y), lambda data, Z: knn.predict(*data, Z, k=k), draw, Z, f(Z),
            key=key, n_datasets=200,
        )  # fmt: skip

    near, far = smooth(1), smooth(15)
    assert near.bias2.value < far.bias2.value
    np.testing.assert_allclose(near.variance.value, SIGMA**2, rtol=0.2)
    np.testing.assert_allclose(far.variance.value, SIGMA**2 / 15, rtol=0.2)


def test_bootstrap_weights_are_resampled_rows(key, rng):
    y = f(X) + SIGMA * rng.normal(size=N)
    t = f(Z) + SIGMA * rng.normal(size=M)
    found = bias_variance.bootstrap(
        fit, ridge.predict, X, y, Z, t, key=key, n_datasets=R, noise_variance=0.05
    )
    F = []
    for k in jax.random.split(key, R):
        rows = np.asarray(jax.random.randint(k, (N,), 0, N))
        F.append(ridge.predict(fit(X[rows], y[rows]).params, jnp.asarray(Z)))
    F = np.array(F)
    np.testing.assert_allclose(found.error.value, ((F - t) ** 2).mean(), rtol=1e-7)
    np.testing.assert_allclose(found.variance.value, F.var(axis=0).mean(), rtol=1e-7)
    whole = found.bias2.value + found.variance.value + found.noise.value
    np.testing.assert_allclose(whole, found.error.value, rtol=1e-12)
    rows = ((F - t) ** 2).mean(axis=0)
    assert found.error.standard_error >= rows.std() / M**0.5


def test_average(rng):
    F = rng.normal(size=(50, 8, 3)) + rng.normal(size=(50, 1, 3))
    found = bias_variance.average(F)
    np.testing.assert_allclose(found.measured, F.mean(axis=1).var(axis=0).mean(), rtol=1e-12)
    np.testing.assert_allclose(found.formula, found.measured, rtol=1e-12)
    np.testing.assert_allclose(found.member, F.var(axis=0).mean(), rtol=1e-12)
    assert 0.3 < float(found.correlation) < 0.7
    still = bias_variance.average(np.ones((3, 2, 1)))
    assert (float(still.measured), float(still.formula)) == (0.0, 0.0)


def test_a_fit_without_an_answer_gives_no_number(key):
    def separable(key):
        del key
        return jnp.asarray(X), jnp.asarray(X[:, 0] > 0, jnp.int32)

    found = bias_variance.decompose(
        logistic.fit, logistic.decision_function, separable, Z, f(Z), key=key, n_datasets=2
    )
    assert int(found.code) == Code.DEGENERATE
    assert np.isnan([found.bias2.value, found.variance.value, found.error.value]).all()


@pytest.mark.parametrize(("change", "match"), [
    ({"n_datasets": 1}, "n_datasets must be >= 2"),
    ({"noise_variance": -1.0}, "noise_variance must be >= 0"),
    ({"noise_variance": np.array([1.0, 1.0, 1.0, -1.0])}, "noise_variance must be >= 0"),
    ({"noise_variance": np.ones(3)}, "noise_variance needs one entry"),
    ({"batch_size": 0}, "batch_size must be >= 1"),
])  # fmt: skip
def test_refusals(key, change, match):
    with pytest.raises(ValueError, match=match):
        decompose(key, **change)


def test_refusals_of_arrays(key):
    with pytest.raises(ValueError, match="f_test needs one entry per test point"):
        bias_variance.decompose(fit, ridge.predict, draw, Z, f(X), key=key, n_datasets=2)
    with pytest.raises(ValueError, match="predict must return shape"):
        bias_variance.decompose(
            fit, lambda params, Z: params.coef, draw, Z, f(Z), key=key, n_datasets=2
        )
    with pytest.raises(ValueError, match="f_test contains NaN"):
        bias_variance.measure(np.ones((2, 1)), [np.nan])
    with pytest.raises(ValueError, match="two data sets"):
        bias_variance.measure(np.ones((1, 3)), np.ones(3))
    with pytest.raises(ValueError, match="responses must have shape"):
        bias_variance.measure(np.ones((2, 3)), np.ones(3), responses=np.ones((2, 2)))
    with pytest.raises(ValueError, match="two data sets and two members"):
        bias_variance.average(np.ones((3, 1, 2)))
    with pytest.raises(ValueError, match="y needs one entry per row"):
        bias_variance.bootstrap(
            fit, ridge.predict, X, f(Z), Z, f(Z), key=key, n_datasets=2
        )  # fmt: skip
