"""Every generic mutant is caught, and a case that cannot fail is told."""

import jax
import jax.numpy as jnp
import pytest

from jaxml.verify import ROUNDING, Case, Tolerance, mutants, mutate, run, select
from jaxml.verify.domains import Domain
from jaxml.verify.report import examine

KEY = jax.random.key(5)
DRAW = Domain(lambda rng, n: (rng.standard_normal((n, n)), rng.standard_normal(n)), ((3,), (2,)))
LINEAR = Case(
    "Ax/jacobian", ("convexity",), "jacobian", jax.jacobian(lambda A, x: A @ x, argnums=1),
    lambda A, x: A, DRAW, ROUNDING, "definition",
)  # fmt: skip


def _names(found):
    return {m.name for m in found}


def test_generic_mutants_of_a_square_jacobian_are_all_caught():
    found = mutate(LINEAR, key=KEY)
    assert {
        "sign",
        "half",
        "factor 1+1e-3",
        "leaf 0 one entry zeroed",
        "leaf 0 transposed",
    } <= _names(found)
    assert all(m.caught for m in found), found


def test_mutants_as_cases_fail_one_by_one():
    for wrong in mutants(LINEAR):
        assert not run(wrong, dtype="float64", key=KEY).passed, wrong.name


def test_symmetric_results_have_no_transposed_mutant():
    symmetric = LINEAR._replace(
        auto=lambda A, x: A + A.T, hand=lambda A, x: A.T + A, kind="identity", symmetric=True
    )
    assert not any("transposed" in m.name for m in mutants(symmetric))
    assert not any("transposed" in name for name in _names(mutate(symmetric, key=KEY)))


def test_a_sign_on_zeros_is_no_mutant_but_an_offset_is():
    zero = LINEAR._replace(
        kind="identity", auto=lambda A, x: 0.0 * x, hand=lambda A, x: 0.0 * x,
        tol=Tolerance(1e-12, 1e-5, "", scale=1.0),
    )  # fmt: skip
    found = mutate(zero, key=KEY)
    assert _names(found) == {"leaf 0 offset"}
    assert found[0].caught


def test_a_case_that_cannot_fail_is_detected():
    lax = LINEAR._replace(tol=Tolerance(1e9, 1e9, "too wide", stencil=1e9))
    assert run(lax, dtype="float64", key=KEY).passed
    assert not all(m.caught for m in mutate(lax, key=KEY))
    assert not examine(lax, dtypes=("float64",), key=KEY, mutation=True).passed


def test_a_case_without_any_mutant_does_not_pass_under_mutation():
    bound = LINEAR._replace(kind="bound", auto=lambda A, x: -(x**2), hand=lambda A, x: 0.0 * x)
    assert mutate(bound, key=KEY) == []
    assert examine(bound, dtypes=("float64",), key=KEY).passed
    assert not examine(bound, dtypes=("float64",), key=KEY, mutation=True).passed


def test_stated_mutants_are_tried_under_their_names():
    def too_low(A, x):
        return 0.0 * x - 100.0

    bound = LINEAR._replace(
        kind="bound", auto=lambda A, x: -(x**2), hand=lambda A, x: 0.0 * x, mutants=(too_low,)
    )
    found = mutate(bound, key=KEY)
    assert [(m.name, m.caught) for m in found] == [("too_low", True)]
    assert [m.name for m in mutants(bound)] == ["Ax/jacobian ~ too_low"]


def test_integer_leaves_are_bent_by_one():
    counted = LINEAR._replace(
        kind="identity", auto=lambda A, x: jnp.argmax(x), hand=lambda A, x: jnp.argmax(x)
    )
    found = mutate(counted, key=KEY)
    assert "leaf 0 off by one" in _names(found)
    assert all(m.caught for m in found if m.name == "leaf 0 off by one")


@pytest.mark.parametrize("name", ["losses.huber/gradient", "penalties.prox_l1/value"])
def test_representative_cases_of_the_registry(name):
    case = next(c for c in select(name) if c.name == name)
    found = mutate(case, key=KEY)
    assert len(found) >= 5
    assert all(m.caught for m in found), found
