"""The method: paired, interleaved timing of two sides that reach the same quality.

    A B A B ...,   ratio_i = b_i / a_i  (peer over jaxml: above 1, jaxml is faster)

The median of the ratios is quoted with a 95 % bootstrap interval; nothing is discarded. A against A
gives the noise floor. Every run ends when the whole output is ready on the device. Inputs are
placed, and peers get NumPy arrays in the layout their configuration names, before any clock starts.

Equal quality. A case states the gap (relative suboptimality) both sides must reach, and each side
has a ladder of tolerances, loosest first; the first that reaches the gap is timed, on both sides.
A peer that reaches it with none is listed, not counted. A row in which jaxml misses it is missed.
"""

import gc
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.config import Case, Peer, Timing

__all__ = ["Pairs", "Side", "compile_seconds", "interval", "pairs", "seconds_of", "settle"]

BEHIND = 3.0  # a peer slower than the fastest one by this factor gets the fewest pairs
RESAMPLES = 2000
ROUNDING = {
    "float32": 1e-7,
    "float64": 1e-14,
    "bfloat16": 4e-3,
}  # gaps below this are equal: rounding of J
LONG = 10  # times the seconds of waking: of such a run, a late core costs little


class Side(NamedTuple):
    """One contestant, ready to run."""

    run: Callable[[], Any]  # the timed call
    gap: float  # of its answer
    tol: float | None  # the tolerance that was used; None is the side's default
    seconds: float  # one warm run


class Pairs(NamedTuple):
    """Times of A and B, in the order in which they were run."""

    a: list[float]
    b: list[float]


def seconds_of(run: Callable[[], Any]) -> float:
    """Return the wall time of one run, its whole output ready."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        jax.block_until_ready(run())
        return time.perf_counter() - start
    finally:
        if enabled:
            gc.enable()


def pairs(a: Callable[[], Any], b: Callable[[], Any], timing: Timing, most: int) -> Pairs:
    """Time A B A B ... until most pairs are done, or the seconds are spent and min_pairs are.

    What is timed is a steady state: a side runs for a while, untimed, before each run that counts,
    since cores that were idle take up work late. Runs that take LONG such whiles need none.
    """
    times = Pairs([], [])
    begin = time.perf_counter()
    for done in range(most):
        if done >= timing.min_pairs and time.perf_counter() - begin > timing.seconds:
            break
        for run, into in ((a, times.a), (b, times.b)):
            time.sleep(timing.pause)
            awake = time.perf_counter() + timing.wake
            while time.perf_counter() < awake and (not into or min(into) < LONG * timing.wake):
                seconds_of(run)
            into.append(seconds_of(run))
    return times


def interval(times: Pairs) -> tuple[float, float, float]:
    """Return the median of b/a and the ends of its 95 % bootstrap interval."""
    ratios = np.divide(times.b, times.a)
    drawn = np.random.default_rng(0).choice(ratios, (RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(np.median(ratios)), float(low), float(high)


def compile_seconds(fit: Callable[..., Any], arrays: tuple) -> float:
    """Return the time to trace, lower and compile fit, from empty caches."""
    jax.clear_caches()
    start = time.perf_counter()
    jax.jit(fit).lower(*arrays).compile()
    return time.perf_counter() - start


def settle(
    make: Callable[[float | None], Callable[[], Any]],
    judge: Callable[[Any], float],
    ladder: tuple[float | None, ...],
    required: float,
) -> Side:
    """Climb the ladder of tolerances to the first answer that reaches the required gap.

    Args:
      make: tol -> the run.
      judge: The result of a run -> its gap.
      ladder: Tolerances, loosest first.
      required: The gap to reach.

    Returns:
      That side, or the closest one if none reaches it; warm either way.
    """
    best: Side | None = None
    for tol in ladder:
        run = make(tol)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unconverged peers are told apart by their gap
            gap = judge(jax.block_until_ready(run()))
        if best is None or gap < best.gap:
            best = Side(run, gap, tol, 0.0)
        if gap <= required:
            break
    if best is None:
        raise ValueError("ladder is empty: expected at least one tolerance")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return best._replace(seconds=seconds_of(best.run))


def compare(
    case: Case, dtype: str, ours: Side, peers: list[tuple[Peer, Side]], timing: Timing
) -> dict[str, Any]:
    """Time every peer against ours, and say what is quoted.

    Args:
      case: Gives the required gap, the aim and the peer it is about.
      dtype: Of the row.
      ours: The jaxml side, warm.
      peers: The other sides, warm.
      timing: How long to measure.

    Returns:
      The part of a row that tells times, ratios, noise and quality.
    """
    required = case.gap[dtype]
    fastest = min((side.seconds for _, side in peers if side.gap <= required), default=np.inf)
    listed, at = [], list[float]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for peer, side in peers:
            near = side.seconds <= BEHIND * fastest
            times = pairs(ours.run, side.run, timing, timing.pairs if near else timing.min_pairs)
            ratio, low, high = interval(times)
            at += times.a
            listed.append({
                "name": peer.name, "options": peer.options, "tol": side.tol, "gap": side.gap,
                "counts": side.gap <= required, "median_s": float(np.median(times.b)),
                "ratio": ratio, "low": low, "high": high, "pairs": len(times.b),
            })  # fmt: skip
        same = pairs(ours.run, ours.run, timing, timing.pairs)
    at += same.a + same.b
    _, low, high = interval(same)
    noise = max(high - 1.0, 1.0 - low, 0.0)
    counted = [p for p in listed if p["counts"]]
    best = min(counted, key=lambda p: p["median_s"], default=None)
    quoted = best
    if case.against != "best":
        quoted = next((p for p in counted if p["name"] == case.against), None)
    row: dict[str, Any] = {
        "median_s": float(np.median(at)), "runs": len(at), "peers": listed, "noise": noise,
        "best": best and best["name"], "quoted": quoted and quoted["name"],
        "quality": _quality(ours.gap, required, quoted and quoted["gap"], dtype),
    }  # fmt: skip
    row |= {key: quoted and quoted[key] for key in ("ratio", "low", "high")}
    # A ratio whose interval holds 1, or lies inside the noise of A against A, is a tie.
    row["tie"] = quoted and bool(
        quoted["low"] <= 1.0 <= quoted["high"] or abs(quoted["ratio"] - 1.0) <= noise
    )
    row["met"] = None
    if quoted is not None and case.aim is not None:
        row["met"] = quoted["ratio"] >= case.aim and ours.gap <= required
    return row


def _quality(ours: float, required: float, theirs: float | None, dtype: str) -> str:
    """Return "missed", "looser" (both reach the gap, the peer by more) or "equal" (or better)."""
    if not ours <= required:
        return "missed"
    return "equal" if theirs is None or ours <= max(theirs, ROUNDING[dtype]) else "looser"
