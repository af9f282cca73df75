"""The registry: every CASES and SPECIAL table of the modules in ``jaxml.verify.cases``."""

import fnmatch
import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache

from jaxml.verify.case import DERIVATIVES, KINDS, Case
from jaxml.verify.topics import TOPICS

__all__ = ["all_cases", "by_topic", "check_table", "select"]


@cache
def all_cases() -> tuple[Case, ...]:
    """Return every case, module by module in alphabetical order.

    Raises:
      ValueError: A case is malformed; the text names it.
    """
    from jaxml.verify import cases  # noqa: PLC0415, importing the tables imports every model

    found: list[Case] = []
    for module in sorted(pkgutil.iter_modules(cases.__path__), key=lambda m: m.name):
        table = importlib.import_module(f"{cases.__name__}.{module.name}")
        found += [*getattr(table, "CASES", ()), *getattr(table, "SPECIAL", ())]
    return check_table(found)


def check_table(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Return the cases, or raise ValueError naming the first that is malformed."""
    cases, seen = tuple(cases), set()
    for case in cases:
        if case.name in seen:
            raise ValueError(f"two cases are named {case.name}")
        seen.add(case.name)
        if len(case.name.split()) != 1:
            raise ValueError(f"a case's name is one word: got {case.name!r}")
        if case.kind not in KINDS:
            raise ValueError(
                f"{case.name}: kind must be one of {', '.join(KINDS)}: got {case.kind!r}"
            )
        unknown = [topic for topic in case.topics if topic not in TOPICS]
        if unknown or not case.topics:
            raise ValueError(
                f"{case.name}: topics must be ids of jaxml.verify.topics: got {case.topics}"
            )
        if case.kind in DERIVATIVES and case.value is None:
            raise ValueError(f"{case.name}: a {case.kind} needs value, for the numeric referee")
        if case.kind in ("bound", "statistic") and not case.mutants:
            raise ValueError(
                f"{case.name}: a {case.kind} needs mutants, or nothing shows it can fail"
            )
        if not case.ref:
            raise ValueError(f"{case.name}: ref must say where the derivation is from")
    return cases


def select(pattern: str | None = None) -> tuple[Case, ...]:
    """Return the cases whose name holds or matches (as a glob) the pattern, or with that topic.

    Example:
      >>> [case.name for case in select("losses.squared/gradient")]
      ['losses.squared/gradient']
    """
    if not pattern:
        return all_cases()
    glob = any(c in pattern for c in "*?[")
    return tuple(
        case
        for case in all_cases()
        if pattern in case.topics
        or (fnmatch.fnmatchcase(case.name, pattern) if glob else pattern in case.name)
    )


def by_topic(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """Return the cases of every listed topic; a topic without evidence has an empty list."""
    table: dict[str, list[Case]] = {topic: [] for topic in TOPICS}
    for case in cases:
        for topic in case.topics:
            table[topic].append(case)
    return table
