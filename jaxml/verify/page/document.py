"""One self-contained HTML page from what was run and what was drawn."""

from collections.abc import Sequence
from html import escape
from importlib import resources

from jaxml.verify.page.formulas import CHAPTERS
from jaxml.verify.page.section import Drawn, Page, section, state, title

__all__ = ["Drawn", "Page", "page"]

MEANING = (
    "An error is the distance of the library's answer from the one derived by hand, relative to "
    "their size; for a statistic it is the distance from the expectation in standard errors, for "
    "a bound the excess over it. Shown is the reading nearest to its tolerance, of all routes "
    "(reverse and forward mode, differences, jit, vmap, eager), draws and shapes; float32 "
    "answers are held against the hand form in float64."
)


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
        + "".join(section(topic, about, shown[topic]) for topic in topics)
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
    topics = "1 topic" if len(about.rows) == 1 else f"{len(about.rows)} topics"
    return f"{held} of {len(about.results)} cases hold, {topics}"


def _header(about: Page) -> str:
    failed = [result.case for result in about.results if not result.passed]
    wrong = [
        *(
            (f"fails: {c.name}", next(row[0] for row in about.rows if row[0] in c.topics))
            for c in failed
        ),
        *((f"no case: {row[0]}", row[0]) for row in about.rows if not row[1]),
        *((f"no figure: {topic}", topic) for topic, f in about.figures.items() if f.error),
    ]
    listed = "".join(f'<li><a href="#{topic}">{escape(text)}</a></li>' for text, topic in wrong)
    trouble = f'<ul class="trouble">{listed}</ul>' if wrong else ""
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


def _entries(chapter: str, topics: Sequence[str], shown: dict[str, tuple]) -> str:
    items = []
    for topic in topics:
        _, count, _, holds = shown[topic]
        mark = "" if holds else f" {state(holds, count)}"
        items.append(f'<li><a href="#{topic}">{escape(title(topic))}</a>{mark}</li>')
    return f"<h3>{escape(chapter)}</h3><ul>{''.join(items)}</ul>\n"
