"""The page that ``jaxml verify --report DIR`` writes: every topic, its equations, figure, errors.

prepare   checks, before minutes are spent, that a page can be made and written
draw      one figure
write     the page, at once or not at all
"""

import os
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import jax

from jaxml.verify.page import canvas
from jaxml.verify.page.document import Drawn, Page, page
from jaxml.verify.page.figures import FIGURES
from jaxml.verify.page.figures.overview import overview
from jaxml.verify.report import Result, machine

__all__ = ["Drawn", "draw", "figures", "prepare", "write"]

NAME = "index.html"


def prepare(folder: Path) -> None:
    """Make the folder; raise before anything is run if no page can be written there.

    Raises:
      ValueError: The extra ``plot`` is missing, or the folder cannot be made or written to.
    """
    try:
        canvas.require()
    except ImportError as error:
        raise ValueError(str(error)) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        if (folder / NAME).is_dir():
            raise IsADirectoryError(f"{folder / NAME} is a folder")
    except OSError as error:
        raise ValueError(f"cannot write a report to {folder}: {error}") from error


def draw(topic: str) -> Drawn:
    """Return the figure of a topic; what goes wrong is said in its place, and fails the report."""
    if topic not in FIGURES:
        return Drawn((), "", "this topic has none")
    figure = FIGURES[topic]
    try:
        with jax.enable_x64(True):  # this thread only
            panels = canvas.panels(len(figure.alts), height=figure.height)
            caption = figure.draw(*panels)
        pairs = enumerate(zip(panels, figure.alts, strict=True))
        svgs = tuple(canvas.svg(ax, name=f"{topic}-{i}", alt=alt) for i, (ax, alt) in pairs)
    except Exception as error:  # one broken figure must not cost the page
        return Drawn((), "", f"{type(error).__name__}: {error}")
    return Drawn(svgs, caption)


def figures(topics: Sequence[str]) -> Iterable[tuple[str, Drawn]]:
    """Yield (topic, figure) in order; two are computed at a time, since compiling is the cost."""
    with canvas.style(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        yield from zip(topics, pool.map(draw, topics), strict=True)


def write(
    folder: Path,
    results: Sequence[Result],
    rows: Sequence[tuple[str, int, str, bool]],
    drawn: dict[str, Drawn],
    *,
    seconds: float,
    pattern: str = "",
    base: str | None = None,
) -> Path:
    """Write the page and return its path; readers see the old page or the new one, never half.

    Args:
      folder: Made by prepare.
      results: What was run.
      rows: From report.topic_rows: the topics to show.
      drawn: Their figures.
      seconds: How long it took.
      pattern: What was asked for; "" for everything.
      base: An address under which jaxml/ lies; None links to this installation, from folder.

    Raises:
      ValueError: The page cannot be written.
    """
    with canvas.style():
        margins = overview(results)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    about = Page(results, rows, drawn, margins, machine(), pattern, date, seconds, folder, base)
    text = page(about)
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=".index-", suffix=".html")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            os.chmod(name, 0o644)  # mkstemp keeps others out; a page is for reading
            os.replace(name, folder / NAME)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise ValueError(f"cannot write a report to {folder}: {error}") from error
    return folder / NAME
