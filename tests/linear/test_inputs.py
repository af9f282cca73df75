"""What every fit of the linear family takes and refuses: NaN and inf, shapes, dtypes, domains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code
from tests import processes, tolerances
from tests.linear.family import CLASSIFIERS, FAMILY, REGRESSORS, agree, code, each, host, problem


@each(FAMILY)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonfinite_features(member, bad):
    X, y, s = problem(member)
    params = member.fit(X, y, sample_weight=s).params
    X[5, 1] = bad
    with pytest.raises(ValueError, match="X contains NaN or inf"):
        member.fit(X, y, sample_weight=s)
    fit = member.jitted()(X, y, s)
    assert code(fit) is Code.NONFINITE_INPUT
    assert all(np.isnan(leaf).all() for leaf in host(fit.params))
    with pytest.raises(ValueError, match="X contains NaN or inf"):
        member.scores(params, X)
    z = np.asarray(jax.jit(member.scores)(params, X))
    assert not np.isfinite(z[5]).any()
    assert np.isfinite(np.delete(z, 5, axis=0)).all()


@each(FAMILY)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonfinite_targets_and_weights(member, bad):
    X, y, s = problem(member)
    s[3] = bad
    with pytest.raises(ValueError, match="sample_weight contains NaN or inf"):
        member.fit(X, y, sample_weight=s)
    fit = member.jitted()(X, y, s)
    assert code(fit) is Code.NONFINITE_INPUT
    assert all(np.isnan(leaf).all() for leaf in host(fit.params))
    X, y, s = problem(member)
    y = y.astype(np.float64)
    y[3] = bad
    with pytest.raises(ValueError, match="y contains NaN or inf"):
        member.fit(X, y, sample_weight=s)
    fit = member.jitted()(X, y, s)
    assert code(fit) in (Code.NONFINITE_INPUT, Code.BAD_LABELS)
    if not member.n_classes:
        assert all(np.isnan(leaf).all() for leaf in host(fit.params))


@each(CLASSIFIERS)
def test_nonfinite_features_in_every_verb(member):
    X, y, s = problem(member)
    params = member.fit(X, y, sample_weight=s).params
    X[5, 1] = np.nan
    for verb in (member.verbs.predict, member.verbs.predict_proba):
        with pytest.raises(ValueError, match="X contains NaN or inf"):
            verb(params, X)
    proba = np.asarray(jax.jit(member.verbs.predict_proba)(params, X))
    assert np.isnan(proba[5]).all()
    # An integer cannot be NaN; what a traced NaN row gives is stated.
    assert int(jax.jit(member.verbs.predict)(params, X)[5]) == 0
    assert "NaN" in member.verbs.predict.__doc__


@each(FAMILY)
def test_empty_inputs(member):
    X, y, _ = problem(member)
    with pytest.raises(ValueError, match=r"0 sample\(s\).*minimum of 1"):
        member.fit(X[:0], y[:0])
    with pytest.raises(
        ValueError, match=r"0 feature\(s\) \(shape=\(24, 0\)\) while a minimum of 1"
    ):
        member.fit(X[:, :0], y)


@each(FAMILY)
def test_wrong_shapes(member):
    X, y, s = problem(member)
    with pytest.raises(ValueError, match="2 axes"):
        member.fit(X[:, 0], y)
    with pytest.raises(ValueError, match="per row of X"):
        member.fit(X, y[:-1])
    with pytest.raises(ValueError, match="per row of X"):
        member.fit(X, y, sample_weight=s[:-1])
    with pytest.raises(ValueError, match="axes"):
        member.fit(X, y, sample_weight=s[:, None])
    with pytest.raises(ValueError, match=r"axes|expected shape"):
        member.fit(X, y[:, None])
    params = member.fit(X, y).params
    with pytest.raises(ValueError, match=r"3 feature\(s\) of the fit"):
        member.scores(params, X[:, :2])
    # Shapes are static: the same is said under a trace.
    with pytest.raises(ValueError, match="per row of X"):
        jax.jit(member.fit)(X, y[:-1])


@each(REGRESSORS)
def test_one_sample_is_fitted_by_the_intercept(member):
    fit = member.fit(np.array([[1.5, -2.0]]), np.array([3.0]))
    agree(member.scores(fit.params, np.array([[1.5, -2.0]])), jnp.array([3.0]), 1e-12)
    assert all(np.isfinite(leaf).all() for leaf in host(fit))


@each(CLASSIFIERS)
def test_one_sample_is_one_class(member):
    with pytest.raises(ValueError, match="1 class"):
        member.fit(np.array([[1.5, -2.0]]), np.array([1]))


@each(FAMILY)
def test_one_feature(member):
    X, y, s = problem(member, d=1)
    fit = member.fit(X, y, sample_weight=s)
    assert code(fit) is Code.CONVERGED
    assert fit.params.coef.shape == ((1, 3) if member.n_classes == 3 else (1,))


@each(FAMILY)
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64"])
def test_dtypes_of_features(member, dtype):
    X, y, s = problem(member)
    X = np.round(4 * X)
    fit = member.fit(X.astype(dtype), y, sample_weight=s)
    assert code(fit) is Code.CONVERGED
    want = "float32" if dtype == "float32" else "float64"
    for leaf in host((fit.params, fit.info.objective, fit.info.residual)):
        assert leaf.dtype == want
    assert member.scores(fit.params, X.astype(dtype)).dtype == want
    agree(
        jax.tree.map(lambda leaf: leaf.astype("float64"), fit.params),
        member.fit(X, y, sample_weight=s).params,
        tolerances.of(want).fit * 10,
    )


@each(FAMILY)
def test_refused_dtypes(member):
    X, y, _ = problem(member)
    with pytest.raises(TypeError, match="Complex data not supported"):
        member.fit(X + 0j, y)
    with pytest.raises(TypeError, match="numeric"):
        member.fit(X.astype(str), y)


@each(FAMILY)
def test_lists_are_array_likes(member):
    X, y, s = problem(member)
    fit = member.fit(X.tolist(), y.tolist(), sample_weight=s.tolist())
    agree(fit, member.fit(X, y, sample_weight=s), 0.0)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(fit))


@each(FAMILY)
def test_weights_that_are_negative_or_all_zero(member):
    X, y, s = problem(member)
    with pytest.raises(ValueError, match=r"weight.*zero"):
        member.fit(X, y, sample_weight=np.zeros_like(s))
    fit = member.jitted()(X, y, np.zeros_like(s))
    assert code(fit) in (Code.DEGENERATE, Code.BAD_LABELS)
    s[2] = -1.0
    with pytest.raises(ValueError, match="sample_weight must be >= 0"):
        member.fit(X, y, sample_weight=s)
    assert code(member.jitted()(X, y, s)) is Code.DEGENERATE


@each(FAMILY)
def test_hyperparameters_outside_their_domain(member):
    X, y, _ = problem(member)
    for name in member.real:
        with pytest.raises(ValueError, match=f"{name} must be >=? 0"):
            member.fit(X, y, **{name: -1.0})
        with pytest.raises(TypeError, match=f"{name} must be a real number"):
            member.fit(X, y, **{name: "1"})
    with pytest.raises(ValueError, match="tol must be > 0"):
        member.fit(X, y, tol=0.0)


def test_without_x64_everything_is_float32():
    names = [(m.module, m.keywords, m.n_classes) for m in FAMILY]
    said = processes.run(f"""
        import importlib, numpy as np, jax
        rng = np.random.default_rng(0)
        X = rng.normal(size=(30, 2)); y = X[:, 0] + rng.normal(size=30)
        for module, keywords, k in {names!r}:
            m = importlib.import_module("jaxml.linear." + module)
            t = y if not k else (np.digitize(y, [-.5, .5]) if k == 3 else (y > 0)).astype(int)
            fit = m.fit(X.astype(np.float32), t, **keywords)
            assert int(fit.info.code) == 0, (module, fit.info)
            assert {{str(l.dtype) for l in jax.tree.leaves(fit)}} == {{"float32", "int32"}}, module
            assert m.fit(np.round(X).astype(int), t, **keywords).params.coef.dtype == "float32"
            for bad in (1e300, 2e39):
                X_bad = X.copy(); X_bad[0, 0] = bad
                try:
                    m.fit(X_bad, t, **keywords)
                except ValueError as error:
                    assert "range of float32" in str(error), error
                else:
                    raise SystemExit(module + " swallowed " + str(bad))
            big = np.full((30, 2), 2**40) + np.arange(60).reshape(30, 2) % 7 * 2**38
            assert np.isfinite(m.fit(big, t, **keywords).info.objective), module
        assert not jax.config.jax_enable_x64
        print("done")
    """)
    assert said.strip() == "done"
