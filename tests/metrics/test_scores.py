"""Losses of probabilities, R^2 and the soft metrics at their edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml import metrics
from jaxml.metrics import surrogates

DTYPES = ("float32", "float64")


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_loss_at_0_and_1(dtype):
    eps = float(np.finfo(dtype).eps)
    p = np.array([0.0, 1.0], dtype)
    np.testing.assert_allclose(metrics.log_loss([0, 1], p), eps, rtol=0.51)  # as good as it gets
    np.testing.assert_allclose(metrics.log_loss([1, 0], p), -np.log(eps), rtol=1e-6)
    one_hot = np.array([[1.0, 0.0], [0.0, 1.0]], dtype)
    np.testing.assert_allclose(metrics.log_loss([1, 0], one_hot), -np.log(eps), rtol=1e-6)
    for y in ([0, 1], [1, 0]):
        assert np.isfinite(jax.grad(lambda p, y=y: metrics.log_loss(np.array(y), p))(p)).all()
    small = np.array([1e-6, 1e-6], dtype)
    np.testing.assert_allclose(metrics.log_loss([0, 0], small), -np.log1p(-1e-6), rtol=1e-6)


def test_probabilities_of_classes_sum_to_one():
    P = np.array([[0.5, 0.5], [0.7, 0.4]])
    for metric in (metrics.log_loss, metrics.brier_score, metrics.expected_calibration_error):
        with pytest.raises(ValueError, match="rows of p must sum to 1"):
            metric([0, 1], P)
        assert np.isnan(jax.jit(metric)(np.array([0, 1]), P))
        assert np.isfinite(metric([0, 1], P, sample_weight=[1.0, 0.0]))
        with pytest.raises(ValueError, match="2 classes"):
            metric([0, 0], np.ones((2, 1)))


def test_calibration_bins():
    assert float(metrics.expected_calibration_error([0, 1], [0.0, 1.0])) == 0.0
    # [0, 1/2), [1/2, 1]: 1/2 and 1 share a bin, and on average they are right
    assert float(metrics.expected_calibration_error([1, 0, 1], [0.5, 0.5, 1.0], n_bins=2)) < 1e-12
    p, y = np.full(9, 0.25), np.arange(9) % 3 == 0
    np.testing.assert_allclose(metrics.expected_calibration_error(y, p), 1 / 3 - 0.25)
    with pytest.raises(ValueError, match="n_bins must be >= 1"):
        metrics.expected_calibration_error(y, p, n_bins=0)
    parts = metrics.brier_decomposition(y, p, n_bins=1)
    np.testing.assert_allclose(parts, [(1 / 3 - 0.25) ** 2, 0, 2 / 9, 0], atol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_r2_where_nothing_varies_or_all_is_far(dtype):
    constant = np.full(6, 1e6 + 0.1, dtype)
    assert np.isnan(metrics.r2(constant, constant))
    assert np.isnan(metrics.r2(constant, constant + 1))
    assert np.isnan(metrics.r2([1.0], [1.0]))
    rng = np.random.default_rng(0)
    y, z = rng.normal(size=(2, 50))
    want = 1 - ((y - z) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    for scale in (1e-30, 1.0, 1e30):
        got = metrics.r2((scale * y).astype(dtype), (scale * z).astype(dtype))
        np.testing.assert_allclose(got, want, rtol=1e-5)
    far, near = (1e6 + y).astype("float32"), (1e6 + z).astype("float32")
    a, b = far.astype(float), near.astype(float)
    want = 1 - ((a - b) ** 2).sum() / ((a - a.mean()) ** 2).sum()
    np.testing.assert_allclose(metrics.r2(far, near), want, rtol=1e-5)


def test_adjusted_r2_needs_rows():
    y, z = np.arange(4.0), np.array([0.0, 1.0, 2.0, 2.0])
    assert np.isnan(metrics.adjusted_r2(y, z, n_features=3))
    assert np.isfinite(metrics.adjusted_r2(y, z, n_features=2))
    with pytest.raises(ValueError, match="n_features must be >= 0"):
        metrics.adjusted_r2(y, z, n_features=-1)
    path = jax.vmap(lambda d: metrics.adjusted_r2(y, z, n_features=d))(jnp.arange(3.0))
    assert (np.diff(path) < 0).all()
    np.testing.assert_allclose(path[0], metrics.r2(y, z), rtol=1e-12)


@given(st.integers(0, 2**31 - 1), st.sampled_from(DTYPES))
def test_soft_metrics_become_the_metrics(seed, dtype):
    rng = np.random.default_rng(seed)
    y = np.concatenate([[0, 1], rng.integers(0, 2, 18)])
    z = (rng.integers(0, 5, 20) + 0.5).astype(dtype)
    s = rng.integers(0, 3, 20).astype(dtype)
    s[:2] = 1
    for t in (1e-2, 1e-30):
        soft = metrics.soft_auc(y, z, temperature=t, sample_weight=s)
        np.testing.assert_allclose(soft, metrics.roc_auc(y, z, sample_weight=s), rtol=1e-5)
        soft = metrics.soft_f1(y, z, temperature=t, threshold=2.0, sample_weight=s)
        want = metrics.f1(y, (z > 2).astype(int), sample_weight=s)
        np.testing.assert_allclose(soft, want, rtol=1e-5)
    assert soft.dtype == dtype


def test_soft_metrics_at_their_edges(monkeypatch):
    y, z = np.array([0, 1, 0, 1]), np.array([0.0, 1.0, 1.0, 3.0])
    for t in (1e-40, 1.0, 1e40):
        for soft in (metrics.soft_auc, metrics.soft_f1):
            g = jax.grad(lambda z, t, f=soft: f(y, z, temperature=t), argnums=(0, 1))(z, t)
            assert all(np.isfinite(leaf).all() for leaf in g)
    assert np.isnan(metrics.soft_auc(0 * y, z, temperature=1.0))
    assert (jax.grad(lambda z: metrics.soft_auc(0 * y, z, temperature=1.0))(z) == 0).all()
    assert float(metrics.soft_f1(0 * y, z, temperature=1.0)) == 0.0
    for soft in (metrics.soft_auc, metrics.soft_f1):
        with pytest.raises(ValueError, match="temperature must be > 0"):
            soft(y, z, temperature=0.0)
        with pytest.raises(ValueError, match="y_score contains NaN"):
            soft(y, z * np.nan, temperature=1.0)
        assert np.isnan(jax.jit(lambda t, f=soft: f(y, z, temperature=t))(-1.0))
        assert np.isfinite(soft(y, z, temperature=1.0, sample_weight=[1.0, 1, 1, 0]))
    # In blocks of 3 rows of 7, the last of them not full.
    rng = np.random.default_rng(0)
    y, z, s = np.arange(7) % 2, rng.normal(size=7), rng.random(7)

    def both(z):
        return jax.value_and_grad(lambda z: surrogates._soft_auc(y, z, s, jnp.float64(0.5)))(z)

    want = both(z)
    monkeypatch.setattr(surrogates, "PAIRS", 21)
    jax.clear_caches()
    for a, b in zip(both(z), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    jax.clear_caches()
