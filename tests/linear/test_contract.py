"""The contract of a model, for every fit of the linear family."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code
from jaxml.linear import elastic_net
from tests import processes, tolerances
from tests.linear.family import CLASSIFIERS, FAMILY, ITERATIVE, REGRESSORS, host, problem


def each(members):
    """Parametrize a test over members."""
    return pytest.mark.parametrize("member", members, ids=lambda m: m.label)


def code(fit):
    """The code of a fit as a Code."""
    return Code(int(fit.info.code))


def agree(got, want, rtol, scale=1.0):
    """Leaf by leaf, relative to the largest entry of the leaf and at least to scale."""
    for a, b in zip(host(got), host(want), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        size = max(np.abs(b).max(initial=0.0), scale)
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * size)


# C1: NaN and inf -------------------------------------------------------------------------------


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


# C2 to C6: shapes and dtypes -------------------------------------------------------------------


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


# C7, C8: weights and order -----------------------------------------------------------------------


@each(FAMILY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_integer_weights_are_replicated_rows(member, dtype):
    X, y, _ = problem(member, dtype=dtype)
    s = np.random.default_rng(1).integers(0, 4, 24)
    s[: 2 * member.n_classes] = 1
    weighted = member.fit(X, y, sample_weight=s)
    repeated = member.fit(np.repeat(X, s, axis=0), np.repeat(y, s))
    assert code(weighted) is code(repeated) is Code.CONVERGED
    agree(weighted.params, repeated.params, tolerances.of(dtype).weights, scale=0.01)


@each(FAMILY)
@pytest.mark.parametrize("far", [1e3, 1e6])
def test_rows_of_weight_zero_are_removed_whatever_they_hold(member, far):
    X, y, s = problem(member)
    X_bad = np.concatenate([np.full((2, 3), far), X])
    y_bad = np.concatenate([y[:2] if member.n_classes else np.full(2, -far), y])
    fit = member.fit(X_bad, y_bad, sample_weight=np.concatenate([np.zeros(2), s]))
    # Rows this far off cost digits, as any offset does; that may be said, not suffered.
    assert code(fit) in (Code.CONVERGED, Code.ILL_CONDITIONED)[: 1 if far < 1e6 else 2]
    agree(fit.params, member.fit(X, y, sample_weight=s).params, tolerances.of("float64").weights)


@each(FAMILY)
def test_row_order_column_order_and_the_scale_of_weights(member):
    X, y, s = problem(member)
    rng = np.random.default_rng(2)
    rows, columns = rng.permutation(24), rng.permutation(3)
    want = member.fit(X, y, sample_weight=s).params
    tol = 1e-9
    agree(member.fit(X[rows], y[rows], sample_weight=s[rows]).params, want, tol)
    agree(member.fit(X, y, sample_weight=1e3 * s).params, want, tol)
    got = member.fit(X[:, columns], y, sample_weight=s).params
    agree(got, want._replace(coef=want.coef[columns]), tol)


# C9 to C12: repeatability and transformations ----------------------------------------------------


@each(FAMILY)
def test_the_same_inputs_give_the_same_bits(member):
    X, y, s = problem(member)
    first = host(member.fit(X, y, sample_weight=s))
    for _ in range(3):
        for a, b in zip(host(member.fit(X, y, sample_weight=s)), first, strict=True):
            assert a.tobytes() == b.tobytes()


@each(FAMILY)
def test_inputs_are_not_changed(member):
    X, y, s = problem(member)
    copies = X.copy(), y.copy(), s.copy()
    device = tuple(jnp.asarray(a) for a in copies)
    for array in (X, y, s):
        array.setflags(write=False)
    fit = member.fit(X, y, sample_weight=s)
    member.fit(device[0], device[1], sample_weight=device[2])
    member.scores(fit.params, X)
    for given, moved, kept in zip((X, y, s), device, copies, strict=True):
        np.testing.assert_array_equal(given, kept)
        np.testing.assert_array_equal(moved, kept)  # raises if the buffer was donated


@each(FAMILY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_eager_jit_vmap_and_loop_agree(member, dtype):
    batch = [problem(member, dtype=dtype, seed=seed) for seed in range(3)]
    tol = tolerances.of(dtype).routes
    if member.label == "softmax_l1":  # first-order steps end somewhere within tol of the minimizer
        tol = 1e3 * tol
    eager = [member.fit(X, y, sample_weight=s) for X, y, s in batch]
    stacked = member.vmapped()(*(np.stack(part) for part in zip(*batch, strict=True)))
    for i, (X, y, s) in enumerate(batch):
        jitted = member.jitted()(X, y, s)
        row = jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
        for other in (jitted, row):
            agree(other.params, eager[i].params, tol)
            agree(other.info.objective, eager[i].info.objective, tol)
            assert code(other) is code(eager[i]) is Code.CONVERGED


@each(FAMILY)
def test_one_bad_member_of_a_batch_stays_alone(member):
    batch = [problem(member, seed=seed) for seed in range(3)]
    X, y, s = (np.stack(part) for part in zip(*batch, strict=True))
    good = member.vmapped()(X, y, s)
    X[1, 4, 0] = np.nan
    mixed = member.vmapped()(X, y, s)
    assert [Code(int(c)) for c in mixed.info.code] == [0, Code.NONFINITE_INPUT, 0]
    for a, b in zip(host(mixed), host(good), strict=True):
        assert a[[0, 2]].tobytes() == b[[0, 2]].tobytes()
    assert all(np.isnan(leaf[1]).all() for leaf in host(mixed.params))


@each(FAMILY)
def test_one_trace_serves_all_values(member):
    X, y, s = problem(member)
    traces = []

    @jax.jit
    def fit(X, y, s, real, tol):
        traces.append(1)
        return member.fit(X, y, sample_weight=s, tol=tol, **real).params

    for scale in (1.0, 2.0):
        real = {name: scale * value for name, value in member.real.items()}
        fit(scale * X, y, s[::-1].copy(), real, 1e-9 * scale)
    assert len(traces) == 1
    # Eager calls compile once per shape, too.
    verbs = elastic_net if member.module == "lasso" else member.verbs  # the lasso is l2 = 0
    inner = verbs._fit
    member.fit(X, y, sample_weight=s)
    before = inner._cache_size()
    real = {name: 2.0 * value for name, value in member.real.items()}
    member.fit(X + 1.0, y, sample_weight=2.0 * s, **real, tol=1e-9)
    assert inner._cache_size() == before


@each([m for m in FAMILY if m.real])
def test_hyperparameters_can_be_batched(member):
    X, y, s = problem(member)
    scales = np.array([0.5, 1.0, 3.0])

    def fit(scale):
        real = {name: scale * value for name, value in member.real.items()}
        return member.fit(X, y, sample_weight=s, **real)

    batch = jax.vmap(fit)(scales)
    for i, scale in enumerate(scales):
        one = fit(scale)
        agree(jax.tree.map(lambda leaf, i=i: leaf[i], batch.params), one.params, 1e-9)
        assert int(batch.info.code[i]) == 0


# C13 to C16: bounds, awkward columns, offsets and scales -----------------------------------------


@each(ITERATIVE)
def test_max_iter_is_reported(member):
    # One round of a working set solves a narrow problem whole: more columns than it admits.
    X, y, s = problem(member) if member.n_classes else problem(member, 60, 300)
    fit = member.fit(X, y, sample_weight=s, max_iter=1, tol=1e-14)
    assert code(fit) is Code.MAX_ITER
    assert int(fit.info.n_iter) == 1
    assert all(np.isfinite(leaf).all() for leaf in host(fit))
    assert float(fit.info.residual) > 1e-14
    J = member.loss(fit.params, X, y, sample_weight=s)
    np.testing.assert_allclose(fit.info.objective, J, rtol=1e-12)
    for bad, error in ((0, ValueError), (2.5, TypeError)):
        with pytest.raises(error, match="max_iter"):
            member.fit(X, y, max_iter=bad)


@each(FAMILY)
def test_the_certificate_holds_the_objective(member):
    X, y, s = problem(member)
    fit = member.fit(X, y, sample_weight=s)
    assert code(fit) is Code.CONVERGED
    assert bool(fit.info.converged)
    assert int(fit.info.n_iter) >= 1
    J = member.loss(fit.params, X, y, sample_weight=s)
    np.testing.assert_allclose(fit.info.objective, J, rtol=1e-12)


@each(FAMILY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constant_column_is_left_to_the_intercept(member, dtype):
    X, y, s = problem(member, dtype=dtype)
    for constant in (0.0, 7.3):
        wide = np.concatenate([X, np.full((24, 1), constant, dtype)], axis=1)
        fit = member.fit(wide, y, sample_weight=s)
        want = member.fit(X, y, sample_weight=s)
        allowed = (Code.CONVERGED, Code.RANK_DEFICIENT)
        assert code(fit) in allowed[: 2 if member.module == "least_squares" else 1]
        tol = 10 * tolerances.of(dtype).fit
        agree(member.scores(fit.params, wide), member.scores(want.params, X), tol)
        agree(fit.params.coef[:3], want.params.coef, tol)
        assert np.abs(fit.params.coef[3]).max() <= tol


@each(FAMILY)
def test_duplicated_column_and_wide_data_are_finite(member):
    X, y, s = problem(member)
    fit = member.fit(np.concatenate([X, X[:, :1]], axis=1), y, sample_weight=s)
    assert code(fit) is (Code.RANK_DEFICIENT if not member.real else Code.CONVERGED)
    assert all(np.isfinite(leaf).all() for leaf in host(fit))
    if "l2" in member.real:  # strictly convex: equal columns share alike
        agree(fit.params.coef[3], fit.params.coef[0], 1e-8)
    X, y, s = problem(member, n=12, d=15)
    fit = member.fit(X, y, sample_weight=s)
    assert code(fit) is (Code.RANK_DEFICIENT if not member.real else Code.CONVERGED)
    assert all(np.isfinite(leaf).all() for leaf in host(fit))


@each(FAMILY)
@pytest.mark.parametrize(
    ("dtype", "offset", "tol"),
    [("float32", 1e3, 1e-3), ("float64", 1e6, 1e-7), ("float64", 1e8, 1e-6)],
)
def test_offsets_do_not_matter(member, dtype, offset, tol):
    X, y, s = problem(member, dtype=dtype)
    far = (X + offset).astype(dtype)
    near = (far.astype(np.float64) - offset).astype(dtype)  # exact: the same points
    got, want = member.fit(far, y, sample_weight=s), member.fit(near, y, sample_weight=s)
    assert code(want) is Code.CONVERGED
    assert code(got) in (Code.CONVERGED, Code.ILL_CONDITIONED)
    agree(got.params.coef, want.params.coef, tol)


@each(FAMILY)
@pytest.mark.parametrize("scale", [1e-10, 1e10])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fits_are_scale_equivariant(member, scale, dtype):
    """X c with l1 c and l2 c^2 is the same problem in other units."""
    X, y, s = problem(member, dtype=dtype)
    scale = float(np.float32(2.0 ** np.round(np.log2(scale))))  # a power of two: no rounding
    real = {name: value * scale ** int(name[1]) for name, value in member.real.items()}
    got = member.fit(X * np.asarray(scale, dtype), y, sample_weight=s, **real)
    want = member.fit(X, y, sample_weight=s)
    assert code(got) is code(want) is Code.CONVERGED
    z_got = member.scores(got.params, X * np.asarray(scale, dtype))
    agree(z_got, member.scores(want.params, X), 10 * tolerances.of(dtype).fit)
    if member.n_classes:
        labels = member.verbs.predict(got.params, X * np.asarray(scale, dtype))
        np.testing.assert_array_equal(labels, member.verbs.predict(want.params, X))


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
