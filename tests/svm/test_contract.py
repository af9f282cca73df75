"""The contract of every machine: one answer by every route and in any units, and codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code, kernels
from jaxml.svm import dual, primal
from tests import tolerances
from tests.svm.family import DUALS, LINEAR, code, each, host, problem


def agree(got, want, atol):
    """Leaf by leaf, shapes and dtypes included."""
    for a, b in zip(host(got), host(want), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=atol * max(1.0, np.abs(b).max(initial=0.0)))


@each
def test_weights_are_repeated_rows_and_zero_removes(member):
    X, y, _ = problem()
    s = np.random.default_rng(1).integers(0, 4, 24)
    s[:4] = 1
    tol = {} if member.squared else {"tol": 1e-10}
    weighted = member.fit(X, y, sample_weight=s, **tol)
    repeated = member.fit(np.repeat(X, s, axis=0), np.repeat(y, s), **tol)
    kept = member.fit(X[s > 0], y[s > 0], sample_weight=s[s > 0], **tol)
    assert code(weighted) is code(repeated) is code(kept) is Code.CONVERGED
    Z = problem(9, seed=5)[0]
    want = member.scores(weighted.params, Z)
    for other in (repeated, kept):
        np.testing.assert_allclose(member.scores(other.params, Z), want, atol=1e-7)
        np.testing.assert_allclose(other.info.objective, weighted.info.objective, rtol=1e-9)
    # Weights times c are C times c; order does not matter.
    C = member.hyper["C"]
    scaled = member.fit(X, y, sample_weight=10.0 * s, C=C / 10.0, **tol)
    order = np.random.default_rng(2).permutation(24)
    shuffled = member.fit(X[order], y[order], sample_weight=s[order], **tol)
    for other in (scaled, shuffled):
        np.testing.assert_allclose(member.scores(other.params, Z), want, atol=1e-7)
    # What a removed row holds does not matter.
    far = np.concatenate([np.full((2, 3), 1e3), X])
    fit = member.fit(far, np.append([1, -1], y), sample_weight=np.append([0, 0], s), **tol)
    np.testing.assert_allclose(member.scores(fit.params, Z), want, atol=1e-6)


@each
def test_bits_repeat_and_inputs_stay(member):
    X, y, s = problem()
    copies = X.copy(), y.copy(), s.copy()
    for array in (X, y, s):
        array.setflags(write=False)
    first = host(member.fit(X, y, sample_weight=s))
    for _ in range(3):
        for a, b in zip(host(member.fit(X, y, sample_weight=s)), first, strict=True):
            assert a.tobytes() == b.tobytes()
    for given, kept in zip((X, y, s), copies, strict=True):
        np.testing.assert_array_equal(given, kept)


@each
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_eager_jit_vmap_and_loop_agree_and_one_bad_lane_stays_alone(member, dtype):
    batch = [problem(dtype=dtype, seed=seed) for seed in range(3)]
    X, y, s = (np.stack(part) for part in zip(*batch, strict=True))
    eager = [member.fit(*row[:2], sample_weight=row[2]) for row in batch]
    stacked = member.vmapped()(X, y, s)
    tol = 100 * tolerances.of(dtype).routes
    if member.label != "squared_hinge":  # ties of rounding may move another pair: within the tol
        tol = 1e-4
    for i, row in enumerate(batch):
        lane = jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
        for other in (member.jitted()(*row), lane):
            agree(member.learned(other), member.learned(eager[i]), tol)
            assert code(other) is code(eager[i])
    X[1, 4, 0] = np.nan
    mixed = member.vmapped()(X, y, s)
    assert int(mixed.info.code[1]) == Code.NONFINITE_INPUT
    for a, b in zip(host(member.learned(mixed)), host(member.learned(stacked)), strict=True):
        assert a[[0, 2]].tobytes() == b[[0, 2]].tobytes()
        assert np.isnan(a[1]).all()


@each
def test_one_trace_serves_all_values(member):
    X, y, s = problem()
    traces = []

    @jax.jit
    def fit(X, y, s, C, tol):
        traces.append(1)
        return member.fit(X, y, sample_weight=s, C=C, tol=tol).params[0]

    for scale in (1.0, 2.0):
        fit(scale * X, y, s[::-1].copy(), scale, 1e-6 * scale)
    assert len(traces) == 1
    batch = jax.vmap(lambda C: member.fit(X, y, C=C, sample_weight=s).info)(np.array([0.1, 1.0]))
    assert (np.asarray(batch.code) == 0).all()


@each
def test_max_iter_is_reported(member):
    X, y, s = problem(40)
    fit = member.fit(X, y, sample_weight=s, max_iter=1, tol=1e-12)
    assert code(fit) is Code.MAX_ITER
    assert int(fit.info.n_iter) == 1
    assert all(np.isfinite(leaf).all() for leaf in host(fit))
    assert float(fit.info.residual) > 1e-12
    assert 0 < float(fit.info.gap) <= 1


@each
def test_a_tol_below_the_dtype_is_said(member):
    X, y, s = problem(40, dtype="float32")
    fit = member.fit(X, y, sample_weight=s, tol=1e-14)
    assert code(fit) is Code.LINE_SEARCH_FAILED
    assert all(np.isfinite(leaf).all() for leaf in host(fit))


@pytest.mark.parametrize("member", LINEAR, ids=lambda m: m.label)
@pytest.mark.parametrize(
    ("dtype", "offset", "tol"), [("float32", 1e3, 2e-2), ("float64", 1e6, 1e-4)]
)
def test_offsets_do_not_matter_or_are_said(member, dtype, offset, tol):
    X, y, s = problem(dtype=dtype)
    far = (X + offset).astype(dtype)
    near = (far.astype(np.float64) - offset).astype(dtype)  # exact: the same points
    got = member.fit(far, y, sample_weight=s, tol=1e-5)
    want = member.fit(near, y, sample_weight=s, tol=1e-5)
    assert code(want) is Code.CONVERGED
    assert code(got) in (Code.CONVERGED, Code.LINE_SEARCH_FAILED, Code.ILL_CONDITIONED)
    if member.module is primal:
        np.testing.assert_allclose(got.params.coef, want.params.coef, atol=tol)
    elif code(got) is Code.CONVERGED:
        np.testing.assert_allclose(dual.coef(got.params), dual.coef(want.params), atol=tol)


@each
@pytest.mark.parametrize("scale", [2.0**-33, 2.0**33])
def test_fits_are_scale_equivariant(member, scale):
    """X c with C / c^2 is the same linear problem in other units; gamma goes as c^-2."""
    X, y, s = problem()
    want = member.fit(X, y, sample_weight=s)
    units = {"C": member.hyper["C"] / scale**2}
    if member.label == "rbf":
        units = {"kernel": kernels.RBF(0.3 / scale**2)}
    got = member.fit(X * scale, y, sample_weight=s, **units)
    assert code(got) is code(want) is Code.CONVERGED
    np.testing.assert_allclose(
        member.scores(got.params, X * scale), member.scores(want.params, X), atol=1e-5
    )


@pytest.mark.parametrize("member", DUALS, ids=lambda m: m.label)
def test_rotations_do_not_matter(member):
    X, y, s = problem()
    Q = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    want = member.fit(X, y, sample_weight=s, tol=1e-10)
    got = member.fit(X @ Q, y, sample_weight=s, tol=1e-10)
    np.testing.assert_allclose(
        member.scores(got.params, X @ Q), member.scores(want.params, X), atol=1e-8
    )


def test_fits_go_through_check():
    from jaxml import ConvergenceWarning, check

    X, y, _ = problem()
    params, _ = check(dual.fit(X, y, kernel=kernels.RBF(0.3)))
    assert isinstance(params, dual.Params)
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        check(dual.fit(X, y, kernel=kernels.RBF(0.3), max_iter=1))
    assert isinstance(jnp.asarray(params.kernel.gamma), jax.Array)
