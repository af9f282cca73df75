"""The ``jaxml`` command: verify the derivations, train a network, or describe this installation.

jaxml verify [PATTERN] [--dtype float32|float64|all] [--topics] [--mutate] [--json FILE]
             [--report DIR [--source URL]] [--list]
jaxml train CONFIG [--out DIR] [--resume | --overwrite]
jaxml info
"""

import argparse
import json
import os
import sys
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jaxml import training
from jaxml.training.progress import shown
from jaxml.verify import TOPICS, report, select
from jaxml.verify.canaries import CANARIES

__all__ = ["main"]

HOLDS, FAILS, MISUSED, INTERRUPTED = 0, 1, 2, 130
DEFAULTS = {"pattern": "", "dtype": "all", "draws": 3, "seed": 0, "mutate": False}
DTYPES = {"all": ("float64", "float32"), "float64": ("float64",), "float32": ("float32",)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jaxml", description="Machine learning in JAX, verified by hand."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="compare autodiff with derivations made by hand")
    verify.add_argument("pattern", nargs="?", help="part of a case's name, a glob, or a topic")
    verify.add_argument("--dtype", choices=tuple(DTYPES), help="default: all")
    verify.add_argument("--topics", action="store_true", help="print the evidence per topic")
    verify.add_argument(
        "--mutate",
        action="store_true",
        default=None,
        help="bend each hand form; all must be caught",
    )
    verify.add_argument("--json", metavar="FILE", type=Path, help="write every reading to FILE")
    verify.add_argument(
        "--report",
        metavar="DIR",
        type=Path,
        help="write DIR/index.html: equations, figures, errors",
    )
    verify.add_argument(
        "--source", metavar="URL", help="where a report's links to jaxml/... lead; default: here"
    )
    verify.add_argument("--list", action="store_true", help="list the cases and run none")
    verify.add_argument("--config", metavar="FILE", type=Path, help="TOML with a [verify] table")
    train = commands.add_parser("train", help="train a network as a configuration says")
    train.add_argument("config", metavar="CONFIG", type=Path, help="TOML; see configs/train_*.toml")
    train.add_argument("--out", metavar="DIR", type=Path, help="default: runs/NAME of the CONFIG")
    begin = train.add_mutually_exclusive_group()
    begin.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR")
    begin.add_argument("--overwrite", action="store_true", help="begin anew where DIR holds a run")
    commands.add_parser("info", help="versions, devices, precision, and checks of known defects")
    return parser


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


def _verify(options: argparse.Namespace, console: Console) -> int:
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

    columns = (TextColumn("verifying"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # Compiling releases the interpreter, so that two cases at a time use two cores.
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
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


def _report(
    options: argparse.Namespace, pattern: str, results: Sequence[report.Result],
    rows: Sequence[tuple], start: float, console: Console,
) -> int:  # fmt: skip
    from jaxml.verify import page  # noqa: PLC0415

    if pattern in TOPICS:  # its cases may speak of other topics, but not for all of them
        rows = [row for row in rows if row[0] == pattern]
    drawn = {}
    columns = (TextColumn("drawing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
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


def _train(options: argparse.Namespace, console: Console) -> int:
    config = training.load(options.config)
    folder = options.out or Path("runs") / options.config.stem
    with shown(console, steps=config.train.steps) as watch:
        end = training.run(
            config, folder, resume=options.resume, overwrite=options.overwrite, watch=watch
        )
    if not end.finished:
        console.print(f"stopped after step {end.step}; go on with --resume", soft_wrap=True)
        return INTERRUPTED
    if end.sample is not None:
        console.print(f"\n{end.sample}\n", soft_wrap=True, markup=False)
    for name, value in end.metrics.items():
        console.print(f"{name:<18} {value:.4f}")
    skipped = f", {end.skipped} skipped" if end.skipped else ""
    console.print(
        f"{end.step} steps{skipped}, {end.seconds:.0f} s; written to {folder}", soft_wrap=True
    )
    try:
        records = training.metrics.read(folder / "metrics.jsonl")
        training.picture.draw(records, folder / "loss.png", title=options.config.stem)
    except ImportError as error:
        console.print(f"no loss.png: {error}", soft_wrap=True, markup=False)
    return HOLDS


def _info(console: Console) -> int:
    about = report.machine()
    for name, version in about["versions"].items():
        console.print(f"{name:<18} {version}")
    for name in ("platform", "default_dtype", "x64", "matmul_precision"):
        console.print(f"{name.replace('_', ' '):<18} {about[name]}")
    for device in about["devices"]:
        console.print(f"{'device':<18} {device}")
    healthy = True
    for name, check in CANARIES.items():
        right = check()
        healthy &= right
        console.print(f"{name:<18} {'right' if right else 'WRONG: do not trust this version'}")
    return HOLDS if healthy else FAILS


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 if all holds, 1 if not, 2 for misuse."""
    options = _parser().parse_args(argv)
    console = Console(highlight=False)
    if options.command == "info":
        return _info(console)
    try:
        if options.command == "train":
            return _train(options, console)
        with jax.enable_x64(True):  # this command only: the caller's setting stays as it is
            return _verify(options, console)
    except training.TrainingError as error:
        print(f"jaxml: {error}", file=sys.stderr)
        return FAILS
    except (ValueError, OSError) as error:
        print(f"jaxml: {error}", file=sys.stderr)
        return MISUSED
