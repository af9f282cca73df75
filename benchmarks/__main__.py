"""``python -m benchmarks CONFIG [--only PATTERN] [--json FILE] [--plot FILE]``.

Each dtype runs in a process of its own, float64 with ``jax_enable_x64`` and float32 without. Exit
status 0: every row was measured, whatever the ratios; 1: a row failed; 2: the call is wrong.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import imports, limits, report
from benchmarks.config import DTYPES, Config, ConfigError, load
from benchmarks.worker import selected

SCHEMA = 1  # of the JSON file


def environment(dtype: str, config: Config) -> dict[str, str]:
    """Return a worker's environment: x64 mode, platform, all cores for BLAS, no compile cache."""
    env = os.environ | config.environment
    if config.platform is not None:
        env["JAX_PLATFORMS"] = config.platform
    env["JAX_ENABLE_X64"] = "1" if dtype == "float64" else "0"
    env["JAX_ENABLE_COMPILATION_CACHE"] = "0"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        env[name] = str(limits.cores())
    return env


def run(args: argparse.Namespace, config: Config, progress: Progress) -> dict[str, Any]:
    """Run all workers, one after the other, and collect their events."""
    cases = selected(config.cases, args.only)
    count = sum(len(case.dtypes) for case in cases)
    wanted = config.imports if args.only is None else None
    result: dict[str, Any] = {
        "schema": SCHEMA, "config": Path(args.config).name,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "load": limits.load(), "machine": None, "limits": {}, "rows": [], "imports": None,
        "failed": False,
    }  # fmt: skip
    repeats = wanted[0] if wanted else 0
    task = progress.add_task("import time", total=repeats + count)
    if wanted:
        result["imports"] = imports.measure(*wanted, tick=lambda: progress.advance(task))
    for dtype in DTYPES:
        if not any(dtype in case.dtypes for case in cases):
            continue
        command = [sys.executable, "-m", "benchmarks.worker", args.config, dtype]
        command += ["--only", args.only] if args.only else []
        name = ""
        with subprocess.Popen(
            command, env=environment(dtype, config), stdout=subprocess.PIPE, text=True
        ) as worker:
            for line in worker.stdout or ():
                event = json.loads(line)
                kind = event.pop("event")
                if kind == "machine":
                    result["machine"] = event
                elif kind == "limits":
                    result["limits"][event.pop("dtype")] = event
                elif kind == "begin":
                    name = event["name"]
                elif kind == "row":
                    result["rows"].append(event)
                    progress.advance(task)
                stage = event.get("text", "")
                progress.update(task, description=" ".join(filter(None, (dtype, name, stage))))
        result["failed"] |= worker.returncode != 0
    result["rows"].sort(key=lambda row: [case.name for case in config.cases].index(row["name"]))
    return result


def main() -> int:
    """Parse the command line, run, and report; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("config", help="a TOML file, such as configs/bench_cpu.toml")
    parser.add_argument(
        "--only", metavar="PATTERN", help="cases whose name holds this text or glob"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the result here")
    parser.add_argument(
        "--plot", metavar="FILE", type=Path, help="draw the ratios here (.png, .svg)"
    )
    args = parser.parse_args()
    console = Console()
    try:
        config = load(args.config)
        if args.plot:
            report.pyplot()  # a missing extra is told now, not after the run
    except (ConfigError, ImportError) as error:
        parser.error(str(error))
    if args.only and not selected(config.cases, args.only):
        names = ", ".join(case.name for case in config.cases)
        parser.error(f"--only {args.only}: no such case; there are {names}")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        result = run(args, config, progress)
    if not console.is_terminal:
        console.width = 200
    report.show(result, console)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.plot:
        report.plot(result, args.plot)
    return 1 if result["failed"] or any(map(report.failed, result["rows"])) else 0


if __name__ == "__main__":
    sys.exit(main())
