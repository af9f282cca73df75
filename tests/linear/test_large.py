"""What only sizes reach: rows in blocks, first fits to part of the rows, forms for a device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Lasso, LogisticRegression

from jaxml.linear import lasso, logistic, softmax
from jaxml.linear._orders import TABLE
from jaxml.linear._problem import PART
from tests.linear.family import FAMILY, each, problem, wide

MEMBER = {m.label: m for m in FAMILY}


def _peer(X, y, l2, s):
    C = 1 / (s.sum() * l2)
    model = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=200)
    return model.fit(X, y, sample_weight=s)


@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_logistic_over_several_blocks(solver):
    X, y, s = problem(MEMBER["logistic"], n=20011, d=9)
    assert X.size * X.shape[1] > TABLE
    fit = logistic.fit(X, y, l2=0.01, sample_weight=s, solver=solver)
    peer = _peer(X, y, 0.01, s)
    assert fit.info.converged
    np.testing.assert_allclose(fit.params.coef, peer.coef_[0], rtol=0, atol=1e-8)
    np.testing.assert_allclose(fit.params.intercept, peer.intercept_[0], rtol=0, atol=1e-8)


def test_logistic_l1_over_several_blocks():
    X, y, s = problem(MEMBER["logistic"], n=20011, d=9)
    fit = logistic.fit(X, y, l1=0.02, l2=0.01, sample_weight=s)
    assert fit.info.converged
    w, p = np.asarray(fit.params.coef), s / s.sum()
    r = p * (1 / (1 + np.exp(-(X @ w + float(fit.params.intercept)))) - y)
    g = r @ X + 0.01 * w
    assert abs(r.sum()) < 1e-9
    assert (np.abs(g[w == 0]) <= 0.02 * (1 + 1e-9)).all()
    np.testing.assert_allclose(g[w != 0], -0.02 * np.sign(w[w != 0]), rtol=1e-7)


JITTED = jax.jit(lambda X, y, s: logistic.fit(X, y, l2=1e-3, sample_weight=s))


@pytest.mark.parametrize("case", ["mixed", "sorted", "part without weight"])
def test_a_first_fit_to_part_of_the_rows(case):
    """Whatever that part is like, the answer is that of a start at zero."""
    n = PART * 2**17 // 4
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, 3)) + 1.0
    y = (rng.random(n) < 1 / (1 + np.exp(1.0 - X @ [1.0, -2.0, 0.5]))).astype(int)
    s = np.ones(n)
    if case == "sorted":
        order = np.lexsort((X[:, 0], y))
        X, y = X[order], y[order]
    if case == "part without weight":
        s[: n // 2] = 0.0
    zero = logistic.Params(jnp.zeros(3), jnp.zeros(()))
    fit = JITTED(X, y, s)
    plain = logistic.fit(X, y, l2=1e-3, sample_weight=s, init=zero)
    assert fit.info.converged
    assert plain.info.converged
    assert int(fit.info.n_iter) <= int(plain.info.n_iter)
    for got, want in zip(fit.params, plain.params, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-8)
    if case == "sorted":
        zeros = softmax.Params(jnp.zeros((3, 2)), jnp.zeros(2))
        many = softmax.fit(X, y, n_classes=2, l2=2e-3)
        few = softmax.fit(X, y, n_classes=2, l2=2e-3, init=zeros)
        assert many.info.converged
        np.testing.assert_allclose(many.params.coef, few.params.coef, rtol=0, atol=1e-8)
        np.testing.assert_allclose(
            many.params.coef[:, 1] - many.params.coef[:, 0], fit.params.coef, rtol=0, atol=1e-7
        )


@pytest.fixture
def accelerator(monkeypatch):
    """Take the forms that an accelerator takes, whatever the device; forget them afterwards."""
    jax.clear_caches()

    def other(*args, cpu, default):
        del cpu
        return default(*args)

    monkeypatch.setattr(jax.lax, "platform_dependent", other)
    yield
    jax.clear_caches()


@pytest.mark.usefixtures("accelerator")
def test_forms_for_an_accelerator_give_the_same_answers():
    X, y = wide(90, 150)
    s = np.random.default_rng(1).integers(0, 3, (2, 90)).astype(float)
    l1 = np.geomspace(2.0, 0.02, 4)
    lanes = jax.jit(jax.vmap(lambda s: lasso.path(X, y, l1=l1, sample_weight=s)))(s)
    fits = jax.jit(jax.vmap(lambda s: lasso.fit(X, y, l1=0.1, sample_weight=s)))(s)
    assert np.asarray(lanes.info.converged).all()
    assert np.asarray(fits.info.converged).all()
    for i, weight in enumerate(s):
        for penalty, got in ((l1[-1], lanes.params.coef[i, -1]), (0.1, fits.params.coef[i])):
            model = Lasso(alpha=penalty, tol=1e-14, max_iter=10**5)
            want = model.fit(X, y, sample_weight=weight).coef_
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)
    X, y, s = problem(MEMBER["logistic"], n=PART * 2**17 // 4, d=3)
    fit = logistic.fit(X, y, l2=0.01, sample_weight=s)
    assert fit.info.converged
    np.testing.assert_allclose(fit.params.coef, _peer(X, y, 0.01, s).coef_[0], rtol=0, atol=1e-8)


@each(FAMILY)
def test_every_fit_lowers_for_cuda(member):
    """Without such a device only this far: cuSOLVER is asked what LAPACK is asked here."""
    X, y, s = problem(member, n=96, d=4)
    fit = jax.jit(lambda X, y, s: member.fit(X, y, sample_weight=s))
    text = fit.trace(X, y, s).lower(lowering_platforms=("cuda",)).as_text()
    assert "lapack" not in text
    assert "cusolver" in text


def test_a_grid_of_penalties_over_folds_equals_single_fits():
    X, y, s = problem(MEMBER["logistic"], n=60, d=4)
    folds = np.stack([s * (np.arange(60) % 3 != f) for f in range(3)])
    l2 = np.geomspace(1.0, 1e-4, 5)
    fits = jax.jit(
        jax.vmap(lambda s: jax.vmap(lambda l2: logistic.fit(X, y, l2=l2, sample_weight=s))(l2))
    )(folds)
    assert np.asarray(fits.info.converged).all()
    for f, weight in enumerate(folds):
        for i, penalty in enumerate(l2):
            one = logistic.fit(X, y, l2=penalty, sample_weight=weight)
            np.testing.assert_allclose(
                fits.params.coef[f, i], one.params.coef, rtol=1e-8, atol=1e-9
            )
