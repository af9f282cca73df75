"""The float32 round of a float64 fit changes no answer: constraints, certificate, codes, counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code, kernels
from jaxml.svm import _smo, dual
from tests.svm.family import code, gap, problem

KERNELS = {
    "rbf": kernels.RBF(0.3),
    "linear": kernels.Linear(),
    "polynomial": kernels.Polynomial(2, 0.3, 1.0),
    "laplacian": kernels.Laplacian(0.3),
}


moved = jax.jit(_smo._pairs)


def bounds(y, caps):
    """(lo, hi)."""
    return jnp.minimum(y * caps, 0.0), jnp.maximum(y * caps, 0.0)


def float64_alone(K, y, caps, tol):
    """(b, m - M) by pairs in float64 alone from 0, the gradient afresh every 1000."""
    lo, hi = bounds(y, caps)
    no = jnp.array(False)
    state = _smo.State(jnp.zeros(len(y)), jnp.asarray(-1.0 * y), jnp.array(np.inf), no, no)
    for _ in range(100):
        state, _ = moved(K, lo, hi, state, jnp.asarray(tol), 1000)
        g = _smo.gradient(K, y, state.b)
        m, M = _smo.violation(state.b, g, lo, hi)
        state = state._replace(g=g, gap=m - M, stuck=no)
        if m - M <= tol:
            break
    return np.asarray(state.b), float(state.gap)


def feasible(b, y, caps):
    """Exactly between the bounds, and of sum 0 to the rounding of float64."""
    a = np.asarray(b) * y
    assert (a >= 0).all()
    assert (a <= caps).all()
    assert abs(np.sum(b)) <= 1e-13 * np.sum(np.abs(b))


@pytest.mark.parametrize("tol", [1e-3, 1e-9])
@pytest.mark.parametrize("C", [1e-2, 1.0, 100.0, np.inf])
@pytest.mark.parametrize("name", KERNELS)
def test_the_solution_is_that_of_float64_alone(name, C, tol):
    X, y, s = problem(60, seed=2)
    if np.isinf(C):
        X = X + 3.0 * y[:, None]  # separable
    X[30:45], y[30:45] = X[:15], y[:15]
    s[::7] = 0.0
    K = kernels.gram(KERNELS[name], X)
    caps = np.where(s > 0, C * np.where(s > 0, s, 1.0), 0.0)
    fit = dual.fit(X, y, kernel=KERNELS[name], C=C, sample_weight=s, tol=tol)
    want, violation = float64_alone(K, y, caps, tol)
    assert violation <= tol
    assert code(fit) is Code.CONVERGED
    b = np.asarray(fit.params.dual_coef)
    feasible(b, y, caps)
    assert gap(K, y, caps, b)[0] <= tol * (1 + 1e-6)
    J = 0.5 * want @ K @ want - y @ want
    np.testing.assert_allclose(fit.info.objective, J, rtol=10 * tol)
    f, g = (K @ v for v in (b, want))
    kept = s > 0
    if tol < 1e-6:  # f is unique up to its intercept
        np.testing.assert_allclose((f - f[0])[kept], (g - g[0])[kept], atol=1e-5)


@pytest.mark.parametrize("scale", [1e-60, 1e-30, 1e30, 1e60, 1e200])
def test_the_scale_of_the_kernel_does_not_matter(scale):
    """Where K, its bounds or b leave float32, its round is passed over."""
    X, y, s = problem(60)
    K = np.asarray(kernels.gram(kernels.RBF(0.3), X))
    how = {"kernel": "precomputed", "sample_weight": s, "tol": 1e-8}
    want = dual.fit(K, y, C=2.0, **how)
    fit = dual.fit(K * scale, y, C=2.0 / scale, **how)
    assert code(fit) is code(want) is Code.CONVERGED
    feasible(fit.params.dual_coef, y, 2.0 / scale * s)
    np.testing.assert_allclose(fit.info.objective * scale, want.info.objective, rtol=1e-9)
    np.testing.assert_allclose(fit.params.dual_coef * scale, want.params.dual_coef, atol=1e-5)


def test_what_comes_back_from_float32():
    """Bounds exactly, rows that stayed exactly, and the sum by the free rows alone."""
    X, y, s = problem(80)
    K, caps = kernels.gram(kernels.RBF(0.3), X), 0.7 * s
    lo, hi = bounds(y, caps)
    no = jnp.array(False)
    start = _smo.State(jnp.zeros(80), jnp.asarray(-1.0 * y), jnp.array(np.inf), no, no)
    end, pairs = _smo._pairs_in_float32(K, lo, hi, start, jnp.asarray(1e-12), jnp.int32(1600))
    b = np.asarray(end.b)
    assert 0 < int(pairs) < 1600  # a tol below float32 spends no whole round
    feasible(b, y, caps)
    full = np.isclose(np.abs(b), caps, rtol=1e-6)
    assert full.sum() > 10
    np.testing.assert_array_equal(np.abs(b)[full], caps[full])
    assert gap(K, y, caps, b)[0] <= 1e-4
    # From a solution nothing moves, and nothing is rounded.
    exact = end._replace(gap=jnp.array(np.inf), g=_smo.gradient(K, y, end.b))
    again, _ = _smo._pairs_in_float32(K, lo, hi, exact, jnp.asarray(1.0), jnp.int32(1600))
    np.testing.assert_allclose(again.b, b, rtol=1e-15, atol=0)
    # Without room, at a sum of 0, all stay at their bounds.
    y = np.where(np.arange(80) % 2, 1.0, -1.0)
    lo, hi = bounds(y, 0.1)
    free = start._replace(g=jnp.asarray(-y))
    end, _ = _smo._pairs_in_float32(
        1e-9 * jnp.eye(80), lo, hi, free, jnp.asarray(1e-3), jnp.int32(1600)
    )
    np.testing.assert_array_equal(end.b, 0.1 * y)


def test_pairs_of_both_precisions_count():
    X, y, s = problem(150, seed=3)
    how = {"kernel": kernels.RBF(0.3), "sample_weight": s, "C": 10.0, "tol": 1e-9}
    whole = dual.fit(X, y, **how)
    pairs = int(whole.info.n_iter)
    assert code(whole) is Code.CONVERGED
    for max_iter in (1, 7, pairs // 2, 3 * pairs // 4):
        fit = dual.fit(X, y, max_iter=max_iter, **how)
        assert code(fit) is Code.MAX_ITER
        assert int(fit.info.n_iter) == max_iter
        feasible(fit.params.dual_coef, y, 10.0 * s)
    again = dual.fit(X, y, init=whole.params, max_iter=3, **how)
    assert code(again) is Code.CONVERGED
    assert int(again.info.n_iter) == 1
    np.testing.assert_array_equal(again.params.dual_coef, whole.params.dual_coef)


def test_negative_curvature_below_float32_is_seen():
    """K less 1e-8 of the identity on a rank of one: bent in float64, flat in float32."""
    _, y, _ = problem(40)
    K = np.ones((40, 40)) - 1e-8 * np.eye(40)
    fit = dual.fit(K, y, kernel="precomputed")
    assert code(fit) is Code.ILL_CONDITIONED
    assert code(dual.fit(np.ones((40, 40)), y, kernel="precomputed")) is Code.CONVERGED
