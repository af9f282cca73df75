"""Each code from a small input that must produce it, in eager mode and traced."""

import jax
import numpy as np
import pytest

import jaxml
from jaxml import Code
from jaxml.linear import least_squares, logistic, softmax
from tests.linear.family import CLASSIFIERS, ITERATIVE, code, problem


@pytest.mark.parametrize("member", ITERATIVE, ids=lambda m: m.label)
def test_a_tolerance_below_rounding_is_never_certified(member):
    X, y, s = problem(member, n=200, dtype="float32", seed=3)
    fit = member.fit(X, y, sample_weight=s, tol=1e-12)
    assert code(fit) in (Code.CONVERGED, Code.MAX_ITER, Code.LINE_SEARCH_FAILED)
    if code(fit) is Code.CONVERGED:
        assert float(fit.info.residual) <= 1e-12
    loose = member.fit(X, y, sample_weight=s)
    for a, b in zip(jax.tree.leaves(fit.params), jax.tree.leaves(loose.params), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)  # the best iterate is still returned


@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_line_search_failed(solver):
    X, y, s = problem(CLASSIFIERS[0], n=200, dtype="float32", seed=3)
    fit = logistic.fit(X, y, l2=0.1, sample_weight=s, tol=1e-12, solver=solver, max_iter=500)
    assert code(fit) is Code.LINE_SEARCH_FAILED
    assert int(fit.info.n_iter) < 500
    with pytest.warns(jaxml.ConvergenceWarning, match="LINE_SEARCH_FAILED"):
        jaxml.check(fit)


def test_rank_deficient_warns_and_is_usable():
    X = np.array([[0.0, 1.0], [1.0, 0.5], [2.0, 3.0], [4.0, -1.0]])
    fit = least_squares.fit(np.hstack([X, X[:, :1]]), X @ [1.0, 2.0] + 3.0)
    assert code(fit) is Code.RANK_DEFICIENT
    np.testing.assert_allclose(fit.params.coef, [0.5, 2.0, 0.5], rtol=1e-10)
    with pytest.warns(jaxml.ConvergenceWarning, match=r"RANK_DEFICIENT.*minimum-norm"):
        jaxml.check(fit)


def test_degenerate_raises_on_the_host():
    fit = logistic.fit(np.array([[-2.0], [-1.0], [1.0], [2.0]]), [0, 0, 1, 1])
    with pytest.raises(jaxml.FitError, match=r"DEGENERATE.*separable"):
        jaxml.check(fit)


def test_the_worst_of_a_batch_is_named():
    X, y, _ = problem(CLASSIFIERS[0])
    batch = np.stack([X, X, X])
    batch[1, 0, 0] = np.nan
    fits = jax.vmap(lambda X: logistic.fit(X, y, l2=0.1))(batch)
    with pytest.raises(jaxml.FitError, match="NONFINITE_INPUT in 1 of 3 fits"):
        jaxml.check(fits)


@pytest.mark.parametrize("member", CLASSIFIERS, ids=lambda m: m.label)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_near_the_largest_of_the_dtype_have_a_code(member, dtype):
    rng = np.random.default_rng(0)
    X = (np.finfo(dtype).max * rng.uniform(size=(20, 3))).astype(dtype)
    y = np.arange(20) % member.n_classes
    fit = member.fit(X, y)
    assert code(fit) not in (Code.CONVERGED, Code.NONFINITE_INPUT)


def test_unknown_solvers_are_refused():
    X, y, _ = problem(CLASSIFIERS[0])
    with pytest.raises(ValueError, match="solver must be one of auto, newton, lbfgs: got 'saga'"):
        logistic.fit(X, y, solver="saga")
    with pytest.raises(ValueError, match=r"solver must be one of .*: got 'saga'"):
        softmax.fit(X, y, n_classes=2, solver="saga")
