"""Gaussian mixtures at their limits: collapse, restarts, equal and far rows, float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code, _loop
from jaxml.latent import gmm
from tests.latent.gmm_problems import code, data, start, step


def test_equal_rows(key):
    X = np.full((4, 2), 1.1, "float32")
    for kind in ("full", "spherical"):
        bad = gmm.fit(X, n_components=4, key=key, covariance_type=kind, reg_covar=0.0)
        assert code(bad) is Code.SINGULAR_COVARIANCE
        assert np.isfinite(bad.params.means).all()
        with pytest.raises(_loop.FitError, match="raise reg_covar"):
            _loop.check(bad)
    good = gmm.fit(X, n_components=4, key=key)
    assert code(good) is Code.CONVERGED
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(good))
    assert float(good.info.objective) > 0  # a density may exceed 1


def test_collapse_returns_the_last_good_step():
    """A component that shrinks onto one row."""
    X = np.concatenate([data()[0], [[30.0, 30.0]]])
    init = start("full")._replace(means=jnp.array([[1.0, 1.0], [30.0, 30.0]]))
    fit = gmm.fit(X, n_components=2, init=init, reg_covar=0.0, tol=1e-10)
    assert code(fit) is Code.SINGULAR_COVARIANCE
    assert all(np.isfinite(leaf).all() for leaf in fit.params)
    assert (np.linalg.eigvalsh(np.asarray(fit.params.covariances)) > 0).all()
    np.testing.assert_allclose(gmm.score(fit.params, X), fit.info.objective, rtol=1e-9)
    assert code(gmm.fit(X, n_components=2, init=init, tol=1e-10)) is Code.CONVERGED


def test_restarts_keep_the_best_that_is_finite():
    """Some starts give the lone rows a component of their own and collapse."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(30, 1)), rng.normal(size=(30, 1)) + 6])
    X = np.concatenate([X, [[40.0]]])
    one = jax.jit(lambda key: gmm.fit(X, n_components=3, key=key, reg_covar=0.0))
    keys = jax.random.split(jax.random.key(3), 8)
    alone = [one(key) for key in keys]
    singular = [code(fit) is Code.SINGULAR_COVARIANCE for fit in alone]
    many = gmm.fit(X, n_components=3, key=jax.random.key(3), n_init=8, reg_covar=0.0)
    assert any(singular)
    if not all(singular):
        assert code(many) < Code.SINGULAR_COVARIANCE
        usable = [
            float(f.info.objective) for f, bad in zip(alone, singular, strict=True) if not bad
        ]
        np.testing.assert_allclose(many.info.objective, max(usable), rtol=1e-9)


def test_max_iter_zero_returns_the_start():
    X, s = data()
    init = start("full")
    fit = gmm.fit(X, n_components=2, init=init, sample_weight=s, max_iter=0)
    for a, b in zip(fit.params, init, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-15)
    L, new = step(init, X, s, 1e-6)
    np.testing.assert_allclose(fit.info.objective, L, rtol=1e-12)
    np.testing.assert_allclose(fit.info.residual, step(new, X, s, 0.0)[0] - L, rtol=1e-8)
    assert code(fit) is Code.MAX_ITER
    once = gmm.fit(X, n_components=2, init=init, sample_weight=s, max_iter=1)
    assert int(once.info.n_iter) == 1
    for a, b in zip(once.params, new, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_symmetric_start_stays_symmetric_and_far_rows_are_finite():
    X, _ = data()
    same = start("full")._replace(means=jnp.ones((2, 2)))
    fit = gmm.fit(X, n_components=2, init=same)
    np.testing.assert_allclose(fit.params.means[0], fit.params.means[1], rtol=1e-12)
    np.testing.assert_allclose(fit.params.means[0], X.mean(0), rtol=1e-9)
    params = start("full")._replace(weights=jnp.array([0.0, 1.0]))
    far = np.concatenate([X, [[1e3, 1e3], [-1e3, 0]]])
    r = gmm.responsibilities(params, far)
    np.testing.assert_allclose(r, np.tile([0.0, 1.0], (42, 1)), atol=1e-12)
    r = gmm.responsibilities(start("full"), far)
    np.testing.assert_allclose(r.sum(1), 1.0, rtol=1e-12)
    slope = jax.grad(lambda p: gmm.score(p, far))(params)
    assert all(np.isfinite(leaf).all() for leaf in slope)
    kept = gmm.em_step(params, X)
    np.testing.assert_allclose(kept.covariances[0], params.covariances[0])
    np.testing.assert_allclose(kept.means[0], params.means[0])


def test_float32_at_an_offset():
    X, s = data(400, dtype="float32")
    far = (X + np.float32(1e4)).astype("float32")
    near = far.astype("float64") - 1e4
    init = start("full", dtype="float32")
    moved = init._replace(means=init.means + 1e4)
    got = gmm.fit(far, n_components=2, init=moved, sample_weight=s, tol=1e-5)
    want = gmm.fit(near, n_components=2, init=start("full"), sample_weight=s, tol=1e-5)
    assert code(got) is Code.CONVERGED
    np.testing.assert_allclose(got.info.objective, want.info.objective, rtol=1e-5)
    np.testing.assert_allclose(got.params.covariances, want.params.covariances, rtol=0, atol=2e-3)
    at_far = gmm.score(got.params, far, sample_weight=s)
    np.testing.assert_allclose(at_far, got.info.objective, rtol=1e-5)
