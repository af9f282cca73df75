"""Naive Bayes at its edges: log 0, constant features, missing classes, offsets, scales."""

import jax
import numpy as np
import pytest
from sklearn import naive_bayes

from jaxml import Code
from jaxml.bayes import bernoulli, gaussian, multinomial
from tests.bayes.family import FAMILY, K, code, each, host, problem


def test_zero_log_zero_is_zero():
    X, y = np.array([[1, 0], [1, 1]]), [0, 1]
    fit = multinomial.fit(X, y, n_classes=2, alpha=0.0)
    assert code(fit) is Code.CONVERGED
    proba = multinomial.predict_proba(fit.params, X)
    np.testing.assert_allclose(proba, [[2 / 3, 1 / 3], [0, 1]], atol=1e-8)
    # What no class can have produced gets the prior, on every route.
    for module in (multinomial, bernoulli):
        fit = module.fit(np.eye(2), y, n_classes=2, alpha=0.0)
        assert np.isneginf(module.log_joint(fit.params, np.ones((1, 2)))).all()
        np.testing.assert_array_equal(
            module.predict_proba(fit.params, np.ones((1, 2))), [[0.5, 0.5]]
        )
        g = jax.grad(lambda a, m=module: m.fit(np.eye(2), y, n_classes=2, alpha=a).params[1].sum())
        assert np.isfinite(g(0.0))


def test_a_small_complement_keeps_its_digits():
    X, y = np.ones((10, 1)), np.zeros(10, int)
    params = bernoulli.fit(X, y, n_classes=1, alpha=1e-14).params
    np.testing.assert_allclose(params.complement, [[1e-14 / (10 + 2e-14)]], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_constant_features_leave_the_prior(dtype, value):
    X, y = np.full((9, 2), value, dtype), np.array([0, 0, 0, 0, 0, 0, 1, 1, 1])
    fit = gaussian.fit(X, y, n_classes=2)
    assert code(fit) is Code.DEGENERATE
    assert all(np.isfinite(leaf).all() for leaf in host(fit))
    for x in (X, X + 3):
        np.testing.assert_allclose(
            gaussian.predict_proba(fit.params, x), np.tile([2 / 3, 1 / 3], (9, 1)), rtol=1e-6
        )


def test_a_constant_feature_beside_others():
    X, y, _ = problem(FAMILY[0])
    wide = np.concatenate([X, np.full((24, 1), 0.3)], axis=1)
    smooth, plain = (
        gaussian.fit(wide, y, n_classes=K),
        gaussian.fit(wide, y, n_classes=K, var_smoothing=0.0),
    )
    assert code(smooth) is Code.CONVERGED
    assert code(plain) is Code.DEGENERATE
    want = gaussian.predict_proba(gaussian.fit(X, y, n_classes=K).params, X)
    for fit in (smooth, plain):
        np.testing.assert_allclose(
            gaussian.predict_proba(fit.params, wide), want, rtol=1e-6, atol=1e-8
        )
    # Constant in one class only: its density is a spike, but stays finite.
    X[y == 1, 0] = 2.0
    fit = gaussian.fit(X, y, n_classes=K, var_smoothing=0.0)
    assert code(fit) is Code.DEGENERATE
    assert np.isfinite(gaussian.predict_proba(fit.params, X)).all()


@each
def test_missing_classes_and_a_single_class(member):
    X, y, s = problem(member)
    y = np.where(y == 1, 0, y)
    fit = member.fit(X, y, sample_weight=s)
    assert code(fit) is Code.CONVERGED
    assert float(fit.params.prior[1]) == 0.0
    assert all(np.isfinite(leaf).all() for leaf in host(fit))
    proba = np.asarray(member.verbs.predict_proba(fit.params, X))
    assert (proba[:, 1] == 0).all()
    assert not (np.asarray(member.verbs.predict(fit.params, X)) == 1).any()
    g = jax.jit(jax.grad(lambda X: member.fit(X, y, sample_weight=s).info.objective))(X)
    assert np.isfinite(g).all()
    one = member.fit(X, np.full(24, 2))
    assert code(one) is Code.CONVERGED
    assert (np.asarray(member.verbs.predict(one.params, X)) == 2).all()
    np.testing.assert_array_equal(member.verbs.predict_proba(one.params, X)[:, 2], np.ones(24))


def test_merging_far_from_zero():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 4000)
    X = (rng.normal(size=(4000, 2)) + 2.0 * y[:, None] + 1e6).astype("float32")
    exact = X.astype("float64")
    want = np.stack([exact[y == c].var(axis=0) for c in (0, 1)])
    parts = [
        gaussian.statistics(X[i : i + 1000], y[i : i + 1000], n_classes=2)
        for i in range(0, 4000, 1000)
    ]
    merged = parts[0]
    for part in parts[1:]:
        merged = gaussian.merge(merged, part)
    # A mean of a part is off by up to u/2 = 0.03, so a merge by (2 u/2)^2 = 4e-3; there are three.
    for found, tol in ((gaussian.statistics(X, y, n_classes=2), 1e-5), (merged, 1.2e-2)):
        got = np.asarray(found.scatter) / np.asarray(found.mass)[:, None]
        np.testing.assert_allclose(got, want, rtol=tol)
    fit = gaussian.fit(X, y, n_classes=2)
    np.testing.assert_allclose(fit.params.variance, want, rtol=1e-5)
    # The means cannot be stored: half a unit in the last place is 0.03 here.
    assert code(fit) is Code.ILL_CONDITIONED
    theirs = naive_bayes.GaussianNB().fit(exact, y).predict(exact)
    assert (np.asarray(gaussian.predict(fit.params, X)) == theirs).mean() > 0.97


@pytest.mark.parametrize("factor", [1e-10, 1e10])
def test_scale(factor):
    X, y, _ = problem(FAMILY[0])
    want = gaussian.predict(gaussian.fit(X, y, n_classes=K).params, X)
    fit = gaussian.fit(X * factor, y, n_classes=K)
    assert code(fit) is Code.CONVERGED
    np.testing.assert_array_equal(gaussian.predict(fit.params, X * factor), want)
