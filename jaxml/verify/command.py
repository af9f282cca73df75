"""The verb ``jaxml verify``: which cases, how deep, and what to say of them.

Every case is run, a line each; then come the topics, if asked for, and a summary. All of it can be
written down as JSON, and as a page with equations and figures.
"""

import argparse
import json
import os
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jaxml.verify import report
from jaxml.verify.registry import select
from jaxml.verify.topics import TOPICS

__all__ = ["DEFAULTS", "FAILS", "HOLDS", "arguments", "run"]

HOLDS, FAILS = 0, 1
DEFAULTS = {"pattern": "", "dtype": "all", "draws": 3, "seed": 0, "mutate": False}
DTYPES = {"all": ("float64", "float32"), "float64": ("float64",), "float32": ("float32",)}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what may be said of a verification to the parser."""
    parser.add_argument("pattern", nargs="?", help="part of a case's name, a glob, or a topic")
    parser.add_argument("--dtype", choices=tuple(DTYPES), help="default: all")
    parser.add_argument("--topics", action="store_true", help="print the evidence per topic")
    parser.add_argument(
        "--mutate",
        action="store_true",
        default=None,
        help="bend each hand form; all must be caught",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every reading to FILE")
    parser.add_argument(
        "--report",
        metavar="DIR",
        type=Path,
        help="write DIR/index.html: equations, figures, errors",
    )
    parser.add_argument(
        "--source", metavar="URL", help="where a report's links to jaxml/... lead; default: here"
    )
    parser.add_argument("--list", action="store_true", help="list the cases and run none")
    parser.add_argument("--config", metavar="FILE", type=Path, help="TOML with a [verify] table")


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Defaults, then the config file, then the command line."""
    chosen = dict(DEFAULTS)
    if options.config is not None:
        try:
            table = tomllib.loads(options.config.read_text(encoding="utf-8")).get("verify", {})
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"cannot read {options.config}: {error}") from error
        for name, value in table.items():
            if name not in DEFAULTS or type(value) is not type(DEFAULTS[name]):
                want = ", ".join(f"{k} ({type(v).__name__})" for k, v in DEFAULTS.items())
                raise ValueError(f"{options.config}: expected {want}: got {name} = {value!r}")
        chosen |= table
    chosen |= {k: v for k in DEFAULTS if (v := getattr(options, k, None)) is not None}
    if chosen["dtype"] not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}: got {chosen['dtype']!r}")
    if chosen["draws"] < 1:
        raise ValueError(f"draws must be >= 1: got {chosen['draws']}")
    return chosen


def run(options: argparse.Namespace, console: Console) -> int:
    """Verify as the options say, and return the exit code.

    Raises:
      ValueError: The options or the configuration ask for what there is not.
    """
    chosen = _settings(options)
    cases = select(chosen["pattern"])
    if not cases:
        raise ValueError(f"no case matches {chosen['pattern']!r}; see jaxml verify --list")
    if options.source is not None and options.report is None:
        raise ValueError("--source is for the links of a report: give --report DIR, too")
    if options.list and options.report is not None:
        raise ValueError("--list runs no case, so there is nothing to report")
    if options.list:
        for case in cases:
            console.print(
                f"{case.name:<50} {case.kind:<10} {' '.join(case.topics)}", soft_wrap=True
            )
        return HOLDS
    if options.report is not None:
        from jaxml.verify import page  # noqa: PLC0415, only a report needs its figures

        page.prepare(options.report)
    start, key = time.perf_counter(), jax.random.key(chosen["seed"])
    results: list[report.Result] = []

    def examine(case: Any) -> report.Result:
        return report.examine(
            case, dtypes=DTYPES[chosen["dtype"]], key=key, draws=chosen["draws"],
            mutation=chosen["mutate"],
        )  # fmt: skip

    # Compiling releases the interpreter, so that two cases at a time use two cores.
    with (
        _bar("verifying", console) as bar,
        ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool,
    ):
        task = bar.add_task("", total=len(cases))
        for result in pool.map(examine, cases):
            results.append(result)
            style = "" if result.passed else "red"
            bar.console.print(report.line(result), style=style, soft_wrap=True, markup=False)
            bar.advance(task)
    rows = report.topic_rows(results, all_topics=not chosen["pattern"])
    if options.topics:
        console.print("\ntopic                    cases  worst/tolerance  claim")
        for topic, count, worst, holds in rows:
            text = f"{topic:<24} {count:>5}  {worst:<15}  {TOPICS[topic]}"
            console.print(text, style="" if holds else "red", soft_wrap=True)
        console.print()
    seconds = time.perf_counter() - start
    if options.json is not None:
        text = json.dumps(report.as_json(results, rows, seconds), indent=1, allow_nan=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    code = _summary(results, rows, seconds, console)
    if options.report is None:
        return code
    return max(code, _report(options, chosen["pattern"], results, rows, start, console))


def _bar(doing: str, console: Console) -> Progress:
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _report(
    options: argparse.Namespace, pattern: str, results: Sequence[report.Result],
    rows: Sequence[tuple], start: float, console: Console,
) -> int:  # fmt: skip
    from jaxml.verify import page  # noqa: PLC0415

    if pattern in TOPICS:  # its cases may speak of other topics, but not for all of them
        rows = [row for row in rows if row[0] == pattern]
    drawn = {}
    with _bar("drawing", console) as bar:
        task = bar.add_task("", total=len(rows))
        for topic, figure in page.figures([row[0] for row in rows]):
            drawn[topic] = figure
            if figure.error:
                text = f"no figure for {topic}: {figure.error}"
                bar.console.print(text, style="red", soft_wrap=True, markup=False)
            bar.advance(task)
    path = page.write(
        options.report, results, rows, drawn,
        seconds=time.perf_counter() - start, pattern=pattern, base=options.source,
    )  # fmt: skip
    console.print(f"report: {path}", soft_wrap=True, markup=False)
    return FAILS if any(figure.error for figure in drawn.values()) else HOLDS


def _summary(
    results: Sequence[report.Result], rows: Sequence[tuple], seconds: float, console: Console
) -> int:
    failed = [r.case.name for r in results if not r.passed]
    without = [row[0] for row in rows if row[1] == 0]
    about = report.machine()
    versions = "  ".join(f"{k} {v}" for k, v in about["versions"].items())
    console.print(f"{versions}\ndevices: {', '.join(about['devices'])}", soft_wrap=True)
    if any(r.mutations is not None for r in results):
        mutations = [m for r in results for m in r.mutations or ()]
        console.print(f"mutants: {sum(m.caught for m in mutations)} of {len(mutations)} caught")
    for topic in without:
        console.print(f"topic without a case: {topic}", style="red")
    for name in failed:
        console.print(f"failed: {name}", style="red", soft_wrap=True)
    count = f"{len(results) - len(failed)} of {len(results)} cases hold"
    console.print(f"{count}, {len(rows)} topics, {seconds:.0f} s")
    return FAILS if failed or without else HOLDS
