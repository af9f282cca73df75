"""Properties over drawn problems: what a certificate claims holds when recomputed in NumPy."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml import Code
from jaxml.svm import dual
from tests.svm.family import FAMILY, gap, kernel_matrix, problem

N, D = 16, 3  # one shape, so that examples share compilations


@st.composite
def problems(draw, member):
    """A dtype, features of drawn rank and scale, weights with zeros, and C."""
    n = N
    dtype = draw(st.sampled_from(["float32", "float64"]))
    X, y, s = problem(n, D, seed=draw(st.integers(0, 50)))
    if draw(st.booleans()):
        X[:, 1:] = X[:, :1]
    if draw(st.booleans()):
        X[n // 2 :] = X[: n - n // 2]  # equal points, labels as they fall
    X = X * 10.0 ** draw(st.integers(-2, 2)) + draw(st.sampled_from([0.0, 1.0, 10.0]))
    if draw(st.booleans()):
        s = np.random.default_rng(n).integers(0, 3, n).astype(float)
        s[:4] = 1.0
    C = 10.0 ** draw(st.integers(-2, 2))
    return X.astype(dtype), y, s.astype(dtype), C


@pytest.mark.parametrize("member", FAMILY, ids=lambda m: m.label)
def test_converged_means_a_small_residual_recomputed_in_numpy(member):
    seen = []

    @given(problems(member))
    def holds(drawn):
        X, y, s, C = drawn
        tol = 1e-3
        fit = member.fit(X, y, sample_weight=s, C=C, tol=tol)
        code = Code(int(fit.info.code))
        seen.append(code)
        assert code < Code.DEGENERATE
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fit.params))
        if code is not Code.CONVERGED:
            return
        assert float(fit.info.residual) <= tol
        caps = (np.asarray(C, X.dtype) * s).astype(X.dtype)
        if member.module is dual:
            violation, outside = gap(kernel_matrix(member, X), y, caps, fit.params.dual_coef)
            assert violation <= 10 * tol
            assert outside <= 1e-4
            return
        w, c = (np.asarray(leaf, np.float64) for leaf in fit.params)
        slack = np.maximum(0.0, 1 - y * (X.astype(np.float64) @ w + c))
        J = 0.5 * w @ w + caps @ (slack**2 if member.squared else slack)
        assert abs(J - float(fit.info.objective)) <= 1e-3 * J

    holds()
    assert Code.CONVERGED in seen


def test_more_room_never_hurts():
    """The dual value grows with C and with every weight; the solution stays feasible."""

    @given(st.integers(0, 100))
    def holds(seed):
        X, y, s = problem(N, D, seed=seed)
        member = FAMILY[0]
        values = []
        for factor in (1.0, 1.5, 4.0):
            fit = member.fit(X, y, sample_weight=factor * s, tol=1e-8)
            b = np.asarray(fit.params.dual_coef)
            caps = member.hyper["C"] * factor * s
            assert (np.abs(b) <= caps * (1 + 1e-15)).all()
            assert (b * y >= 0).all()
            assert abs(b.sum()) <= 1e-12 * np.abs(b).sum()
            values.append(-float(fit.info.objective))
        assert values[0] <= values[1] + 1e-6
        assert values[1] <= values[2] + 1e-6

    holds()
