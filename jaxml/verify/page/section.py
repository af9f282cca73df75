"""The section of a topic: statement, equations, figure, and the errors of its cases."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from jaxml.verify.page import sources
from jaxml.verify.page.formulas import FORMULAS
from jaxml.verify.report import Result, details
from jaxml.verify.topics import TOPICS

__all__ = ["Drawn", "Page", "section", "state", "title"]

FUNCTION = re.compile(
    r"<m[io]>([A-Za-z]{2,})</m[io]>(<mo[^>]*>&#x00028;</mo>|<mrow><mo[^>]*>&#x00028;</mo>)?"
)


class Drawn(NamedTuple):
    """A figure as it goes into a page."""

    svgs: tuple[str, ...]
    caption: str
    error: str = ""  # why there is no figure


class Page(NamedTuple):
    """What a page is made of."""

    results: Sequence[Result]
    rows: Sequence[tuple[str, int, str, bool]]  # (topic, cases, worst, holds)
    figures: dict[str, Drawn]
    overview: str  # an SVG
    machine: dict[str, Any]
    pattern: str
    date: str
    seconds: float
    folder: Path  # where the page will lie
    base: str | None  # where links into the source lead; None: to this installation


def state(holds: bool, count: int) -> str:
    """Return whether a topic holds, as a word."""
    if not count:
        return '<span class="state bad">no case</span>'
    word, style = ("holds", "good") if holds else ("FAILS", "bad")
    return f'<span class="state {style}">{word}</span>'


def title(topic: str) -> str:
    """Return the name of a topic for people; its id where none was given."""
    return FORMULAS[topic][0] if topic in FORMULAS else topic


def section(topic: str, about: Page, row: tuple[str, int, str, bool]) -> str:
    """Return the section of a topic."""
    own = [result for result in about.results if topic in result.case.topics]
    _, count, _, holds = row
    files = " ".join(_link(about, s) for s in sources.modules([result.case for result in own]))
    return f"""<section class="topic" id="{topic}" aria-labelledby="{topic}-title">
<h3 id="{topic}-title">{escape(title(topic))} {state(holds, count)}</h3>
<p class="statement">{escape(_sentence(TOPICS.get(topic, "")))}</p>
{_formulas(topic)}{_figure(about.figures.get(topic))}
{_cases(own, about)}
<p class="sources">Source: {files}</p>
</section>
"""


def _sentence(text: str) -> str:
    """Begin with a capital, unless a formula begins the sentence."""
    word = re.match(r"(a|[a-z]{2,})(?! =)\b(?!')", text)
    return f"{text[:1].upper() if word else text[:1]}{text[1:]}."


def _formulas(topic: str) -> str:
    from latex2mathml.converter import convert  # noqa: PLC0415

    if topic not in FORMULAS:
        return ""
    items = [convert(text, display="block") for text in FORMULAS[topic][1]]
    # A named function keeps its distance from what stands beside it, but not from its parenthesis.
    items = [FUNCTION.sub(_spaced, item) for item in items]
    return f'<ul class="formulas">{"".join(f"<li>{item}</li>" for item in items)}</ul>\n'


def _spaced(match: re.Match[str]) -> str:
    after = "0" if match[2] else "0.17em"
    return f'<mo lspace="0.17em" rspace="{after}">{match[1]}</mo>{match[2] or ""}'


def _figure(drawn: Drawn | None) -> str:
    if drawn is None or drawn.error:
        return f'<p class="missing bad">No figure: {escape(drawn.error if drawn else "none")}</p>'
    svgs = "\n".join(drawn.svgs)
    caption = f"<figcaption>{escape(drawn.caption)}</figcaption>"
    return f'<figure><div class="panels n{len(drawn.svgs)}">{svgs}</div>\n{caption}</figure>'


def _link(about: Page, source: sources.Source | None) -> str:
    if source is None:
        return ""
    address = sources.link(source, about.folder, about.base)
    return f'<a href="{escape(address)}"><code>{escape(source.name)}</code></a>'


def _cases(own: Sequence[Result], about: Page) -> str:
    if not own:
        return '<p class="missing bad">No case.</p>'
    worst = max((result.worst for result in own), key=lambda reading: reading.severity)
    failed = [result for result in own if not result.passed]
    many = "1 case" if len(own) == 1 else f"{len(own)} cases"
    said = f"{len(failed)} of {many} fail" if failed else f"{many} hold"
    head = f"{said}; worst reading: {_number(worst.error)} of {_number(worst.tolerance)}"
    dtypes = list(dict.fromkeys(v.dtype for result in own for v in result.verdicts))
    columns = "".join(f'<th scope="col">{dtype}</th>' for dtype in dtypes)
    body = "\n".join(_case(result, dtypes, about) for result in own)
    return f"""<details{" open" if failed else ""}><summary>{escape(head)}</summary>
<table><thead><tr><th scope="col">case</th><th scope="col">kind</th>{columns}
<th scope="col">routes</th><th scope="col">derivation</th><th scope="col">source</th></tr></thead>
<tbody>
{body}
</tbody></table></details>"""


def _number(x: float) -> str:
    return f"{x:.2g}" if x == 0 or 1e-3 <= abs(x) < 1e3 else f"{x:.1e}"


def _case(result: Result, dtypes: Sequence[str], about: Page) -> str:
    case = result.case
    found = {v.dtype: v for v in result.verdicts}
    numbers = "".join(
        f'<td class="number" data-label="{d}">{_number(found[d].error)} '
        f'<span class="soft">of {_number(found[d].tolerance)}</span></td>'
        if d in found else f'<td data-label="{d}"></td>'
        for d in dtypes
    )  # fmt: skip
    routes = " ".join(dict.fromkeys(r for v in result.verdicts for r in v.routes))
    caught = ""
    if result.mutations is not None:
        count = sum(m.caught for m in result.mutations)
        caught = f"; {count} of {len(result.mutations)} mutants caught"
    places = dict.fromkeys(s for s in map(sources.place, (case.auto, case.hand)) if s is not None)
    links = "<br>".join(_link(about, source) for source in places)
    why = "" if result.passed else f"<pre>{escape(chr(10).join(details(result)))}</pre>"
    style = "" if result.passed else ' class="fails"'
    return f"""<tr{style}><th scope="row">{escape(case.name)}{why}</th>
<td data-label="kind">{escape(case.kind)}</td>{numbers}
<td data-label="routes">{escape(routes + caught)}</td>
<td data-label="derivation">{escape(case.ref)}</td>
<td class="source" data-label="source">{links}</td></tr>"""
