"""What ``jaxml verify`` prints and writes: one line per case, the topics, the summary, JSON."""

import math
import platform
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._typing import Key
from jaxml.verify.case import Case, Reading, Verdict
from jaxml.verify.compare import judge
from jaxml.verify.evidence import DRAWS, gather
from jaxml.verify.mutation import Mutation, mutate
from jaxml.verify.registry import by_topic

__all__ = ["Result", "as_json", "details", "examine", "line", "machine", "topic_rows"]

SHORT = {"float64": "f64", "float32": "f32"}


class Result(NamedTuple):
    """Everything found about one case."""

    case: Case
    verdicts: tuple[Verdict, ...]  # one per dtype
    mutations: tuple[Mutation, ...] | None  # None if mutation was not asked for
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every dtype holds and, if asked for, mutants exist and all are caught."""
        caught = self.mutations is None or (
            bool(self.mutations) and all(m.caught for m in self.mutations)
        )
        return caught and all(v.passed for v in self.verdicts)

    @property
    def worst(self) -> Reading:
        """The reading nearest to its tolerance, over the dtypes."""
        return max((v.worst for v in self.verdicts), key=lambda r: r.severity)


def examine(
    case: Case, *, dtypes: Sequence[str], key: Key, draws: int = DRAWS, mutation: bool = False
) -> Result:
    """Return the verdicts on a case; an exception is a verdict that does not hold.

    Args:
      case: The claim.
      dtypes: "float64", "float32" or both.
      key: Seeds the draws.
      draws: Points drawn at the first shape.
      mutation: Also bend the hand form; always in float64.
    """
    start = time.perf_counter()
    verdicts, mutations, evidence = [], (() if mutation else None), None
    for dtype in dtypes:
        begun = time.perf_counter()
        try:
            found = gather(case, dtype=dtype, key=key, draws=draws)
            verdict = judge(case, found, dtype=dtype)
            evidence = found if dtype == "float64" else evidence
        except Exception as error:  # one broken case must not hide the others
            raised = Reading("exception", "", math.nan, 0.0)
            verdict = Verdict(
                case.name, dtype, (raised,), note=f"  {type(error).__name__}: {error}"
            )
        verdicts.append(verdict._replace(seconds=time.perf_counter() - begun))
    if mutation and all(v.readings[0].route != "exception" for v in verdicts):
        mutations = tuple(mutate(case, key=key, evidence=evidence))
    return Result(case, tuple(verdicts), mutations, time.perf_counter() - start)


def line(result: Result) -> str:
    """Return one line: state, name, worst error and tolerance per dtype, routes, seconds."""
    state = "ok  " if result.passed else "FAIL"
    errors = "  ".join(
        f"{SHORT[v.dtype]} {v.error:7.1e}/{v.tolerance:5.0e}" for v in result.verdicts
    )
    routes = tuple(dict.fromkeys(r for v in result.verdicts for r in v.routes))
    caught = ""
    if result.mutations is not None:
        caught = f"  caught {sum(m.caught for m in result.mutations)}/{len(result.mutations)}"
    text = f"{state} {result.case.name:<45} {errors}{caught}"
    text += f"  {' '.join(routes)}  {result.seconds:.1f}s"
    if result.passed:
        return text
    return "\n".join([text, *(f"     {row}" for d in details(result) for row in d.splitlines())])


def details(result: Result) -> list[str]:
    """Return what a person needs to know of a case that does not hold."""
    found = [v.report() for v in result.verdicts if not v.passed]
    if result.mutations is not None:
        found += [f"not caught: {m.name}" for m in result.mutations if not m.caught]
        found += [] if result.mutations else ["no mutant applies: this case cannot fail"]
    return found


def topic_rows(results: Iterable[Result], *, all_topics: bool) -> list[tuple[str, int, str, bool]]:
    """Return (topic, number of cases, worst error, holds) per topic.

    Args:
      results: What was run.
      all_topics: Whether a topic without a case counts as a failure, rather than as not asked for.
    """
    found = {result.case.name: result for result in results}
    rows = []
    for topic, cases in by_topic(result.case for result in found.values()).items():
        if not cases:
            if all_topics:
                rows.append((topic, 0, "no case", False))
            continue
        own = [found[case.name] for case in cases]
        worst = max((r.worst for r in own), key=lambda r: r.severity)
        rows.append((
            topic, len(own), f"{worst.error:.1e}/{worst.tolerance:.0e}", all(r.passed for r in own)
        ))  # fmt: skip
    return rows


def machine() -> dict[str, Any]:
    """Return versions, devices and numerical defaults."""
    versions = {"python": platform.python_version()}
    for name in ("jaxml", "jax", "jaxlib", "optax", "numpy"):
        versions[name] = _version(name)
    precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return {
        "versions": versions,
        "platform": f"{platform.system()} {platform.machine()}",
        "devices": [f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices()],
        "x64": jnp.result_type(float) == np.float64,
        "default_dtype": jnp.result_type(float).name,
        "matmul_precision": str(precision or "default"),
    }


def _version(name: str) -> str:
    if name == "jaxml":  # runs from a checkout too, where no metadata exists
        import jaxml  # noqa: PLC0415

        return jaxml.__version__
    return metadata.version(name)


def _number(x: float) -> float | str:
    return x if math.isfinite(x) else str(x)  # JSON has no NaN and no infinity


def as_json(results: Sequence[Result], rows: Sequence[tuple], seconds: float) -> dict[str, Any]:
    """Return all results as plain data."""
    return {
        "passed": all(r.passed for r in results) and all(row[3] for row in rows),
        "seconds": round(seconds, 3),
        **machine(),
        "topics": {row[0]: {"cases": row[1], "worst": row[2], "passed": row[3]} for row in rows},
        "cases": [_case_json(r) for r in results],
    }


def _case_json(result: Result) -> dict[str, Any]:
    out = {
        "name": result.case.name,
        "kind": result.case.kind,
        "topics": list(result.case.topics),
        "reference": result.case.ref,
        "passed": result.passed,
        "seconds": round(result.seconds, 3),
        "verdicts": [
            {
                "dtype": v.dtype,
                "passed": v.passed,
                "error": _number(v.error),
                "tolerance": v.tolerance,
                "routes": list(v.routes),
                "readings": [
                    {**r._asdict(), "error": _number(r.error), "holds": r.holds} for r in v.readings
                ],
            }
            for v in result.verdicts
        ],
    }
    if result.mutations is not None:
        out["mutants"] = [{**m._asdict(), "error": _number(m.error)} for m in result.mutations]
    return out
