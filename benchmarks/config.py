"""A benchmark configuration: TOML in, checked NamedTuples out; every error names its key.

[run]      dtypes seed platform pairs min_pairs seconds pause wake compile_aim
[limits]   copy_bytes gemm                     sizes of the copy and of the square product
[imports]  repeats aim                         optional: what ``import jaxml`` adds, in seconds
[environment]  NAME = "VALUE"                  optional: of the processes that measure, both sides
[case."NAME"]
  job sizes gap [dtypes] [aim] [against] [tol]  gap and tol are tables by dtype
  [case."NAME".peers.LABEL]                    options of the peer, and its ladder ``tol``
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

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
from jaxml._table import ConfigError, Range, Table, read

FAMILIES = (
    linear, svm, bayes, pca, kmeans, mixtures, tsne, neighbors, trees, nn_conv, nn_norm,
    nn_recurrent, nn_attention, trees_ensembles, metrics,
)  # fmt: skip
JOBS = {name: job for family in FAMILIES for name, job in family.JOBS.items()}
DTYPES = ("float32", "float64", "bfloat16")
Dtypes = tuple[Literal["float32", "float64", "bfloat16"], ...]
Count = Annotated[int, Range(1)]
Amount = Annotated[float, Range(0)]
Ladder = Annotated[tuple[float, ...], Range(0)]


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

    pairs: Count  # most A B pairs per peer
    min_pairs: Count  # fewest, also for peers that are far behind
    seconds: Amount  # no further pair is begun after this time
    pause: Amount  # idle seconds before each run, so that spinning thread pools fall asleep
    wake: Amount  # seconds of untimed runs after it
    compile_aim: Amount  # seconds of tracing, lowering and compiling allowed per fit


class Imports(NamedTuple):
    """How to time ``import jaxml``."""

    repeats: Count
    aim: Amount  # seconds


class Config(NamedTuple):
    """A whole configuration."""

    dtypes: tuple[str, ...]
    seed: int
    platform: str | None  # "cpu", "cuda", ...; None is JAX's choice
    timing: Timing
    copy_bytes: int
    gemm: int
    imports: Imports | None
    environment: dict[str, str]  # of the processes that measure
    cases: tuple[Case, ...]


def _case(name: str, table: Table, dtypes: tuple[str, ...]) -> Case:
    job = table.take("job", str)
    if job not in JOBS:
        raise ConfigError(f"{table.name('job')}: expected one of {', '.join(JOBS)}, got {job!r}")
    dtypes = table.take("dtypes", Dtypes, dtypes)
    gap, tol, peers = table.table("gap"), table.table("tol"), table.table("peers")
    labels = tuple(peers.values)
    against = table.take("against", str, "best")
    if against not in ("best", *labels):
        expected = ", ".join(("best", *labels))
        raise ConfigError(f"{table.name('against')}: expected one of {expected}, got {against!r}")
    case = Case(
        name=name,
        job=job,
        sizes=table.table("sizes").arguments(JOBS[job].build),
        dtypes=dtypes,
        gap={dtype: gap.take(dtype, Amount) for dtype in dtypes},
        tol={dtype: tol.take(dtype, Ladder, (None,)) for dtype in dtypes},
        peers=tuple(_peer(label, peers.table(label), JOBS[job].peer) for label in labels),
        aim=table.take("aim", Amount, None),
        against=against,
    )
    for each, known in ((gap, dtypes), (tol, dtypes), (table, Case._fields[1:])):
        each.done(known)
    return case


def _peer(label: str, table: Table, function: Callable) -> Peer:
    tol = table.take("tol", Ladder, (None,))
    return Peer(label, table.arguments(function), tol)


def load(path: str | Path) -> Config:
    """Read and check a configuration.

    Raises:
      ConfigError: The file cannot be read, or a key is missing, unknown, of the wrong kind or out
        of range; the message names the file and the key.
    """
    return read(path, _config)


def _config(top: Table) -> Config:
    run, limits, names, cases = map(top.table, ("run", "limits", "environment", "case"))
    dtypes = run.take("dtypes", Dtypes)
    config = Config(
        dtypes=dtypes,
        seed=run.take("seed", Annotated[int, Range(0)], 0),
        platform=run.take("platform", str, None),
        timing=Timing(**run.part(Timing)),
        copy_bytes=limits.take("copy_bytes", Count),
        gemm=limits.take("gemm", Count),
        imports=top.table("imports").fill(Imports) if "imports" in top.values else None,
        environment={name: names.take(name, str) for name in tuple(names.values)},
        cases=tuple(_case(name, cases.table(name), dtypes) for name in tuple(cases.values)),
    )
    run.done(("dtypes", "seed", "platform", *Timing._fields))
    limits.done(("copy_bytes", "gemm"))
    top.done(("run", "limits", "imports", "environment", "case"))
    return config
