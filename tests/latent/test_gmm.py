"""Gaussian mixtures against scikit-learn, SciPy and NumPy; theorems of EM; derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

from jaxml import Code
from jaxml.latent import gmm
from jaxml.latent.gmm import Params
from tests.latent.gmm_problems import FITS, TYPES, code, data, start, step

# Oracles -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_verbs_against_scipy_and_scikit_learn(kind):
    mixture = pytest.importorskip("sklearn.mixture")
    X, s = data()
    init = start(kind)
    inverse = 1 / init.covariances if kind in ("diag", "spherical") else init.covariances
    model = mixture.GaussianMixture(
        2, covariance_type=kind, reg_covar=0.01, weights_init=init.weights, means_init=init.means,
        precisions_init=np.asarray(inverse[0] if kind == "tied" else inverse), tol=1e-13,
        max_iter=3000,
    ).fit(X)  # fmt: skip
    fit = FITS[kind](X, np.ones(40), init, 1e-13, 0.01)
    params = fit.params
    assert code(fit) is Code.CONVERGED
    np.testing.assert_allclose(params.weights, model.weights_, rtol=1e-5)
    np.testing.assert_allclose(params.means, model.means_, rtol=0, atol=1e-5)
    got = params.covariances[0] if kind == "tied" else params.covariances
    np.testing.assert_allclose(got, model.covariances_, rtol=0, atol=1e-5)
    np.testing.assert_allclose(fit.info.objective, model.score(X), rtol=1e-11)
    np.testing.assert_allclose(gmm.log_likelihood(params, X), model.score_samples(X), atol=1e-5)
    np.testing.assert_allclose(gmm.responsibilities(params, X), model.predict_proba(X), atol=1e-5)
    np.testing.assert_array_equal(gmm.predict(params, X), model.predict(X))
    np.testing.assert_allclose(gmm.aic(params, X), model.aic(X), rtol=1e-9)
    np.testing.assert_allclose(gmm.bic(params, X), model.bic(X), rtol=1e-9)
    # One step, with weights, against NumPy.
    L, want = step(init, X, s, 0.3)
    np.testing.assert_allclose(gmm.score(init, X, sample_weight=s), L, rtol=1e-12)
    for a, b in zip(gmm.em_step(init, X, reg_covar=0.3, sample_weight=s), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_one_component_is_the_sample_mean_and_covariance(key):
    X, s = data()
    fit = gmm.fit(X, n_components=1, key=key, reg_covar=0.0, sample_weight=s)
    np.testing.assert_allclose(fit.params.means[0], np.average(X, axis=0, weights=s), rtol=1e-12)
    want = np.cov(X.T, aweights=s, ddof=0)
    np.testing.assert_allclose(fit.params.covariances[0], want, rtol=1e-10)
    assert code(fit) is Code.CONVERGED
    # On a line all types are one; three rows are enough.
    line = np.array([[0.0], [1.0], [4.0]])
    found = [gmm.fit(line, n_components=1, key=key, covariance_type=kind) for kind in TYPES]
    bics = [float(gmm.bic(fit.params, line)) for fit in found]
    np.testing.assert_allclose(bics, bics[0], rtol=1e-9)


def test_draws_have_the_moments_of_the_mixture(key):
    for kind in TYPES:
        params = start(kind)._replace(weights=jnp.array([0.3, 0.7]))
        scale = jnp.array([2.0, 0.5]) if kind != "tied" else jnp.array([2.0])
        S = params.covariances * scale.reshape(-1, *[1] * (params.covariances.ndim - 1))
        X, labels = gmm.sample(params._replace(covariances=S), key=key, n_samples=4000)
        assert X.shape == (4000, 2)
        assert abs(np.mean(labels == 0) - 0.3) < 5 * np.sqrt(0.21 / 4000)
        for j in range(2):
            rows = np.asarray(X)[np.asarray(labels) == j]
            v = float(scale[min(j, len(scale) - 1)])
            assert (np.abs(rows.mean(0) - 2.0 * j) < 5 * np.sqrt(v / len(rows))).all()
            assert (np.abs(rows.var(0) / v - 1) < 5 * np.sqrt(2 / len(rows))).all()


def test_correlated_draws(key):
    S = jnp.array([[[2.0, 1.2], [1.2, 1.0]]])
    X, _ = gmm.sample(Params(jnp.ones(1), jnp.zeros((1, 2)), S), key=key, n_samples=8000)
    np.testing.assert_allclose(np.cov(X.T), S[0], atol=0.15)


# Theorems ----------------------------------------------------------------------------------------


@given(
    st.sampled_from(["full", "diag"]), st.sampled_from(["float32", "float64"]),
    st.integers(0, 100), st.sampled_from([1e-3, 1e-6]), st.sampled_from([1.0, 100.0]),
)  # fmt: skip
def test_converged_means_a_small_gain_recomputed_in_numpy(kind, dtype, seed, tol, offset):
    X, s = data(dtype=dtype, seed=seed)
    s = np.where(np.random.default_rng(seed).uniform(size=40) < 0.2, 0, s).astype(dtype)
    init = start(kind, dtype=dtype)
    offset, limit, reg = (np.asarray(number, dtype) for number in (offset, tol, 1e-6))
    fit = FITS[kind](X + offset, s, init._replace(means=init.means + offset), limit, reg)
    assert all(np.isfinite(leaf).all() for leaf in fit.params)
    X = (X + offset).astype(float)
    L, new = step(fit.params, X, s, 1e-6)
    np.testing.assert_allclose(fit.info.objective, L, rtol=1e-9 if dtype == "float64" else 1e-4)
    if code(fit) is Code.CONVERGED:
        gain = abs(step(new, X, s, 0.0)[0] - L)
        assert gain <= 10 * tol + (1e-5 if dtype == "float32" else 0)


@given(st.sampled_from(TYPES), st.integers(0, 1000))
def test_the_log_likelihood_never_falls(kind, seed):
    X, s = data(seed=seed)
    init = start(kind)._replace(
        means=jnp.asarray(np.random.default_rng(seed).normal(size=(2, 2)) * 2 + 1)
    )
    L = np.asarray(gmm.trace(init, X, n_steps=12, reg_covar=0.0, sample_weight=s))
    assert L.shape == (13,)
    assert (np.diff(L) >= -1e-9 * np.abs(L[:-1])).all()


@given(st.integers(0, 1000))
def test_the_elbo_is_a_bound_and_tight_at_the_posterior(seed):
    X, s = data(seed=seed)
    params = start("full")
    q = np.random.default_rng(seed).dirichlet([0.5, 0.5], size=40)
    q[0] = [1.0, 0.0]
    L = float(gmm.score(params, X, sample_weight=s))
    assert float(gmm.elbo(params, X, q, sample_weight=s)) < L
    tight = gmm.elbo(params, X, gmm.responsibilities(params, X), sample_weight=s)
    np.testing.assert_allclose(tight, L, rtol=1e-12)


# Derivatives -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["full", "spherical"])
def test_derivatives_of_the_fixed_point_against_refits(kind):
    X, s = data(seed=5)
    init = FITS[kind](X, s, start(kind), 1e-13, 0.1).params
    theta = {"X": X, "s": s, "reg": np.float64(0.1)}

    def fit(theta):
        return FITS[kind](theta["X"], theta["s"], init, 1e-15, theta["reg"])

    def flat(theta):
        found = fit(theta)
        return jnp.append(ravel_pytree(found.params)[0], found.info.objective)

    rng = np.random.default_rng(0)
    push = jax.jit(lambda theta, d: jax.jvp(flat, (theta,), (d,))[1])
    u = rng.normal(size=flat(theta).shape)
    pulled = jax.jit(lambda theta: jax.vjp(flat, theta)[1](u)[0])(theta)
    h = 1e-3
    for name, value in theta.items():
        d = jax.tree.map(np.zeros_like, theta)
        d[name] = rng.choice([-1.0, 1.0], size=np.shape(value)) * (1.0 if name != "reg" else 10.0)
        ends = [
            np.asarray(flat(jax.tree.map(lambda a, b, c=c: a + c * h * b, theta, d)))
            for c in (-2, -1, 1, 2)
        ]
        want = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h)
        got = np.asarray(push(theta, d))
        assert np.linalg.norm(want) > 0.01
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-7 * np.linalg.norm(want))
        np.testing.assert_allclose(np.sum(pulled[name] * d[name]), u @ got, rtol=1e-9)
