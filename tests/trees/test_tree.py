"""The decision tree against brute force and scikit-learn, and the contract of a model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml import Code, datasets
from jaxml.trees import impurity, tree
from tests import processes, tolerances
from tests.trees.oracle import K, best_gain, greedy, problem
from tests.trees.oracle import impurity as impurity_of

CRITERIA = ("gini", "entropy", "variance")
DEPTH = 3


def classes(criterion):
    return None if criterion == "variance" else K


def fit(X, y, s=None, *, criterion="gini", depth=DEPTH, **other):
    return tree.fit(
        X, y, criterion=criterion, max_depth=depth, n_classes=classes(criterion), sample_weight=s,
        **other,
    )  # fmt: skip


def jitted(criterion):
    return jax.jit(lambda X, y, s: fit(X, y, s, criterion=criterion))


GINI = jitted("gini")


def same(a, b):
    return all(
        np.asarray(p).tobytes() == np.asarray(q).tobytes()
        for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("grid", [True, False])
def test_splits_are_those_of_brute_force(criterion, grid):
    for seed in range(8):
        X, y, s = problem(criterion, seed=seed, grid=grid)
        params, info = fit(X, y, s, criterion=criterion)
        gain, _ = best_gain(X, y, s, criterion)
        split = X[:, int(params.feature[0])] <= float(params.threshold[0])
        sides = [s[a].sum() * impurity_of(y[a], s[a], criterion) for a in (split, ~split)]
        found = s.sum() * impurity_of(y, s, criterion) - sum(sides)
        np.testing.assert_allclose(found, gain, rtol=1e-12)
        assert code(info) is Code.CONVERGED
        left = info.objective * s.sum()
        if not grid:  # of equal gains below the root the oracle may take another
            np.testing.assert_allclose(left, greedy(X, y, s, criterion, DEPTH), atol=1e-12)
        np.testing.assert_allclose(
            impurity_of(y, s, criterion) - info.objective, params.decrease.sum(), atol=1e-12
        )


def code(info):
    return Code(int(info.code))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_against_scikit_learn(criterion):
    trees = pytest.importorskip("sklearn.tree")
    data = datasets.diabetes() if criterion == "variance" else datasets.wine()
    X, y = np.asarray(data.X, np.float64), np.asarray(data.y)
    s = np.random.default_rng(0).uniform(0.5, 2, len(y))
    kind = trees.DecisionTreeRegressor if criterion == "variance" else trees.DecisionTreeClassifier
    name = "squared_error" if criterion == "variance" else criterion
    peer = kind(criterion=name, max_depth=DEPTH, random_state=0).fit(X, y, s)
    params, info = fit(X, y, s, criterion=criterion)
    if criterion == "variance":
        value = ((peer.predict(X) - y) ** 2 * s).sum() / s.sum()
        np.testing.assert_allclose(info.objective, value, rtol=1e-9)
    else:
        p, leaf = peer.predict_proba(X), peer.apply(X)
        of = impurity.gini if criterion == "gini" else impurity.entropy
        parts = [s[leaf == v].sum() * float(of(p[leaf == v][0])) for v in np.unique(leaf)]
        np.testing.assert_allclose(info.objective, sum(parts) / s.sum(), atol=1e-12)
        np.testing.assert_allclose(tree.predict_proba(params, X), p, atol=1e-12)
    if criterion == "variance":  # of equal gains of classes the peer takes any
        np.testing.assert_allclose(
            tree.feature_importances(params), peer.feature_importances_, atol=1e-9
        )
    assert int(info.n_iter) == peer.get_depth()


def test_nothing_to_split():
    rng = np.random.default_rng(0)
    y = rng.integers(0, K, 12)
    constant = np.full((12, 3), 7.0)
    nearly = 1e3 + 1e-5 * rng.random((12, 3))  # range 1e-8 of the scale
    for X, labels in ((constant, y), (nearly, y), (rng.normal(size=(12, 3)), np.full(12, 2))):
        params, info = fit(X, labels)
        assert (np.asarray(params.feature) == -1).all()
        assert code(info) is Code.CONVERGED
        want = np.bincount(labels, minlength=K) / 12
        np.testing.assert_array_equal(tree.predict_proba(params, X), np.tile(want, (12, 1)))
        assert (np.asarray(tree.predict(params, X)) == np.argmax(want)).all()
        assert float(tree.feature_importances(params).sum()) == 0
    target = np.full(12, 0.1)
    params, _ = fit(rng.normal(size=(12, 3)), target, rng.random(12), criterion="variance")
    assert (np.asarray(params.feature) == -1).all()
    np.testing.assert_array_equal(tree.predict(params, constant), target)
    close = 1e3 + 1e-3 * rng.random((12, 3))  # range 1e-6 of the scale: not constant
    assert int(fit(close, y).params.feature[0]) >= 0


def test_xor_has_no_first_split():
    X = np.zeros((4, 1001))
    X[:, 0] = [1, 1, 0, 0]
    params, _ = tree.fit(X, [0, 1, 0, 1], criterion="gini", max_depth=1, n_classes=2)
    assert (np.asarray(params.feature) == -1).all()
    assert (np.asarray(tree.predict_proba(params, X)) == 0.5).all()


def test_gini_and_variance_agree_on_two_classes():
    for seed in range(5):
        X, _, _ = problem("gini", n=40, seed=seed)
        y = np.random.default_rng(seed).integers(0, 2, 40)
        by_class = tree.fit(X, y, criterion="gini", max_depth=5, n_classes=2).params
        by_value = tree.fit(X, y.astype(float), criterion="variance", max_depth=5).params
        assert same(by_class.feature, by_value.feature)
        assert same(by_class.threshold, by_value.threshold)


def test_ties_go_to_the_lowest_feature_then_threshold():
    x = np.arange(12.0)
    y = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2])  # splits at 2.5 and 8.5 gain the same
    params, _ = fit(np.stack([np.zeros(12), x, x], axis=1), y)
    assert int(params.feature[0]) == 1
    assert float(params.threshold[0]) == 2.5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_near_the_largest(dtype):
    big = 0.6 * np.finfo(dtype).max
    X = np.array([[-big], [0.9 * big], [big], [-0.5 * big]] * 3, dtype) * np.ones((1, 3), dtype)
    params, info = fit(X, [0, 1, 2, 0] * 3, np.ones(12, dtype))
    assert np.isfinite(params.threshold).all()
    assert code(info) is Code.CONVERGED
    assert (np.asarray(tree.predict(params, X)) == [0, 1, 2, 0] * 3).all()
    near = np.nextafter(np.asarray(1, dtype), np.asarray(2, dtype))
    # Between neighboring floats there is no midpoint: the lower one is the threshold.
    X = np.array([[1.0], [near]] * 6, dtype) * np.ones((1, 3), dtype)
    params, _ = fit(X, [0, 1] * 6, np.ones(12, dtype))
    if dtype == "float32":  # 1.2e-7 is above the rule for constants, 2.2e-16 is not
        assert (np.asarray(tree.predict(params, X)) == [0, 1] * 6).all()
    else:
        assert int(params.feature[0]) == -1


def test_deeper_than_the_data():
    X, y, _ = problem("variance", n=9, d=2, grid=False)
    params, info = tree.fit(X, y, criterion="variance", max_depth=60)
    np.testing.assert_allclose(tree.predict(params, X), y, atol=1e-14)
    assert float(info.objective) < 1e-28
    assert int(info.n_iter) <= 8
    one = tree.fit([[1.0]], [3.0], criterion="variance", max_depth=4).params
    assert tree.predict(one, [[5.0]]).tolist() == [3.0]


def test_many_slots_are_searched_in_parts():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(200, 2)), rng.normal(size=200)
    params, info = tree.fit(X, y, criterion="variance", max_depth=9)  # 100 slots at the end
    np.testing.assert_allclose(
        float(info.objective) * 200, greedy(X, y, np.ones(200), "variance", 9), rtol=1e-9
    )
    residuals = np.asarray(tree.predict(params, X)) - y
    assert abs(residuals.sum()) < 1e-10


@given(st.lists(st.integers(0, 3), min_size=12, max_size=12).filter(lambda s: sum(s) > 4))
def test_integer_weights_are_replicas(s):
    X, y, _ = problem("gini")
    s = np.array(s, float)
    # Replicas are padded with rows of weight 0, whatever they hold, to one shape.
    again = np.repeat(np.arange(12), s.astype(int))
    rows = np.concatenate([again, np.zeros(36 - len(again), int)])
    weight = np.arange(36) < len(again)
    X_r, y_r = X[rows], y[rows]
    X_r[~weight], y_r[~weight] = 1e30, 1
    a, b = GINI(X, y, s), GINI(X_r, y_r, weight.astype(float))
    m = len(a.params.feature)
    for name in ("feature", "threshold", "value", "decrease"):
        np.testing.assert_array_equal(getattr(a.params, name), getattr(b.params, name)[:m])
    assert float(a.info.objective) == pytest.approx(float(b.info.objective), abs=1e-15)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_rows_of_weight_0_are_removed_rows(criterion):
    X, y, s = problem(criterion, n=24, grid=False)
    zero = np.arange(24) % 2 == 1
    s[zero] = 0
    spoiled, y_other = X.copy(), y.copy()
    spoiled[zero], y_other[zero] = -1e5, 1
    f = jitted(criterion)
    a, b = f(X, y, s), f(spoiled, y_other, s)
    assert same(a, b)
    c = f(X[~zero], y[~zero], s[~zero])
    for p, q in zip(a.params, c.params, strict=True):
        np.testing.assert_array_equal(p, q)
    assert float(a.info.objective) == pytest.approx(float(c.info.objective), rel=1e-14)


def test_quantile_bins_with_few_codes():
    rng = np.random.default_rng(0)
    X = np.sort(rng.exponential(size=(40, 1)), axis=0)
    y = (np.arange(40) >= 20).astype(int)
    params, _ = tree.fit(X, y, criterion="gini", max_depth=1, n_bins=4, n_classes=2)
    # Quartiles of 40 values: after the 10th, the 20th and the 30th.
    assert float(params.threshold[0]) == pytest.approx((X[19, 0] + X[20, 0]) / 2, rel=1e-15)
    rounded = tree.fit(X, (np.arange(40) >= 17).astype(int), criterion="gini", max_depth=1,
                       n_bins=4, n_classes=2).params  # fmt: skip
    assert float(rounded.threshold[0]) == float(params.threshold[0])


def test_hyperparameters_bind():
    X, y, s = problem("variance", n=40, grid=False)
    least = 4.0
    params, info = fit(X, y, s, criterion="variance", min_samples_leaf=least)
    weights = np.bincount(np.asarray(tree.apply(params, X)), s)
    assert weights[weights > 0].min() >= least
    np.testing.assert_allclose(
        float(info.objective) * s.sum(), greedy(X, y, s, "variance", DEPTH, least), rtol=1e-10
    )
    free = fit(X, y, s, criterion="variance").params
    drop = float(free.decrease.sum()) / 4
    few = fit(X, y, s, criterion="variance", min_impurity_decrease=drop).params
    splits = [(np.asarray(p.feature) >= 0).sum() for p in (few, free)]
    assert 0 < splits[0] < splits[1]
    many = jax.vmap(lambda least: fit(X, y, s, criterion="variance", min_samples_leaf=least))(
        jnp.array([0.0, least])
    )
    assert same(jax.tree.map(lambda a: a[1], many.params), params)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_eager_jit_vmap_and_repeats(dtype):
    batch = [problem("gini", seed=seed, dtype=dtype) for seed in range(3)]
    eager = [fit(*one) for one in batch]
    assert same(eager[0], fit(*batch[0]))
    X, y, s = (np.stack(part) for part in zip(*batch, strict=True))
    stacked = jax.jit(jax.vmap(fit))(X, y, s)
    for i in range(3):
        row = jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
        for other in (GINI(X[i], y[i], s[i]), row):
            assert same(other.params.feature, eager[i].params.feature)
            for a, b in zip(other.params, eager[i].params, strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_allclose(a, b, rtol=tolerances.of(dtype).routes)
    assert {leaf.dtype.name for leaf in eager[0].params} == {"int32", dtype}
    X[1, 2, 0] = np.nan
    mixed = jax.jit(jax.vmap(fit))(X, y, s)
    np.testing.assert_array_equal(mixed.info.code, [0, Code.NONFINITE_INPUT, 0])
    for a, b in zip(jax.tree.leaves(mixed), jax.tree.leaves(stacked), strict=True):
        assert np.asarray(a)[[0, 2]].tobytes() == np.asarray(b)[[0, 2]].tobytes()


def test_order_of_rows_and_scale_do_not_matter():
    X, y, s = problem("gini", grid=False)
    order = np.random.default_rng(1).permutation(12)
    a, b = GINI(X, y, s), GINI(X[order], y[order], s[order])
    assert same(a.params.feature, b.params.feature)
    assert same(a.params.threshold, b.params.threshold)
    np.testing.assert_allclose(a.params.value, b.params.value, rtol=1e-12)
    # A power of two changes no digit.
    scaled = GINI(2.0**30 * X, y, 2.0**-40 * s)
    assert same(a.params.feature, scaled.params.feature)
    assert same(a.params.value, scaled.params.value)
    np.testing.assert_array_equal(np.ldexp(a.params.threshold, 30), scaled.params.threshold)


def test_one_trace():
    X, y, s = problem("gini")
    traces = []

    @jax.jit
    def traced(X, y, s, least):
        traces.append(1)
        return fit(X, y, s, min_samples_leaf=least)

    traced(X, y, s, 1.0)
    traced(X[::-1].copy(), y, 2 * s, 3.0)
    assert len(traces) == 1


def test_leaf_values_have_derivatives():
    X, y, s = problem("variance", grid=False)

    def value(y, s):
        return fit(X, y, s, criterion="variance").params.value.sum()

    dy, ds = jax.jit(jax.grad(value, (0, 1)))(y, s)
    leaf = np.asarray(tree.apply(fit(X, y, s, criterion="variance").params, X))
    weight = np.bincount(leaf, s)
    np.testing.assert_allclose(dy, s / weight[leaf], rtol=1e-12)
    mean = np.bincount(leaf, s * y) / np.where(weight > 0, weight, 1)
    np.testing.assert_allclose(ds, (y - mean[leaf]) / weight[leaf], atol=1e-12)
    params = fit(X, y, s, criterion="variance").params
    assert not np.asarray(jax.grad(lambda X: tree.predict(params, X).sum())(X)).any()


def test_what_is_refused():
    X, y, s = problem("gini")
    for bad in (np.nan, np.inf):
        spoiled = X.copy()
        spoiled[3, 1] = bad
        with pytest.raises(ValueError, match="X contains NaN or inf"):
            fit(spoiled, y, s)
        found = GINI(spoiled, y, s)
        assert code(found.info) is Code.NONFINITE_INPUT
        assert np.isnan(found.params.value).all()
        with pytest.raises(ValueError, match="X contains NaN or inf"):
            tree.predict(GINI(X, y, s).params, spoiled)
        traced = jax.jit(tree.predict)(GINI(X, y, s).params, spoiled)
        assert int(traced[3]) == -1
        assert (np.delete(np.asarray(traced), 3) >= 0).all()
    assert code(GINI(X, np.where(y == 2, 3, y), s).info) is Code.BAD_LABELS
    assert code(GINI(X, y, 0 * s).info) is Code.DEGENERATE
    for bad, text in (
        ({"criterion": "mse"}, "criterion must be one of gini, entropy, variance"),
        ({"criterion": "variance"}, None),
        ({"depth": -1}, "max_depth must be >= 0"),
        ({"n_bins": 1}, "n_bins must be >= 2"),
        ({"n_bins": 257}, "n_bins must be <= 256"),
        ({"min_samples_leaf": -1.0}, "min_samples_leaf must be >= 0"),
        ({"min_impurity_decrease": -1.0}, "min_impurity_decrease must be >= 0"),
    ):
        if text:
            with pytest.raises(ValueError, match=text):
                fit(X, y, s, **bad)
    with pytest.raises(ValueError, match=r"outside 0\.\.2"):
        fit(X, y + 1, s)
    with pytest.raises(ValueError, match="expected None with"):
        tree.fit(X, y, criterion="variance", max_depth=2, n_classes=3)
    with pytest.raises(ValueError, match="n_classes must be given"):
        jax.jit(lambda y: tree.fit(X, y, criterion="gini", max_depth=2).info)(y)
    with pytest.raises(ValueError, match=r"weight.*zero"):
        fit(X, y, 0 * s)
    with pytest.raises(ValueError, match="lower max_depth"):
        jax.eval_shape(
            lambda X, y: tree.fit(X, y, criterion="variance", max_depth=30),
            jnp.zeros((100, 2)), jnp.zeros(100),
        )  # fmt: skip
    with pytest.raises(ValueError, match="3 feature"):
        tree.predict(GINI(X, y, s).params, X[:, :2])
    with pytest.raises(ValueError, match="no probabilities"):
        tree.predict_proba(tree.Params(*[jnp.zeros(1)] * 4), X[:, :1])


def test_labels_are_counted_and_read_alike():
    X, y, s = problem("gini")
    y[0] = K - 1
    a = tree.fit(
        X.tolist(), y.tolist(), criterion="gini", max_depth=DEPTH, sample_weight=s.tolist()
    )
    assert same(a, fit(X, y, s))
    whole = tree.fit(np.round(X).astype("int32"), y, criterion="gini", max_depth=DEPTH)
    assert whole.params.value.dtype == "float64"


def test_impurities():
    p = jnp.array([0.2, 0.3, 0.5])
    assert float(impurity.gini(p)) == pytest.approx(0.62, abs=1e-15)
    assert float(impurity.entropy(jnp.array([0.0, 1.0]))) == 0
    assert np.isfinite(jax.grad(impurity.entropy)(jnp.array([0.0, 1.0]))).all()
    assert float(impurity.gini(jnp.array([1.0, 0.0]))) == 0
    batch = jax.vmap(impurity.entropy)(jnp.stack([p, p[::-1]]))
    np.testing.assert_allclose(batch, 1.0296530140645737, rtol=1e-14)
    y = 1e8 + np.array([0.0, 1.0, 2.0])
    assert float(impurity.variance(y)) == pytest.approx(2 / 3, rel=1e-12)
    assert float(impurity.variance([1.0, 5.0, 9.0], [1, 1, 0])) == 4
    with pytest.raises(ValueError, match="p contains NaN"):
        impurity.gini([np.nan, 1.0])


def test_without_x64():
    text = """
        import numpy as np
        from jaxml.trees import boosting, tree
        X, y = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 2.0], [3.0, 1.0]]), np.array([0, 0, 1, 1])
        fit = tree.fit(X, y, criterion="gini", max_depth=2)
        assert int(fit.info.code) == 0, fit.info
        assert {leaf.dtype.name for leaf in fit.params} == {"float32", "int32"}
        fit = boosting.fit(X, y, n_estimators=3, max_depth=2)
        assert int(fit.info.code) == 0, fit.info
        assert fit.params.value.dtype == "float32"
        print("done")
    """
    assert processes.run(text, JAX_PLATFORMS="cpu").strip() == "done"
