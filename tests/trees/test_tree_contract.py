"""The contract of the decision tree: weights, routes, inputs, codes, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml import Code
from jaxml.trees import tree
from tests import processes, tolerances
from tests.trees.oracle import K, greedy, problem
from tests.trees.tree_problems import CRITERIA, DEPTH, code, fit, same


def jitted(criterion):
    return jax.jit(lambda X, y, s: fit(X, y, s, criterion=criterion))


GINI = jitted("gini")


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
