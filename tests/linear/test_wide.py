"""More columns than rows, columns that enter in groups, and the paths over them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, Lasso

from jaxml.linear import elastic_net, lasso, ridge
from tests.linear.family import wide


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("l2", [1e-6, 1e-3, 10.0])
def test_ridge_of_more_columns_than_rows(l2, fit_intercept):
    X, y = wide(30, 80)
    s = np.random.default_rng(2).integers(0, 3, 30).astype(float)
    how = {"sample_weight": s, "fit_intercept": fit_intercept, "tol": 1e-13}
    fit = ridge.fit(X, y, l2=l2, **how)
    p = s / s.sum()
    m, m_y = (p @ X, p @ y) if fit_intercept else (np.zeros(80), 0.0)
    A, q = np.sqrt(p)[:, None] * (X - m), np.sqrt(p) * (y - m_y)
    want = A.T @ np.linalg.solve(A @ A.T + l2 * np.eye(30), q)
    assert fit.info.converged
    # A residual of 1e-13 over the least curvature, l2.
    np.testing.assert_allclose(fit.params.coef, want, rtol=0, atol=2e-7 * np.abs(want).max())
    np.testing.assert_allclose(fit.params.intercept, m_y - m @ want, rtol=1e-6, atol=1e-9)

    def size(l2, y):
        return jnp.sum(ridge.fit(X, y, l2=l2, **how).params.coef ** 2)

    by_l2, by_y = jax.grad(size, (0, 1))(l2, y)
    # w = A'z, S z = q: dw/dl2 = -A'S^-1 z, dw/dq = A'S^-1.
    S_inv = np.linalg.inv(A @ A.T + l2 * np.eye(30))
    back = S_inv @ (A @ (2 * want))
    np.testing.assert_allclose(by_l2, -back @ (S_inv @ q), rtol=1e-5)
    moved = np.sqrt(p) * back
    moved = moved - p * moved.sum() if fit_intercept else moved
    np.testing.assert_allclose(by_y, moved, rtol=0, atol=1e-6 * np.abs(moved).max())


@pytest.mark.parametrize(("n", "d"), [(300, 200), (80, 300)])
@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("precompute", [False, True])
def test_columns_that_enter_in_groups(n, d, l2, precompute):
    X, y = wide(n, d)
    for l1 in (0.5, 0.03):
        fit = elastic_net.fit(X, y, l1=l1, l2=l2, precompute=precompute)
        peer = ElasticNet(alpha=l1 + l2, l1_ratio=l1 / (l1 + l2), tol=1e-14, max_iter=10**5)
        assert fit.info.converged
        np.testing.assert_allclose(fit.params.coef, peer.fit(X, y).coef_, rtol=0, atol=1e-9)
        again = elastic_net.fit(X, y, l1=l1, l2=l2, precompute=precompute, init=fit.params)
        assert int(again.info.n_iter) == 1
        np.testing.assert_allclose(again.params.coef, fit.params.coef, rtol=0, atol=1e-10)


def test_a_path_goes_on_after_a_fit_that_failed():
    X, y = wide(80, 60)
    l1 = np.geomspace(1.0, 0.02, 8)
    path, lost = lasso.path(X, y, l1=l1), lasso.path(X, y, l1=l1, tol=1e-30)
    assert (np.asarray(lost.info.code)[:-1] > 0).any()
    np.testing.assert_allclose(lost.params.coef, path.params.coef, rtol=0, atol=1e-8)


def test_a_path_of_very_many_columns():
    """Beyond 4096 the Gram matrix is not formed: the path goes by residuals."""
    X, y = wide(40, 4200)
    l1 = np.geomspace(1.0, 0.2, 3)
    path = lasso.path(X, y, l1=l1)
    assert np.asarray(path.info.converged).all()
    for penalty, coef in zip(l1, path.params.coef, strict=True):
        want = Lasso(alpha=penalty, tol=1e-14, max_iter=10**5).fit(X, y).coef_
        np.testing.assert_allclose(coef, want, rtol=0, atol=1e-8)


@pytest.mark.parametrize("precompute", [False, True])
def test_columns_that_are_nearly_the_same_end_with_a_solve(precompute):
    """Sweeps alone would take some 1 / (1 - correlation) rounds."""
    X, y = wide(400, 140)
    y = y + 5 * X[:, 1]
    X[:, 1] = X[:, 0] + 0.01 * X[:, 1]
    fit = elastic_net.fit(X, y, l1=0.005, l2=1e-6, precompute=precompute)
    w = np.asarray(fit.params.coef)
    r = (y - y.mean()) - (X - X.mean(0)) @ w
    u = (X - X.mean(0)).T @ r / len(y) - 1e-6 * w
    assert fit.info.converged
    assert (w[:2] != 0).all()
    np.testing.assert_allclose(u[w != 0], 0.005 * np.sign(w[w != 0]), rtol=1e-5)
    assert (np.abs(u[w == 0]) <= 0.005 * (1 + 1e-5)).all()


def test_a_loose_tolerance_of_a_wide_fit_still_certifies():
    X, y = wide(400, 700)
    A, q = X - X.mean(0), y - y.mean()
    for l1 in (0.3, 0.03):
        fit = lasso.fit(X, y, l1=l1, tol=1e-4)
        w = np.asarray(fit.params.coef)
        r = q - A @ w
        u = A.T @ r / len(y)
        kappa = min(1.0, l1 / np.abs(u).max())
        dual = kappa * (q @ r) / len(y) - 0.5 * kappa**2 * (r @ r) / len(y)
        gap = 0.5 * r @ r / len(y) + l1 * np.abs(w).sum() - dual
        assert fit.info.converged
        assert gap <= 1e-3 * 0.5 * q @ q / len(y)


def test_paths_of_wide_data_alone_in_lanes_and_differentiated():
    X, y = wide(90, 150)
    s = np.random.default_rng(1).integers(0, 3, (2, 90)).astype(float)
    l1 = np.geomspace(2.0, 0.02, 8)
    lanes = jax.jit(jax.vmap(lambda s: lasso.path(X, y, l1=l1, sample_weight=s)))(s)
    assert np.asarray(lanes.info.converged).all()
    for i, weight in enumerate(s):
        alone = lasso.path(X, y, l1=l1, sample_weight=weight)
        np.testing.assert_allclose(lanes.params.coef[i], alone.params.coef, rtol=0, atol=1e-9)
        for j in (2, 7):
            fit = lasso.fit(X, y, l1=l1[j], sample_weight=weight)
            np.testing.assert_allclose(alone.params.coef[j], fit.params.coef, rtol=0, atol=1e-9)

    def at(fit, y):
        return jnp.sum(fit(y).params.coef[-1] ** 2)

    of_path = jax.grad(lambda y: at(lambda y: lasso.path(X, y, l1=l1), y))(y)
    of_fit = jax.grad(lambda y: jnp.sum(lasso.fit(X, y, l1=l1[-1]).params.coef ** 2))(y)
    np.testing.assert_allclose(of_path, of_fit, rtol=0, atol=1e-8 * np.abs(of_fit).max())
