"""Read a benchmark configuration: TOML in, checked tuples out; every error names its key.

[run]      dtypes seed platform pairs min_pairs seconds pause wake compile_aim
[limits]   copy_bytes gemm                     sizes of the copy and of the square product
[imports]  repeats aim                         optional: what ``import jaxml`` adds, in seconds
[environment]  NAME = "VALUE"                  optional: of the processes that measure, both sides
[case."NAME"]
  job sizes gap [dtypes] [aim] [against] [tol]  gap and tol are tables by dtype
  [case."NAME".peers.LABEL]                    options of the peer, and its ladder ``tol``
"""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import (
    bayes,
    kmeans,
    linear,
    metrics,
    mixtures,
    neighbors,
    nn_attention,
    nn_conv,
    nn_norm,
    nn_recurrent,
    pca,
    svm,
    trees,
    trees_ensembles,
    tsne,
)
from benchmarks.tables import REQUIRED, ConfigError, Table, keywords, typed

FAMILIES = (
    linear, svm, bayes, pca, kmeans, mixtures, tsne, neighbors, trees, nn_conv, nn_norm,
    nn_recurrent, nn_attention, trees_ensembles, metrics,
)  # fmt: skip
JOBS = {name: job for family in FAMILIES for name, job in family.JOBS.items()}
DTYPES = ("float32", "float64", "bfloat16")


class Peer(NamedTuple):
    """One solver of another library."""

    name: str
    options: dict[str, Any]  # keyword arguments of the job's peer function
    tol: tuple[float | None, ...]  # tried from left to right until the required gap is reached


class Case(NamedTuple):
    """One row per dtype."""

    name: str
    job: str  # a key of JOBS
    sizes: dict[str, Any]  # keyword arguments of the job's builder
    dtypes: tuple[str, ...]  # one row each
    gap: dict[str, float]  # by dtype: the suboptimality that both sides must reach
    tol: dict[str, tuple[float | None, ...]]  # by dtype: jaxml's ladder; (None,) is its default
    peers: tuple[Peer, ...]
    aim: float | None  # the ratio to reach, if one is set
    against: str  # the peer the aim is about: "best" or a label


class Timing(NamedTuple):
    """How long to measure."""

    pairs: int  # most A B pairs per peer
    min_pairs: int  # fewest, also for peers that are far behind
    seconds: float  # no further pair is begun after this time
    pause: float  # idle seconds before each run, so that spinning thread pools fall asleep
    wake: float  # seconds of untimed runs after it
    compile_aim: float  # seconds of tracing, lowering and compiling allowed per fit


class Config(NamedTuple):
    """A whole configuration."""

    dtypes: tuple[str, ...]
    seed: int
    platform: str | None  # "cpu", "cuda", ...; None is JAX's choice
    timing: Timing
    copy_bytes: int
    gemm: int
    imports: tuple[int, float] | None  # repeats, aim in seconds
    environment: dict[str, str]  # of the processes that measure
    cases: tuple[Case, ...]


def _ladder(values: Any, where: str) -> tuple[float | None, ...]:
    values = values if isinstance(values, list) else [values]
    if not values:
        raise ConfigError(f"{where}: expected at least one tolerance, got []")
    return tuple(typed(v, float, where, low=0.0) for v in values)


def _peer(label: str, table: Table, function: Callable) -> Peer:
    tol = (
        _ladder(table.values.pop("tol"), f"{table.where}.tol") if "tol" in table.values else (None,)
    )
    return Peer(label, keywords(function, table.values, table.where), tol)


def _dtypes(table: Table, default: Any = REQUIRED) -> tuple[str, ...]:
    dtypes = tuple(table.take("dtypes", list, default))
    if not dtypes or not set(dtypes) <= set(DTYPES):
        expected = ", ".join(DTYPES)
        raise ConfigError(f"{table.where}.dtypes: expected some of {expected}, got {list(dtypes)}")
    return dtypes


def _case(name: str, table: Table, dtypes: tuple[str, ...]) -> Case:
    job = table.take("job", str)
    if job not in JOBS:
        raise ConfigError(f"{table.where}.job: expected one of {', '.join(JOBS)}, got {job!r}")
    dtypes = _dtypes(table, list(dtypes))
    sizes, gaps, tols = table.table("sizes"), table.table("gap"), table.table("tol", {})
    peers = table.table("peers", {})
    labels = tuple(peers.values)
    against = table.take("against", str, "best")
    if against != "best" and against not in labels:
        expected = ", ".join(("best", *labels))
        raise ConfigError(f"{table.where}.against: expected one of {expected}, got {against!r}")
    case = Case(
        name=name,
        job=job,
        sizes=keywords(JOBS[job].build, sizes.values, sizes.where),
        dtypes=dtypes,
        gap={dtype: gaps.take(dtype, float, low=0.0) for dtype in dtypes},
        tol={
            dtype: _ladder(tols.values[dtype], f"{tols.where}.{dtype}")
            if dtype in tols.values
            else (None,)
            for dtype in dtypes
        },
        peers=tuple(_peer(label, peers.table(label), JOBS[job].peer) for label in labels),
        aim=table.take("aim", float, None, low=0.0),
        against=against,
    )
    table.done()
    return case


def load(path: str | Path) -> Config:
    """Read and check a configuration.

    Raises:
      ConfigError: A key is missing, unknown, or of the wrong type; the message names it.
    """
    try:
        top = Table(tomllib.loads(Path(path).read_text(encoding="utf-8")), "")
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    run, limits = top.table("run"), top.table("limits")
    dtypes = _dtypes(run)
    timing = Timing(
        pairs=run.take("pairs", int, low=1),
        min_pairs=run.take("min_pairs", int, low=1),
        seconds=run.take("seconds", float, low=0.0),
        pause=run.take("pause", float, low=0.0),
        wake=run.take("wake", float, low=0.0),
        compile_aim=run.take("compile_aim", float, low=0.0),
    )
    imports = None
    if "imports" in top.values:
        table = top.table("imports")
        imports = (table.take("repeats", int, low=1), table.take("aim", float, low=0.0))
        table.done()
    names = top.table("environment", {})
    cases = top.table("case", {})
    config = Config(
        dtypes=dtypes,
        seed=run.take("seed", int, 0, low=0),
        platform=run.take("platform", str, None),
        timing=timing,
        copy_bytes=limits.take("copy_bytes", int, low=1),
        gemm=limits.take("gemm", int, low=1),
        imports=imports,
        environment={name: names.take(name, str) for name in tuple(names.values)},
        cases=tuple(_case(name, cases.table(name), dtypes) for name in tuple(cases.values)),
    )
    for table in (run, limits, top):
        table.done()
    return config
