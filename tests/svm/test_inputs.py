"""What every machine takes and refuses: NaN and inf, labels, shapes, kernels, dtypes."""

import jax
import numpy as np
import pytest

from jaxml import Code
from jaxml.svm import dual, primal
from tests import processes
from tests.svm.family import code, each, host, problem


@each
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonfinite_input(member, bad):
    X, y, s = problem()
    params = member.fit(X, y, sample_weight=s).params
    broken = X.copy()
    broken[5, 1] = bad
    with pytest.raises(ValueError, match="X contains NaN or inf"):
        member.fit(broken, y, sample_weight=s)
    fit = member.jitted()(broken, y, s)
    assert code(fit) is Code.NONFINITE_INPUT
    assert all(np.isnan(leaf).all() for leaf in host(member.learned(fit)))
    with pytest.raises(ValueError, match="X contains NaN or inf"):
        member.scores(params, broken)
    z = np.asarray(jax.jit(member.scores)(params, broken))
    if np.isnan(bad):
        assert np.isnan(z[5])
    assert np.isfinite(np.delete(z, 5)).all()
    if np.isnan(bad):
        assert int(jax.jit(member.module.predict)(params, broken)[5]) == -1
    with pytest.raises(ValueError, match="y contains NaN or inf"):
        member.fit(X, np.where(np.arange(24) == 3, bad, y), sample_weight=s)
    assert code(member.jitted()(X, np.where(np.arange(24) == 3, bad, y), s)) >= Code.BAD_LABELS
    s = np.where(np.arange(24) == 3, bad, s)
    with pytest.raises(ValueError, match="sample_weight contains NaN or inf"):
        member.fit(X, y, sample_weight=s)
    assert code(member.jitted()(X, y, s)) is Code.NONFINITE_INPUT


@each
def test_labels(member):
    X, y, s = problem()
    with pytest.raises(ValueError, match="labels -1 and 1: got 0"):
        member.fit(X, (y > 0).astype(int))
    with pytest.raises(ValueError, match="1 class only"):
        member.fit(X, np.ones(24))
    with pytest.raises(ValueError, match="1 class only"):
        member.fit(X, y, sample_weight=(y > 0).astype(float))
    for labels, weights in ((0 * y + 1, s), (y, s * (y > 0)), (y * (np.arange(24) != 3), s)):
        fit = member.jitted()(X, labels, weights)
        assert code(fit) is Code.BAD_LABELS
    assert int(jax.jit(member.module.predict)(member.fit(X, y).params, X)[0]) in (-1, 1)


@each
def test_shapes_and_dtypes_that_are_refused(member):
    X, y, s = problem()
    with pytest.raises(ValueError, match=r"0 sample\(s\).*minimum of 1"):
        member.fit(X[:0], y[:0])
    with pytest.raises(ValueError, match=r"0 feature\(s\) .*minimum of 1"):
        member.fit(X[:, :0], y)
    with pytest.raises(ValueError, match="2 axes"):
        member.fit(X[:, 0], y)
    for wrong in ({"y": y[:-1]}, {"y": y, "sample_weight": s[:-1]}):
        with pytest.raises(ValueError, match="per row of X"):
            member.fit(X, **wrong)
    with pytest.raises(ValueError, match=r"3 feature\(s\) of the fit"):
        member.scores(member.fit(X, y).params, X[:, :2])
    with pytest.raises(TypeError, match="Complex"):
        member.fit(X + 0j, y)
    for name, bad in (("C", 0.0), ("C", -1.0), ("tol", 0.0)):
        with pytest.raises(ValueError, match=f"{name} must be > 0"):
            member.fit(X, y, **{name: bad})
    for bad, error in ((0, ValueError), (2.5, TypeError)):
        with pytest.raises(error, match="max_iter"):
            member.fit(X, y, max_iter=bad)
    assert code(member.jitted()(X, y, 0 * s)) >= Code.DEGENERATE
    assert code(member.jitted()(X, y, s - 1.0)) is Code.DEGENERATE
    with pytest.raises(ValueError, match=r"weight.*zero"):
        member.fit(X, y, sample_weight=0 * s)


def test_kernels_that_are_refused():
    X, y, _ = problem()
    with pytest.raises(TypeError, match="callable"):
        dual.fit(X, y, kernel=None)
    with pytest.raises(ValueError, match="precomputed"):
        dual.fit(X, y, kernel="rbf")
    with pytest.raises(ValueError, match="square"):
        dual.fit(X, y, kernel="precomputed")
    with pytest.raises(ValueError, match="C must be finite"):
        primal.fit(X, y, C=np.inf, squared=True)
    params = dual.fit(X @ X.T, y, kernel="precomputed").params
    with pytest.raises(ValueError, match=r"24 feature\(s\)"):
        dual.decision_function(params, X)


@each
@pytest.mark.parametrize("dtype", ["int32", "float32", "float64"])
def test_dtypes(member, dtype):
    X, y, s = problem()
    X = np.round(3 * X)
    fit = member.fit(X.astype(dtype), y, sample_weight=s.tolist(), tol=1e-4)
    assert code(fit) is Code.CONVERGED
    want = "float32" if dtype == "float32" else "float64"
    for leaf in host((fit.params, fit.info.objective, fit.info.residual, fit.info.gap)):
        assert leaf.dtype == want
    assert member.scores(fit.params, X.astype(dtype)).dtype == want


def test_without_x64_everything_is_float32():
    said = processes.run("""
        import numpy as np, jax
        from jaxml import kernels, svm
        rng = np.random.default_rng(0)
        X = rng.normal(size=(30, 2)); y = np.where(X[:, 0] + rng.normal(size=30) > 0, 1, -1)
        for fit, verb in (
            (svm.dual.fit(X, y, kernel=kernels.RBF(0.5)), svm.dual),
            (svm.dual.fit(X, y, kernel=kernels.Polynomial(2, 0.5, 1)), svm.dual),
            (svm.primal.fit(X, y), svm.primal),
            (svm.primal.fit(X, y, squared=True), svm.primal),
        ):
            assert int(fit.info.code) == 0, fit.info
            kinds = {str(l.dtype) for l in jax.tree.leaves(fit)}
            assert kinds == {"float32", "int32"}, kinds
            assert verb.decision_function(fit.params, X).dtype == "float32"
            assert verb.predict(fit.params, X).dtype == "int32"
        assert not jax.config.jax_enable_x64
        print("done")
    """)
    assert said.strip() == "done"
