"""The tables: well-formed, selectable, and complete over the topics."""

import pytest

from jaxml.verify import TOPICS, all_cases, by_topic, select
from jaxml.verify.registry import check_table

GOOD = next(case for case in all_cases() if case.kind == "gradient")


def test_every_topic_has_a_case():
    assert [topic for topic, cases in by_topic(all_cases()).items() if not cases] == []


def test_names_hold_a_claim_and_are_unique():
    names = [case.name for case in all_cases()]
    assert len(set(names)) == len(names)
    assert all(name.count("/") >= 1 for name in names)


def test_tolerances_of_derivatives_are_as_tight_as_promised():
    for case in all_cases():
        if case.kind in ("gradient", "hessian"):
            assert case.tol.float64 <= (1e-9 if case.kind == "hessian" else 1e-10), case.name
        assert case.tol.reason, case.name


def test_select():
    assert select() == all_cases()
    assert [c.name for c in select("losses.huber/gradient")] == [
        "losses.huber/gradient", "losses.huber/gradient@kink",
    ]  # fmt: skip
    assert [c.name for c in select("losses.hub*/cur*")] == ["losses.huber/curvature"]
    assert all("softmax" in c.topics or "softmax" in c.name for c in select("softmax"))
    assert select("no such case") == ()
    assert set(TOPICS) >= {topic for c in select("class-weight") for topic in c.topics}


@pytest.mark.parametrize(("change", "match"), [
    ({"kind": "guess"}, "kind"), ({"topics": ("alchemy",)}, "topics"), ({"topics": ()}, "topics"),
    ({"name": "two words"}, "one word"), ({"value": None}, "referee"), ({"ref": ""}, "ref"),
    ({"kind": "bound"}, "mutants"),
])  # fmt: skip
def test_malformed_cases_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        check_table([GOOD._replace(**{"mutants": (), **change})])


def test_two_cases_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two cases"):
        check_table([GOOD, GOOD])
