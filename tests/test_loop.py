"""The loop is bounded, and a certificate is a positive statement."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxml
from jaxml._loop import CURES, Code, Fit, Info, certify, check, iterate


def test_codes_are_in_order_of_severity_and_have_cures():
    names = [
        "CONVERGED", "MAX_ITER", "LINE_SEARCH_FAILED", "RANK_DEFICIENT", "ILL_CONDITIONED",
        "DEGENERATE", "BAD_LABELS", "SINGULAR_COVARIANCE", "DIVERGED", "NONFINITE_INPUT",
    ]  # fmt: skip
    assert [code.name for code in sorted(Code)] == names
    assert [int(code) for code in sorted(Code)] == list(range(10))
    assert set(CURES) == set(Code) - {Code.CONVERGED}
    assert jaxml.Code is Code


def test_iterate_stops_at_its_condition_and_at_its_bound():
    halve = lambda x: x / 2  # noqa: E731
    state, count = iterate(halve, jnp.float64(1.0), stop=lambda x: x <= 0.1, max_iter=100)
    assert (float(state), int(count)) == (0.0625, 4)
    state, count = iterate(halve, jnp.float64(1.0), stop=lambda x: x <= 0.1, max_iter=2)
    assert (float(state), int(count)) == (0.25, 2)
    state, count = iterate(halve, jnp.float64(1.0), stop=lambda x: x <= 2.0, max_iter=5)
    assert (float(state), int(count)) == (1.0, 0)
    # A NaN never satisfies the condition, so that only the bound ends the loop.
    _, count = iterate(halve, jnp.nan, stop=lambda x: x <= 0.1, max_iter=7)
    assert int(count) == 7


def test_iterate_under_vmap_counts_each_member():
    run = jax.vmap(lambda x: iterate(lambda x: x / 2, x, stop=lambda x: x <= 1.0, max_iter=9))
    state, count = run(jnp.array([1.0, 4.0, 1e9]))
    np.testing.assert_array_equal(count, [0, 2, 9])
    np.testing.assert_array_equal(state, [1.0, 1.0, 1e9 / 512])


def _certified(residual=0.0, objective=1.0, params=1.0, tol=1e-3, **kw):
    p = jnp.asarray(params)
    kw = {"n_iter": 3, **kw}
    return certify(
        {"w": p}, objective=jnp.asarray(objective), residual=jnp.asarray(residual), tol=tol, **kw
    )


def test_converged_is_finite_and_below_tol():
    fit = _certified(residual=1e-3)
    assert bool(fit.info.converged)
    assert int(fit.info.code) == 0
    assert fit.info.code.dtype == fit.info.n_iter.dtype == jnp.int32
    assert (int(fit.info.n_iter), float(fit.info.objective)) == (3, 1.0)
    assert Code(int(_certified(residual=1.1e-3).info.code)) is Code.MAX_ITER
    unmet = _certified(residual=1.0, unmet=Code.LINE_SEARCH_FAILED)
    assert Code(int(unmet.info.code)) is Code.LINE_SEARCH_FAILED
    assert float(unmet.params["w"]) == 1.0  # the best iterate is returned


@pytest.mark.parametrize("where", ["residual", "objective", "params"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_nonfinite_is_ever_certified(where, bad):
    fit = _certified(**{where: bad})
    assert Code(int(fit.info.code)) is Code.DIVERGED
    assert np.isnan(fit.params["w"])


def test_the_most_severe_flag_wins():
    yes, no = jnp.array(True), jnp.array(False)
    flags = ((Code.ILL_CONDITIONED, yes), (Code.RANK_DEFICIENT, yes), (Code.DEGENERATE, no))
    fit = _certified(flags=flags)
    assert Code(int(fit.info.code)) is Code.ILL_CONDITIONED
    assert float(fit.params["w"]) == 1.0
    fit = _certified(flags=((Code.NONFINITE_INPUT, yes), (Code.DEGENERATE, yes)))
    assert Code(int(fit.info.code)) is Code.NONFINITE_INPUT
    assert np.isnan(fit.params["w"])
    # Degenerate data explain non-finite parameters; they are not called divergence.
    for known in (Code.DEGENERATE, Code.BAD_LABELS):
        fit = _certified(params=np.nan, flags=((known, yes),))
        assert Code(int(fit.info.code)) is known


def _fit(codes):
    codes = jnp.asarray(codes, jnp.int32)
    ones = jnp.ones(codes.shape)
    return Fit({"w": ones}, Info(codes, codes + 7, ones, 0.25 * ones))


def test_check_passes_converged_fits_through():
    fit = _fit([0, 0])
    assert check(fit) is fit
    assert jaxml.check is check


@pytest.mark.parametrize("code", [c for c in Code if 0 < c < Code.DEGENERATE])
def test_check_warns_with_the_cure(code):
    with pytest.warns(jaxml.ConvergenceWarning, match=code.name) as caught:
        check(_fit(int(code)))
    text = str(caught[0].message)
    assert CURES[code] in text
    assert "0.25" in text
    assert caught[0].filename == __file__


@pytest.mark.parametrize("code", [c for c in Code if c >= Code.DEGENERATE])
def test_check_raises_with_the_cure(code):
    with pytest.raises(jaxml.FitError, match=code.name) as caught:
        check(_fit(int(code)))
    assert CURES[code] in str(caught.value)


def test_check_of_a_batch_reports_the_worst_and_how_many():
    with pytest.raises(jaxml.FitError, match=r"DEGENERATE in 2 of 6 fits .*after 12 iterations"):
        check(_fit([[0, 5, 1], [5, 0, 4]]))
    with pytest.warns(jaxml.ConvergenceWarning, match=r"MAX_ITER in 1 of 3 fits"):
        check(_fit([0, 1, 0]))
