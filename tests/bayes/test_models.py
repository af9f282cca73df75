"""Naive Bayes against scikit-learn, NumPy and worked examples, in streams and with weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml import Code, datasets
from jaxml._numerics import default_tol
from jaxml.bayes import bernoulli, gaussian, multinomial
from tests import tolerances
from tests.bayes.family import FAMILY, K, agree, code, each, problem


@each
def test_against_sklearn(member):
    # With integer weights as rows, since there e of the Gaussian ignores weights.
    X, y, _ = problem(member, 60, 4)
    s = np.random.default_rng(0).integers(1, 4, 60)
    rows = np.repeat(np.arange(60), s)
    theirs = member.theirs(X[rows], y[rows])
    fit = member.fit(X, y, sample_weight=s)
    assert code(fit) is Code.CONVERGED
    np.testing.assert_allclose(
        member.verbs.predict_proba(fit.params, X), theirs.predict_proba(X), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_array_equal(member.verbs.predict(fit.params, X), theirs.predict(X))
    given = np.array([0.2, 0.3, 0.5])
    fit = member.fit(X, y, sample_weight=s, **{member.prior: given})
    theirs = member.theirs(X[rows], y[rows], **{member.prior: given})
    np.testing.assert_allclose(
        member.verbs.predict_proba(fit.params, X), theirs.predict_proba(X), rtol=1e-9, atol=1e-12
    )
    if member.label != "gaussian":
        fit = member.fit(X, y, fit_prior=False)
        np.testing.assert_allclose(
            member.verbs.predict_proba(fit.params, X),
            member.theirs(X, y, fit_prior=False).predict_proba(X),
            rtol=1e-9, atol=1e-12,
        )  # fmt: skip
    else:
        np.testing.assert_allclose(fit.params.mean, theirs.theta_, rtol=1e-12)
        np.testing.assert_allclose(fit.params.variance, theirs.var_, rtol=1e-10)


def test_binarize_is_kept_for_predict():
    member = FAMILY[2]
    X, y, _ = problem(member, 60, 4)
    fit = member.fit(X, y, binarize=1.5)
    theirs = member.theirs(X, y, binarize=1.5)
    np.testing.assert_allclose(bernoulli.predict_proba(fit.params, X), theirs.predict_proba(X))
    assert not np.allclose(fit.params.probability, member.fit(X, y).params.probability)
    streamed = bernoulli.from_statistics(
        bernoulli.statistics(X, y, n_classes=K, binarize=1.5), alpha=0.3, binarize=1.5
    )
    agree(streamed, fit, 1e-14)


def test_the_example_of_manning():
    X = np.array([[1, 1, 0, 0, 0, 0], [0, 1, 0, 0, 1, 0], [0, 1, 0, 1, 0, 0], [0, 1, 1, 0, 0, 1]])
    fit = bernoulli.fit(X, [0, 0, 0, 1], n_classes=2)
    np.testing.assert_allclose(fit.params.prior, [0.75, 0.25], rtol=1e-12)
    np.testing.assert_allclose(
        fit.params.probability,
        [[0.4, 0.8, 0.2, 0.4, 0.4, 0.2], [1 / 3, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 2 / 3]], rtol=1e-12,
    )  # fmt: skip
    odds = np.exp(bernoulli.log_joint(fit.params, X[3:]))[0]
    np.testing.assert_allclose(odds, [0.005183999999999999, 0.02194787379972565], rtol=1e-12)


@each
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_streams(member, dtype):
    X, y, s = problem(member, dtype=dtype)
    parts = [member.statistics(X[i : i + 8], y[i : i + 8], s[i : i + 8]) for i in (0, 8, 16)]
    a, b, c = parts
    merge = member.verbs.merge
    tol = tolerances.of(dtype).rounding * 10
    whole = member.statistics(X, y, s)
    for other in (merge(merge(a, b), c), merge(a, merge(b, c)), merge(c, merge(a, b))):
        agree(other, whole, tol)
    agree(merge(jax.tree.map(jnp.zeros_like, a), a), a, 0.0)
    agree(merge(a, jax.tree.map(jnp.zeros_like, a)), a, 0.0)
    fit, streamed = member.fit(X, y, sample_weight=s), member.from_statistics(merge(merge(a, b), c))
    agree(streamed.params, fit.params, 10 * tol)
    assert code(fit) is code(streamed) is Code.CONVERGED
    np.testing.assert_allclose(streamed.info.objective, fit.info.objective, rtol=10 * tol)
    stream = jax.jit(lambda X, y, s: jax.lax.scan(  # as one compiled loop over chunks
        lambda found, chunk: (merge(found, member.statistics(*chunk)), None),
        jax.tree.map(jnp.zeros_like, a), (X, y, s))[0])  # fmt: skip
    agree(stream(X.reshape(3, 8, 3), y.reshape(3, 8), s.reshape(3, 8)), whole, tol)


def test_digits():
    """Ten-fold accuracy in one call: folds are weights."""
    data = datasets.digits(dtype="float64")
    X, y = np.asarray(data.X), np.asarray(data.y)
    folds = np.random.default_rng(0).permutation(len(y)) % 10

    def accuracy(module, **hyper):
        def one(train):
            params = module.fit(X, y, n_classes=10, sample_weight=train, **hyper).params
            right = module.predict(params, X) == y
            return jnp.sum(jnp.where(train > 0, 0.0, right)) / jnp.sum(1 - train)

        masks = (folds[None, :] != np.arange(10)[:, None]).astype(float)
        return float(jax.jit(jax.vmap(one))(masks).mean())

    assert accuracy(multinomial) > 0.86
    assert accuracy(gaussian) > 0.77
    assert accuracy(gaussian, var_smoothing=0.1) > 0.89


def _residual(member, fit, X, y, s):
    """The certificate named in the docstrings, in float64 NumPy."""
    X, s = X.astype(float), s.astype(float)
    leaves = [np.asarray(leaf, float) for leaf in fit.params[:3]]
    worst = [0.0]
    for c in range(K):
        w = np.where(y == c, s, 0.0)
        if w.sum() == 0:
            continue
        worst.append(abs(s.sum() * leaves[0][c] / w.sum() - 1))
        p = w / w.sum()
        if member.label == "gaussian":
            m, v = leaves[1][c], leaves[2][c]
            q = s / s.sum()
            e = member.smoothing[1] * (q @ (X - q @ X) ** 2).max()
            worst += [(np.abs(p @ (X - m)) / np.sqrt(v)).max()]
            worst += [(np.abs(p @ (X - m) ** 2 + e - v) / v).max()]
        else:
            B = X if member.label == "multinomial" else (X > 0).astype(float)
            T, alpha = w @ B + member.smoothing[1], member.smoothing[1]
            total = T.sum() if member.label == "multinomial" else w.sum() + 2 * alpha
            worst += [np.abs(T / (leaves[1][c] * total) - 1).max()]
    return max(worst)


@each
def test_converged_means_stationary_in_numpy(member):
    @given(st.integers(0, 50), st.sampled_from(["float32", "float64"]), st.integers(-3, 3),
           st.sampled_from([0.0, 1.0, 100.0]))  # fmt: skip
    def holds(seed, dtype, power, offset):
        X, y, s = problem(member, seed=seed)
        X = (X * 10.0**power + (offset if member.label == "gaussian" else 0)).astype(dtype)
        s = s.astype(dtype)
        fit = member.fit(X, y, sample_weight=s)
        assert code(fit) in (Code.CONVERGED, Code.ILL_CONDITIONED)
        assert code(fit) is Code.CONVERGED or offset / 10.0**power > 100
        if code(fit) is Code.CONVERGED:
            assert float(fit.info.residual) <= default_tol(dtype)
            assert _residual(member, fit, X, y, s) <= 10 * default_tol(dtype)

    holds()


@each
def test_weights_rows_and_order(member):
    @given(st.integers(0, 100), st.sampled_from(["float32", "float64"]))
    def holds(seed, dtype):
        X, y, _ = problem(member, seed=seed, dtype=dtype)
        rng = np.random.default_rng(seed)
        s = rng.integers(0, 4, 24)
        s[: 2 * K] = 1
        rows = np.repeat(np.arange(24), s)
        index = np.concatenate([rows, np.zeros(72 - len(rows), int)])
        mask = (np.arange(72) < len(rows)).astype(dtype)
        order = rng.permutation(72)
        one = member.fit(np.tile(X, (3, 1)), np.tile(y, 3), sample_weight=np.tile(s / 3, 3))
        X_bad = X[index].copy()
        X_bad[mask == 0] = 1e3  # rows of weight 0 are removed whatever they hold
        two = member.fit(X_bad, y[index], sample_weight=mask)
        three = member.fit(X[index][order], y[index][order], sample_weight=mask[order])
        columns = rng.permutation(3)
        four = member.fit(
            np.tile(X[:, columns], (3, 1)), np.tile(y, 3), sample_weight=np.tile(5.0 * s, 3)
        )
        tol = tolerances.of(dtype).weights
        agree(two.params, one.params, tol)
        agree(three.params, one.params, tol)
        if member.label == "gaussian":  # elsewhere alpha is measured in rows
            back = [leaf if leaf.ndim < 2 else leaf[:, np.argsort(columns)] for leaf in four.params]
            agree(back, list(one.params), tol)

    holds()
