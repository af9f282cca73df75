"""What must not matter to a fit of the linear family: how rows, columns and units are written."""

import numpy as np
import pytest

from jaxml import Code
from tests import tolerances
from tests.linear.family import FAMILY, agree, code, each, host, problem


@each(FAMILY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_integer_weights_are_replicated_rows(member, dtype):
    X, y, _ = problem(member, dtype=dtype)
    # 24 rows again, so that both fits are one program.
    s = np.concatenate([np.ones(10, int), np.repeat([0, 2, 3], [8, 4, 2])])
    s[6:] = np.random.default_rng(1).permutation(s[6:])
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
