"""AUC and ROC at what breaks them: ties, one class, many pairs, NaN, small weights."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as theirs

from jaxml import metrics
from tests import processes


def brute(y, z, s):
    """All pairs in float64."""
    y, z = np.asarray(y), np.asarray(z, np.float64)
    s = np.ones(len(y)) if s is None else np.asarray(s, np.float64)
    wins = (z[:, None] > z[None]) + 0.5 * (z[:, None] == z[None])
    pos, neg = s * (y == 1), s * (y == 0)
    return pos @ wins @ neg / (pos.sum() * neg.sum())


TABLE = [
    ([0, 1], [1, 1], 0.5),
    ([1, 0], [1, 0], 1.0),
    ([0, 1], [1, 0], 0.0),
    ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.9], 0.75),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("y", "z", "area"), TABLE)
def test_the_table_whatever_the_scale(y, z, area, dtype):
    # Padded with rows of weight 0, so that all share one program.
    y, z = np.array(y + [0] * (4 - len(y))), np.array(z + [7.0] * (4 - len(z))).astype(dtype)
    s = np.array([1.0, 1.0, float(area == 0.75), float(area == 0.75)], dtype)
    for scores in (z, 100 * z, z * np.asarray(1e-6, dtype), z - np.asarray(10, dtype)):
        assert float(metrics.roc_auc(y, scores, sample_weight=s)) == area
        assert float(metrics.roc_auc(y, scores, sample_weight=s / 5)) == area
    if area == 0.75:
        assert float(metrics.roc_auc(y, z)) == area


@given(
    seed=st.integers(0, 2**31 - 1),
    dtype=st.sampled_from(["float32", "float64"]),
    kind=st.sampled_from(["ties", "normal", "signed zeros", "wide", "tiny", "neighbors"]),
    weighted=st.booleans(),
)
def test_brute_force(seed, dtype, kind, weighted):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.concatenate([[0, 1], rng.integers(0, 2, 38)]))
    z = rng.normal(size=40)
    top = np.finfo(dtype)
    if kind == "ties":
        z = np.round(2 * z)
    elif kind == "signed zeros":
        z = rng.choice([-0.0, 0.0, 1.0, -1.0], 40)
    elif kind == "wide":  # no key of 64 bits has room for a label beside all of these
        z = rng.choice([top.max, -top.max, top.tiny, -top.tiny, 0.0, 1.0], 40)
    elif kind == "tiny":
        z = rng.choice([top.tiny, 2 * top.tiny, -top.tiny], 40)
    elif kind == "neighbors":  # differ in the last place only
        z = rng.choice([1.0, 1.0 + top.eps, 1.0 - top.eps / 2], 40)
    z = z.astype(dtype)
    s = rng.choice([0.0, 0.2, 1.0, 3.0], 40).astype(dtype) if weighted else None
    if weighted:
        s[:2] = [1.0, 2.0]
        y[:2] = [0, 1]
    got = metrics.roc_auc(y, z, sample_weight=s)
    np.testing.assert_allclose(got, brute(y, z, s), rtol=10 * top.eps)
    curve = metrics.roc_curve(y, z, sample_weight=s)
    area = np.trapezoid(np.asarray(curve.tpr, float), np.asarray(curve.fpr, float))
    np.testing.assert_allclose(area, brute(y, z, s), rtol=20 * top.eps)
    exact = None if s is None else s.astype(float)
    # By ranks, since a sum over extreme scores makes scikit-learn warn.
    values, rank = np.unique(z, return_inverse=True)
    fpr, tpr, at = theirs.roc_curve(
        y, rank.astype(float), sample_weight=exact, drop_intermediate=False
    )
    thresholds = np.concatenate([[np.inf], values[at[1:].astype(int)]])
    kept = np.ones(40, bool) if s is None else s > 0
    m = len(np.unique(z[kept])) + 1
    there = np.concatenate([[True], np.isin(thresholds[1:], z[kept])])
    for ours, other in zip(curve, (fpr, tpr, thresholds), strict=True):
        np.testing.assert_allclose(ours[:m], other[there], rtol=10 * top.eps, atol=10 * top.eps)
        assert (np.asarray(ours[m:]) == np.asarray(ours[m - 1])).all()


def test_one_class():
    y, z = np.zeros(4, int), np.arange(4.0)
    for labels in (y, y + 1):
        assert np.isnan(metrics.roc_auc(labels, z))
        assert np.isnan(metrics.roc_auc(labels, z, sample_weight=np.ones(4)))
        curve = metrics.roc_curve(labels, z)
        told, silent = (curve.tpr, curve.fpr) if labels[0] else (curve.fpr, curve.tpr)
        assert np.isnan(silent).all()
        assert told.tolist() == [0, 0.25, 0.5, 0.75, 1]
    # The other class is there, with weight 0.
    y[0] = 1
    assert np.isnan(metrics.roc_auc(y, z, sample_weight=[0.0, 1, 1, 1]))
    Z = np.random.default_rng(0).random((4, 3))
    assert np.isnan(metrics.roc_auc([0, 1, 0, 1], Z))  # class 2 is missing
    assert np.isnan(metrics.roc_auc([0, 1, 0, 1], Z, average=None)).tolist() == [False, False, True]
    assert np.isfinite(metrics.roc_auc([0, 1, 0, 1], Z, average="weighted"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_more_pairs_than_int32_counts(dtype):
    n = 200_000
    rng = np.random.default_rng(0)
    y = (np.arange(n) % 2).astype(np.int32)  # 10^10 pairs
    z = (np.round(rng.normal(size=n), 2) + y).astype(dtype)
    rank = np.unique(z, return_inverse=True)[1]
    pos, neg = (np.bincount(rank[y == c], minlength=rank.max() + 1) for c in (1, 0))
    twice = int((pos * (2 * (np.cumsum(neg) - neg) + neg)).sum())
    exact = twice / (2 * int(pos.sum()) * int(neg.sum()))
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(metrics.roc_auc(y, z), exact, rtol=2 * eps)
    ones = np.ones(n, dtype)
    np.testing.assert_allclose(metrics.roc_auc(y, z, sample_weight=ones), exact, rtol=1e3 * eps)
    assert float(metrics.roc_auc(y, y.astype(dtype))) == 1.0
    assert float(metrics.roc_auc(y, -y.astype(dtype))) == 0.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_curve_under_small_weights(dtype):
    rng = np.random.default_rng(0)
    y, z = rng.integers(0, 2, 40), rng.normal(size=40).astype(dtype)
    s = np.full(40, 0.2, dtype)
    for fpr, tpr, thresholds in [metrics.roc_curve(y, z, sample_weight=s), metrics.roc_curve(y, z)]:
        assert float(thresholds[0]) == np.inf
        assert (np.diff(thresholds) <= 0).all()
        for rate in (fpr, tpr):
            assert rate.dtype == dtype
            assert (np.diff(rate) >= 0).all()
            assert float(rate[0]) == 0.0
            assert float(rate[-1]) == 1.0


def test_nonfinite_scores():
    y, z = np.array([0, 1, 0, 1]), np.array([0.1, np.nan, 0.3, 0.4])
    for bad in (np.nan, np.inf):
        z[1] = bad
        for verb in (metrics.roc_auc, metrics.roc_curve):
            with pytest.raises(ValueError, match="y_score contains NaN or inf"):
                verb(y, z)
            assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(jax.jit(verb)(y, z)))
    with pytest.raises(ValueError, match="average must be one of macro, weighted"):
        metrics.roc_auc(y, np.ones((4, 2)), average="micro")
    with pytest.raises(ValueError, match="2 classes or more"):
        metrics.roc_auc(y, np.ones((4, 1)))


WITHOUT_X64 = """
    import jax, numpy as np
    from jaxml import metrics
    rng = np.random.default_rng(0)
    y, z = rng.integers(0, 2, 100_000), rng.normal(size=100_000)
    y[:2] = [0, 1]
    area = jax.jit(metrics.roc_auc)(y, z + y)
    assert area.dtype == "float32"
    order = np.argsort(z.astype("float32") + y, kind="stable")
    assert abs(float(area) - 0.7602) < 0.01
    assert float(metrics.roc_auc(y, y)) == 1.0
    assert jax.vmap(metrics.roc_auc)(y[None], z[None]).shape == (1,)
    assert (np.asarray(jax.grad(metrics.roc_auc, argnums=1)(y, z.astype("float32"))) == 0).all()
    try:
        metrics.accuracy([2**40], [0])
    except ValueError as error:
        assert "beyond the range of int32" in str(error)
    else:
        raise AssertionError
    print("done")
"""


def test_without_x64():
    assert processes.run(WITHOUT_X64, JAX_PLATFORMS="cpu").strip() == "done"


def test_lowers_for_cuda():
    y, z, s = np.zeros(50, np.int32), np.zeros(50, "float32"), np.ones(50, "float32")
    for f in (metrics.roc_auc, metrics.roc_curve, metrics.brier_decomposition):
        jax.jit(lambda y, z, s, f=f: f(y, z, sample_weight=s)).trace(y, z, s).lower(
            lowering_platforms=("cuda",)
        )
