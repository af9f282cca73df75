"""One self-contained HTML page from what was run and what was drawn."""

from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from jaxml.verify.page import sources
from jaxml.verify.page.formulas import CHAPTERS, FORMULAS
from jaxml.verify.report import Result, details
from jaxml.verify.topics import TOPICS

__all__ = ["Drawn", "Page", "page"]

MEANING = (
    "An error is the distance of the library's answer from the one derived by hand, relative to "
    "their size; for a statistic it is the distance from the expectation in standard errors, for "
    "a bound the excess over it. Shown is the reading nearest to its tolerance, of all routes "
    "(reverse and forward mode, differences, jit, vmap, eager), draws and shapes; float32 "
    "answers are held against the hand form in float64."
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


def page(about: Page) -> str:
    """Return the page as HTML."""
    shown = {row[0]: row for row in about.rows}
    listed = {topic for topics in CHAPTERS.values() for topic in topics}
    chapters = {**CHAPTERS, "Other topics": tuple(t for t in shown if t not in listed)}
    chapters = {name: [t for t in topics if t in shown] for name, topics in chapters.items()}
    chapters = {name: topics for name, topics in chapters.items() if topics}
    style = resources.files("jaxml.verify.page").joinpath("style.css").read_text(encoding="utf-8")
    contents = "".join(_entries(name, topics, shown) for name, topics in chapters.items())
    body = "".join(
        f'<h2 id="{_anchor(name)}">{escape(name)}</h2>\n'
        + "".join(_topic(topic, about, shown[topic]) for topic in topics)
        for name, topics in chapters.items()
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>jaxml verify: {escape(_verdict(about))}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip the contents</a>
<div class="page">
{_header(about)}
<div class="body">
<nav aria-labelledby="contents"><h2 id="contents">Contents</h2>
{contents}</nav>
<main id="main">
{body}</main>
</div>
<footer><p>{escape(MEANING)}</p><p>Made by <code>{escape(_command(about))}</code>. All figures were
computed by jaxml when this page was made; it loads nothing and runs no script.</p></footer>
</div>
</body>
</html>
"""


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-").replace(",", "")


def _command(about: Page) -> str:
    pattern = f" {about.pattern}" if about.pattern else ""
    return f"jaxml verify{pattern} --report {about.folder.name}"


def _verdict(about: Page) -> str:
    held = sum(result.passed for result in about.results)
    return f"{held} of {len(about.results)} cases hold, {len(about.rows)} topics"


def _header(about: Page) -> str:
    failed = [result.case.name for result in about.results if not result.passed]
    without = [f"no case for {row[0]}" for row in about.rows if not row[1]]
    undrawn = [f"no figure for {topic}" for topic, f in about.figures.items() if f.error]
    wrong = [*(f"{name} fails" for name in failed), *without, *undrawn]
    listed = "".join(f"<li>{escape(text)}</li>" for text in wrong)
    trouble = f'<ul class="bad">{listed}</ul>' if wrong else ""
    versions = "".join(_fact(k, v) for k, v in about.machine["versions"].items())
    minutes, seconds = divmod(round(about.seconds), 60)
    took = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    when = f'<time datetime="{about.date}">{about.date[:16].replace("T", " ")} UTC, {took}</time>'
    only = f" Only what matches <code>{escape(about.pattern)}</code>." if about.pattern else ""
    return f"""<header>
<p class="kicker">jaxml {escape(about.machine["versions"]["jaxml"])}, verified</p>
<h1>Machine learning, derived by hand and checked</h1>
<p class="verdict {"bad" if wrong else "good"}">{escape(_verdict(about))}.</p>
{trouble}
<p>Every claim below was run on this machine: autodiff and fits on one side, a derivation made by
hand on the other.{only}</p>
<dl class="facts"><div><dt>run</dt><dd>{when}</dd></div>{versions}
{_fact("devices", ", ".join(about.machine["devices"]))}{_fact("on", about.machine["platform"])}</dl>
<figure class="overview"><div class="panels">{about.overview}</div>
<figcaption>Each mark is a case: the distance of its worst reading from the tolerance, which is the
line at 1; exact agreement lies at the left edge.</figcaption></figure>
</header>"""


def _fact(name: str, value: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"


def _state(holds: bool, count: int) -> str:
    if not count:
        return '<span class="state bad">no case</span>'
    word, style = ("holds", "good") if holds else ("FAILS", "bad")
    return f'<span class="state {style}">{word}</span>'


def _entries(chapter: str, topics: Sequence[str], shown: dict[str, tuple]) -> str:
    items = []
    for topic in topics:
        _, count, _, holds = shown[topic]
        mark = "" if holds else f" {_state(holds, count)}"
        items.append(f'<li><a href="#{topic}">{escape(_title(topic))}</a>{mark}</li>')
    return f"<h3>{escape(chapter)}</h3><ul>{''.join(items)}</ul>\n"


def _title(topic: str) -> str:
    return FORMULAS[topic][0] if topic in FORMULAS else topic


def _topic(topic: str, about: Page, row: tuple[str, int, str, bool]) -> str:
    own = [result for result in about.results if topic in result.case.topics]
    _, count, _, holds = row
    files = " ".join(_link(about, s) for s in sources.modules([result.case for result in own]))
    return f"""<section class="topic" id="{topic}" aria-labelledby="{topic}-title">
<h3 id="{topic}-title">{escape(_title(topic))} {_state(holds, count)}</h3>
<p class="statement">{escape(TOPICS.get(topic, ""))}.</p>
{_formulas(topic)}{_figure(about.figures.get(topic))}
{_cases(own, about)}
<p class="sources">Source: {files}</p>
</section>
"""


def _formulas(topic: str) -> str:
    from latex2mathml.converter import convert  # noqa: PLC0415

    if topic not in FORMULAS:
        return ""
    items = "".join(f"<li>{convert(text, display='block')}</li>" for text in FORMULAS[topic][1])
    return f'<ul class="formulas">{items}</ul>\n'


def _figure(drawn: Drawn | None) -> str:
    if drawn is None or drawn.error:
        return f'<p class="missing bad">No figure: {escape(drawn.error if drawn else "none")}</p>'
    svgs = "\n".join(drawn.svgs)
    caption = f"<figcaption>{escape(drawn.caption)}</figcaption>"
    return f'<figure><div class="panels">{svgs}</div>\n{caption}</figure>'


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
    head = f"{said}; nearest to its tolerance: {_number(worst.error)} of {_number(worst.tolerance)}"
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
    return f"{x:.2g}" if x == 0 or 1e-3 <= abs(x) < 1e3 or x != x else f"{x:.1e}"


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
<td data-label="derivation">{escape(case.ref)}</td><td data-label="source">{links}</td></tr>"""
