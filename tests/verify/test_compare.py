"""The engine on cases with a known verdict."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.verify import (
    ELEMENTWISE,
    EXACT,
    HESSIAN,
    ROUNDING,
    STANDARD_ERRORS,
    Case,
    Expected,
    Reading,
    Tolerance,
    Verdict,
    point,
    run,
)
from jaxml.verify.compare import distance
from jaxml.verify.domains import Domain, away_from, labels, signs
from jaxml.verify.evidence import stencil

KEY = jax.random.key(3)


def _cubic(x, a):
    return jnp.sum(a * x**3)


DRAW = Domain(lambda rng, n: (rng.standard_normal(n), rng.uniform(1, 2, size=n)), ((4,), (1,)))
GRADIENT = Case("cubic/gradient", ("convexity",), "gradient", jax.grad(_cubic),
                lambda x, a: 3 * a * x**2, DRAW, ROUNDING, "power rule", _cubic)  # fmt: skip
JACOBIAN = Case("square/jacobian", ("convexity",), "jacobian", jax.jacobian(lambda x, a: a * x**2),
                lambda x, a: jnp.diag(2 * a * x), DRAW, ROUNDING, "power rule",
                lambda x, a: a * x**2, symmetric=True)  # fmt: skip
CUBIC_HESSIAN = Case(
    "cubic/hessian", ("convexity",), "hessian", jax.hessian(_cubic),
    lambda x, a: jnp.diag(6 * a * x), DRAW, HESSIAN, "power rule", _cubic,
)  # fmt: skip


@pytest.mark.parametrize("case", [GRADIENT, JACOBIAN, CUBIC_HESSIAN], ids=lambda c: c.kind)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_true_derivative_holds(case, dtype):
    verdict = run(case, dtype=dtype, key=KEY)
    assert verdict.passed, verdict.report()
    assert verdict.dtype == dtype
    if dtype == "float64":
        assert {"autodiff", "forward", "stencil", "adjoint", "jit", "repeat"} <= set(verdict.routes)


@pytest.mark.parametrize("bend", [
    lambda g: -g, lambda g: 0.5 * g, lambda g: (1 + 1e-6) * g, lambda g: g.at[0].set(0.0),
])  # fmt: skip
def test_wrong_hand_form_fails(bend):
    wrong = GRADIENT._replace(hand=lambda x, a: bend(3 * a * x**2))
    assert not run(wrong, dtype="float64", key=KEY).passed


def test_wrong_custom_rule_is_caught_by_the_referee():
    # Reverse mode, forward mode and the hand form share the mistake; only differences see it.
    @jax.custom_jvp
    def f(x):
        return jnp.sum(x**3)

    f.defjvp(lambda p, t: (f(*p), jnp.sum(2.0 * p[0] ** 2 * t[0])))
    draw = Domain(lambda rng, n: (rng.standard_normal(n),), ((4,),))
    case = Case("wrong", ("convexity",), "gradient", jax.grad(f), lambda x: 2.0 * x**2, draw,
                ROUNDING, "none", f)  # fmt: skip
    verdict = run(case, dtype="float64", key=KEY)
    assert [r.route for r in verdict.readings if not r.holds] == ["stencil"]


def test_small_leaf_does_not_hide_behind_a_large_one():
    def loss(p, _):
        return 1e6 * p["big"] ** 2 + 1e-6 * p["small"] ** 2

    draw = Domain(lambda rng: ({"big": rng.uniform(1, 2), "small": rng.uniform(1, 2)}, 0.0))

    def hand(p, _):
        return {"big": 2e6 * p["big"], "small": 2.001e-6 * p["small"]}

    case = Case("leaf", ("convexity",), "gradient", jax.grad(loss), hand, draw, ROUNDING, "-", loss)
    failed = {r.leaf for r in run(case, dtype="float64", key=KEY).readings if not r.holds}
    assert failed == {"['small']"}


def test_dtype_leak_fails_in_float32():
    case = Case("leak", ("convexity",), "identity", lambda x, a: x * np.float64(2.0) + jnp.zeros(1),
                lambda x, a: 2 * x, DRAW, ROUNDING, "-")  # fmt: skip
    assert run(case, dtype="float64", key=KEY).passed
    verdict = run(case, dtype="float32", key=KEY)
    assert [r.route for r in verdict.readings if not r.holds] == ["dtype"]


def test_nan_never_passes():
    case = GRADIENT._replace(hand=lambda x, a: 3 * a * x**2 * jnp.nan)
    assert not run(case, dtype="float64", key=KEY).passed


def test_shape_and_structure_mismatch_fail():
    for hand in (lambda x, a: (3 * a * x**2)[None], lambda x, a: (3 * a * x**2, x)):
        assert not run(GRADIENT._replace(hand=hand), dtype="float64", key=KEY).passed


def test_bound():
    case = Case("bound", ("convexity",), "bound", lambda x, a: -(x**2), lambda x, a: 0.0 * x, DRAW,
                EXACT, "-")  # fmt: skip
    assert run(case, dtype="float64", key=KEY).passed
    assert not run(case._replace(hand=lambda x, a: 0.0 * x - 9.0), dtype="float64", key=KEY).passed


def _mean_of(n):
    return lambda key: jax.random.normal(key, (n,)).mean()


@pytest.mark.parametrize(("mean", "se", "holds"), [
    (0.0, 0.02, True), (0.2, 0.02, False), (0.0, 0.0, False),
])  # fmt: skip
def test_statistic(mean, se, holds):
    def draw(key, dtype):
        return (key,)

    def hand(key):
        return Expected(jnp.asarray(mean), jnp.asarray(se))

    case = Case("mean", ("sgd",), "statistic", _mean_of(2500), hand, draw, STANDARD_ERRORS, "-")
    assert run(case, dtype="float64", key=KEY).passed is holds


def test_library_that_differs_under_vmap_or_eagerly_is_caught():
    def moody(x, a):
        return x * (1.0 if isinstance(x, jax.core.Tracer) else 1.001)

    case = Case("moody", ("convexity",), "identity", moody, lambda x, a: x, DRAW, ROUNDING, "-")
    failed = {r.route for r in run(case, dtype="float64", key=KEY).readings if not r.holds}
    assert failed == {"eager"}


def test_keyword_arguments_and_same_key_same_verdict():
    draw = Domain(lambda rng, n: point(rng.standard_normal(n), scale=2.0), ((3,),))
    case = Case("kw", ("convexity",), "identity", lambda x, scale: x * scale,
                lambda x, scale: scale * x, draw, EXACT, "-")  # fmt: skip
    first, second = (run(case, dtype="float64", key=KEY) for _ in range(2))
    assert first.passed
    assert first.readings == second.readings


def test_x64_setting_is_left_alone():
    before = jax.config.jax_enable_x64
    run(GRADIENT, dtype="float64", key=KEY)
    assert jax.config.jax_enable_x64 == before
    with jax.enable_x64(False):
        assert run(GRADIENT, dtype="float64", key=KEY).passed
        assert jnp.zeros(1).dtype == jnp.float32


@pytest.mark.parametrize(("a", "b", "error"), [
    ([3.0, 4.0], [3.0, 4.0], 0.0),
    ([3.0, 4.0], [3.0, 4.5], 0.5 / np.hypot(3.0, 4.5)),
    ([0.0, 0.0], [0.0, 0.0], 0.0),
    ([np.inf, 1.0], [np.inf, 1.0], 0.0),
    ([1e200, 0.0], [1e200, 1e190], 1e-10),
    ([1e-200, 0.0], [2e-200, 0.0], 0.5),
])  # fmt: skip
def test_distance(a, b, error):
    assert distance(np.array(a), np.array(b), ROUNDING) == pytest.approx(error, rel=1e-12, abs=0)


def test_distance_by_entry_and_with_a_scale():
    a, b = np.array([1.0, 1e-20]), np.array([1.0, 2e-20])
    assert distance(a, b, ROUNDING) < 1e-12
    assert distance(a, b, ELEMENTWISE) == pytest.approx(0.5)
    assert distance(a, b, Tolerance(1, 1, "", scale=1.0, norm="entry")) == pytest.approx(1e-20)
    assert np.isnan(distance(np.array([np.nan]), np.array([np.nan]), ROUNDING))
    assert distance(np.array([1, 2]), np.array([1, 3]), ROUNDING) == np.inf


def test_stencil_is_of_fourth_order():
    x = jnp.array([0.3, -2.0, 5.0])
    # exact for polynomials of degree 4
    got = stencil(lambda x: x**4, x)[0]
    np.testing.assert_allclose(got, jnp.diag(4 * x**3), rtol=1e-10, atol=1e-8)
    got = stencil(lambda t: {"s": jnp.sin(t["x"]).sum()}, {"x": x})[0]
    np.testing.assert_allclose(got, jnp.cos(x), rtol=0, atol=1e-11)


def test_verdict_without_readings_does_not_pass():
    assert not Verdict("empty", "float64", ()).passed
    assert not Reading("autodiff", "", float("nan"), 1.0).holds


def test_domains():
    rng = np.random.default_rng(0)
    assert np.abs(away_from(rng.standard_normal(1000), (0.0, 1.0))).min() >= 0.05
    assert set(labels(rng, 3, 3)) == {0, 1, 2}
    assert set(signs(rng, 2)) == {-1.0, 1.0}
    one, other = DRAW(KEY, jnp.float64), DRAW(KEY, jnp.float32)
    assert one[0].shape == (4,)
    np.testing.assert_array_equal(np.float32(one[0]), other[0])
