"""Gaussian mixtures against scikit-learn, SciPy and NumPy; contract, theorems, limits."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree
from scipy import stats

from jaxml import Code, _loop
from jaxml.latent import gmm
from jaxml.latent.gmm import Params
from tests import tolerances

TYPES = ("full", "tied", "diag", "spherical")


def code(fit):
    """The code of a fit as a Code."""
    return Code(int(fit.info.code))


def data(n=40, d=2, *, dtype="float64", seed=0):
    """Rows about two places, and weights."""
    rng = np.random.default_rng([seed, n, d])
    X = rng.normal(size=(n, d)) @ (np.eye(d) + 0.5 * rng.uniform(size=(d, d)))
    X = X + 2.5 * (np.arange(n) % 2)[:, None]
    return X.astype(dtype), rng.uniform(0.5, 2.0, n).astype(dtype)


def start(kind, d=2, *, k=2, dtype="float64"):
    """Means 0 and 2, unit covariances."""
    eye = np.eye(d)
    shaped = {
        "full": np.stack([eye] * k), "tied": eye[None], "diag": np.ones((k, d)),
        "spherical": np.ones(k),
    }[kind]  # fmt: skip
    means = 2.0 * np.arange(k)[:, None] * np.ones(d)
    return Params(*(jnp.asarray(a, dtype) for a in (np.full(k, 1 / k), means, shaped)))


def matrices(params):
    """Every covariance as a matrix."""
    _, mu, S = (np.asarray(leaf, float) for leaf in params)
    k, d = mu.shape
    if S.ndim == 3:
        return np.broadcast_to(S, (k, d, d))
    return np.stack([np.diag(v * np.ones(d)) for v in S])


def step(params, X, s, reg):
    """L, and the next params as matrices, in NumPy and SciPy."""
    pi, mu, _ = (np.asarray(leaf, float) for leaf in params)
    X, s = np.asarray(X, float), np.asarray(s, float)
    densities = [stats.multivariate_normal.pdf(X, m, S, allow_singular=False)
                 for m, S in zip(mu, matrices(params), strict=True)]  # fmt: skip
    p = pi[:, None] * np.array(densities)
    r = s * p / p.sum(0)
    N = r.sum(1)
    new = (r @ X) / N[:, None]
    S = np.array([np.einsum("n,na,nb->ab", q, X - m, X - m) for q, m in zip(r, new, strict=True)])
    ndim, d = np.ndim(params.covariances), X.shape[1]
    if ndim == 3 and len(params.covariances) == 1:
        S = S.sum(0)[None] / N.sum()
    else:
        S = S / N[:, None, None]
        v = np.diagonal(S, axis1=1, axis2=2)
        S = S if ndim == 3 else v if ndim == 2 else v.mean(1)
    S = S + (reg * np.eye(d) if ndim == 3 else reg)
    return s @ np.log(p.sum(0)) / s.sum(), Params(N / N.sum(), new, S)


FITS = {
    kind: jax.jit(lambda X, s, init, tol, reg, kind=kind: gmm.fit(
        X, n_components=2, init=init, covariance_type=kind, sample_weight=s, tol=tol,
        reg_covar=reg, max_iter=3000)) for kind in TYPES
}  # fmt: skip


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


# Limits ------------------------------------------------------------------------------------------


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


# The contract ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonfinite_input(bad, key):
    X, s = data()
    params = start("full")
    X[5, 1] = bad
    for verb in (
        lambda X: gmm.fit(X, n_components=2, key=key),
        lambda X: gmm.log_likelihood(params, X),
        lambda X: gmm.responsibilities(params, X),
        lambda X: gmm.predict(params, X),
        lambda X: gmm.score(params, X),
    ):
        with pytest.raises(ValueError, match="X contains NaN or inf"):
            verb(X)
    fit = FITS["full"](X, s, params, 1e-3, 1e-6)
    assert code(fit) is Code.NONFINITE_INPUT
    assert not bool(fit.info.converged)
    assert all(np.isnan(leaf).all() for leaf in fit.params)
    X, _ = data()
    s[3] = bad
    assert code(FITS["full"](X, s, params, 1e-3, 1e-6)) is Code.NONFINITE_INPUT
    assert code(FITS["full"](X, np.zeros(40), params, 1e-3, 1e-6)) is Code.DEGENERATE


def test_bad_arguments(key):
    X, s = data()
    for call, error, match in (
        (lambda: gmm.fit(X, n_components=41, key=key), ValueError, "at most the 40 rows"),
        (lambda: gmm.fit(X, n_components=2), ValueError, "key is missing"),
        (lambda: gmm.fit(X, n_components=2, key="k"), TypeError, "random key"),
        (
            lambda: gmm.fit(X, n_components=2, key=key, covariance_type="round"),
            ValueError,
            "one of",
        ),
        (lambda: gmm.fit(X, n_components=2, key=key, reg_covar=-1.0), ValueError, "reg_covar"),
        (lambda: gmm.fit(X, n_components=2, init=start("diag")), ValueError, "must have shape"),
        (lambda: gmm.fit(X, n_components=2, init=start("full"), n_init=3), ValueError, "n_init"),
        (lambda: gmm.fit(X, n_components=2, init=3), TypeError, "init must be a Params"),
        (lambda: gmm.fit(X, n_components=2, key=key, sample_weight=-s), ValueError, ">= 0"),
        (lambda: gmm.fit(X, n_components=2, key=key, max_iter=-1), ValueError, "max_iter"),
        (lambda: gmm.fit(X[:0], n_components=2, key=key), ValueError, r"0 sample\(s\)"),
        (lambda: gmm.elbo(start("full"), X, np.ones((40, 3)) / 3), ValueError, "q needs"),
        (lambda: gmm.predict(start("full"), X[:, :1]), ValueError, r"2 feature\(s\)"),
    ):
        with pytest.raises(error, match=match):
            call()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_dtype_and_routes(dtype):
    X, _ = data(dtype=dtype)
    s = np.random.default_rng(1).integers(0, 4, 40).astype(dtype)
    init = start("full", dtype=dtype)
    one = gmm.fit(X, n_components=2, init=init, sample_weight=s, max_iter=20)
    two = gmm.fit(np.repeat(X, s.astype(int), axis=0), n_components=2, init=init, max_iter=20)
    spoiled = np.where((s == 0)[:, None], np.asarray(1e3, dtype), X)
    three = gmm.fit(spoiled, n_components=2, init=init, sample_weight=s, max_iter=20)
    again = gmm.fit(X, n_components=2, init=init, sample_weight=s, max_iter=20)
    for other in (two, three):
        for a, b in zip(one.params, other.params, strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerances.of(dtype).weights)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(again), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_batches_are_loops_and_one_bad_member_stays_alone():
    batch = [data(seed=seed) for seed in range(3)]
    X, s = (np.stack(part) for part in zip(*batch, strict=True))
    init = start("full")
    many = jax.jit(jax.vmap(lambda X, s: gmm.fit(X, n_components=2, init=init, sample_weight=s)))
    good = many(X, s)
    for i in range(3):
        one = FITS["full"](X[i], s[i], init, 1e-3, 1e-6)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(good), strict=True):
            np.testing.assert_allclose(a, b[i], rtol=1e-10, atol=1e-12)
    X[1, 4, 0] = np.nan
    mixed = many(X, s)
    assert [Code(int(c)) for c in mixed.info.code] == [0, Code.NONFINITE_INPUT, 0]
    for a, b in zip(jax.tree.leaves(mixed), jax.tree.leaves(good), strict=True):
        assert np.asarray(a)[[0, 2]].tobytes() == np.asarray(b)[[0, 2]].tobytes()


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


# Forms that only sizes or devices reach ----------------------------------------------------------


def test_no_array_of_rows_times_components_times_features():
    X = jnp.zeros((64, 5))
    fit = jax.jit(lambda X: gmm.fit(X, n_components=3, key=jax.random.key(0), n_init=2))
    text = fit.trace(X).lower(lowering_platforms=("cuda",)).as_text()
    assert "tensor<64x5xf64>" in text
    for axes in ("64x3x5", "64x5x3", "3x64x5", "5x64x3"):
        assert f"tensor<{axes}xf64>" not in text
    assert not re.search(r"stablehlo\.scatter[^}]*stablehlo\.add", text)  # no atomics


def test_blocks_of_many_rows():
    X, s = data(10_007, 6)
    init = start("full", 6)
    L, want = step(init, X, s, 1e-6)
    got = gmm.em_step(init, X, sample_weight=s)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)
    np.testing.assert_allclose(gmm.trace(init, X, n_steps=0, sample_weight=s)[0], L, rtol=1e-11)
