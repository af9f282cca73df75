"""One process, one dtype: measure the limits and every selected case, and write JSON lines.

``python -m benchmarks.worker CONFIG DTYPE [--only PATTERN]`` is started by ``benchmarks.__main__``
with ``JAX_ENABLE_X64`` set for float64 and unset for float32, so that neither sees the other's
mode. Each line is an event: machine, limits, begin, stage, row.
"""

import argparse
import fnmatch
import functools
import json
import sys
import traceback
import zlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks import limits as limit
from benchmarks.config import JOBS, Case, Config, load
from benchmarks.harness import Side, compare, compile_seconds, seconds_of, settle
from benchmarks.peers import PeerMissingError

Say = Callable[..., None]


def selected(cases: tuple[Case, ...], pattern: str | None) -> tuple[Case, ...]:
    """Return the cases whose name contains the pattern, or matches it as a glob."""
    if pattern is None:
        return cases
    return tuple(c for c in cases if fnmatch.fnmatch(c.name, f"*{pattern}*"))


def row(case: Case, dtype: str, config: Config, ceilings: limit.Limits, say: Say) -> dict[str, Any]:
    """Measure one case.

    Args:
      case: What to measure.
      dtype: Of the data.
      config: Timing and seed.
      ceilings: The limits of this machine and dtype.
      say: Called with an event and its fields, for progress.

    Returns:
      The row, as JSON has it.
    """
    job = JOBS[case.job]
    say("stage", text="data")
    # Both dtypes and every selection of cases draw the same numbers.
    rng = np.random.default_rng([config.seed, zlib.crc32(case.name.encode())])
    problem = job.build(rng, dtype, **case.sizes)
    arrays = jax.block_until_ready(jax.device_put(problem.arrays))

    def make(tol: float | None) -> Callable[[], Any]:
        return lambda: problem.fit(*arrays, tol=tol)

    def judge(fit: Any) -> float:
        return problem.gap(*problem.read(fit))

    say("stage", text="compile")
    compiling = compile_seconds(functools.partial(problem.fit, tol=case.tol[dtype][0]), arrays)
    jax.clear_caches()
    first = seconds_of(make(case.tol[dtype][0]))
    say("stage", text="jaxml")
    ours = settle(make, judge, case.tol[dtype], case.gap[dtype])
    info = getattr(ours.run(), "info", None)  # what is no fit has neither code nor iterations
    counts = (0, 0) if info is None else (info.n_iter, info.code)
    iterations, code = (int(np.max(v)) for v in counts)
    others: list[tuple[Any, Side]] = []
    missing = None
    for peer in case.peers:
        say("stage", text=f"settle {peer.name}")
        try:
            others.append((peer, _peer_side(job, problem, peer, case.gap[dtype])))
        except PeerMissingError as error:
            missing = str(error)
    say("stage", text="pairs")
    measured = compare(case, dtype, ours, others, config.timing)
    n_bytes, flops = problem.work(iterations)
    return {
        "name": case.name, "job": case.job, "dtype": dtype, "sizes": case.sizes, "aim": case.aim,
        "against": case.against, "required_gap": case.gap[dtype], "gap": ours.gap, "tol": ours.tol,
        "code": code, "n_iter": iterations, "compile_s": compiling,
        "compile_met": compiling <= config.timing.compile_aim, "first_s": first, **measured,
        "missing": missing,
        "limit": limit.against(ceilings, n_bytes, flops, measured["median_s"]),
    }  # fmt: skip


def _peer_side(job: Any, problem: Any, peer: Any, required: float) -> Side:
    readers = []

    def make(tol: float | None) -> Callable[[], Any]:
        run, read = job.peer(problem.given, tol, **peer.options)
        readers.append(read)
        return run

    return settle(make, lambda out: problem.gap(*readers[-1](out)), peer.tol, required)


def run(config: Config, dtype: str, pattern: str | None, say: Say) -> bool:
    """Measure all selected cases, one event each; return whether none of them failed."""
    say("stage", text="limits")
    ceilings = limit.measure(dtype, copy_bytes=config.copy_bytes, gemm=config.gemm)
    say("limits", **ceilings._asdict())
    well = True
    for case in selected(config.cases, pattern):
        if dtype not in case.dtypes:
            continue
        say("begin", name=case.name)
        try:
            say("row", **row(case, dtype, config, ceilings, say))
        except Exception as error:  # one broken case must not cost the others
            traceback.print_exc()
            well = False
            say("row", name=case.name, dtype=dtype, error=f"{type(error).__name__}: {error}")
    say("machine", **limit.machine())
    return well


def plain(value: Any) -> Any:
    """Return value as strict JSON has it: inf and NaN become null."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def main() -> int:
    """Run the worker; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker", description=__doc__)
    parser.add_argument("config")
    parser.add_argument("dtype")
    parser.add_argument("--only")
    args = parser.parse_args()
    if jax.config.jax_enable_x64 != (args.dtype == "float64"):  # type: ignore[attr-defined]
        raise SystemExit(f"{args.dtype} needs a process with JAX_ENABLE_X64 set to match it")

    def say(event: str, **fields: Any) -> None:
        sys.stdout.write(json.dumps(plain({"event": event, **fields}), allow_nan=False) + "\n")
        sys.stdout.flush()

    return 0 if run(load(args.config), args.dtype, args.only, say) else 1


if __name__ == "__main__":
    sys.exit(main())
