"""Judge how far the answers of independent routes to a case lie apart, in plain NumPy."""

import time
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxml._typing import Key
from jaxml.verify.case import Case, Reading, Tolerance, Verdict
from jaxml.verify.evidence import DRAWS, Evidence, gather

__all__ = ["distance", "judge", "run"]


def distance(a: np.ndarray, b: np.ndarray, tol: Tolerance, norm: str = "") -> float:
    """Return E; inf where the shapes differ, NaN where a number is missing."""
    if a.shape != b.shape:
        return float("inf")
    if a.size == 0:
        return 0.0
    if not np.issubdtype(a.dtype, np.floating):
        return 0.0 if np.array_equal(a, b) else float("inf")
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.where(a == b, 0.0, np.abs(a - b))  # equal infinities agree
    size = np.maximum(np.abs(a), np.abs(b))
    if (norm or tol.norm) == "l2":
        # In units of the largest entry, so that no square over- or underflows.
        both = np.abs(np.concatenate([a.ravel(), b.ravel()]))
        top = float(both[np.isfinite(both)].max(initial=0.0))
        unit = max(top, tol.scale, np.finfo(float).tiny)
        a_norm, b_norm = (np.linalg.norm(np.where(np.isfinite(c), c, 0.0) / unit) for c in (a, b))
        total = max(float(a_norm), float(b_norm), tol.scale / unit)
        worst = float(np.linalg.norm(gap / unit))  # NaN where a number is missing on either side
        return worst / total if total > 0 else worst
    size = np.maximum(size, max(tol.scale, np.finfo(float).tiny))
    return float(np.max(np.where(gap == 0, 0.0, gap / size)))


def _excess(a: np.ndarray, b: np.ndarray, tol: Tolerance) -> float:
    """How far a lies above b, relative to the larger."""
    if a.shape != b.shape:
        return float("inf")
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    size = np.maximum(np.maximum(np.abs(a), np.abs(b)), max(tol.scale, np.finfo(float).tiny))
    return float(np.max((a - b) / size, initial=0.0))


def _z_score(a: np.ndarray, mean: np.ndarray, se: np.ndarray) -> float:
    if not a.shape == mean.shape == se.shape or not (se > 0).all():
        return float("inf")
    return float(np.max(np.abs(np.asarray(a, np.float64) - mean) / se, initial=0.0))


def _against_hand(case: Case, one: Evidence, hand: list[np.ndarray], dtype: str) -> list[Reading]:
    tol = case.tol
    bound = tol.float64 if dtype == "float64" else tol.float32
    n = len(one.paths)
    if case.kind == "statistic":
        if len(hand) != 2 * n:  # Expected: the means, then their standard errors
            return [Reading("structure", "", float("inf"), bound)]
        scores = map(_z_score, next(iter(one.claims.values())), hand[:n], hand[n:])
        return [Reading("z-score", p, z, bound) for p, z in zip(one.paths, scores, strict=True)]
    found = []
    for route, leaves in one.claims.items():
        if len(leaves) != len(hand):
            found.append(Reading("structure", "", float("inf"), bound))
            continue
        for path, a, b in zip(one.paths, leaves, hand, strict=True):
            if case.kind == "bound":
                found.append(Reading("bound", path, _excess(a, b, tol), bound))
            elif route == "stencil":  # it sees a leaf as a whole, not its tiny entries
                found.append(Reading(route, path, distance(a, b, tol, "l2"), tol.stencil))
            else:
                found.append(Reading(route, path, distance(a, b, tol), bound))
    return found


def _among_routes(case: Case, one: Evidence, dtype: str) -> list[Reading]:
    found = []
    rounding = case.tol if case.kind not in ("bound", "statistic") else Tolerance(1e-9, 1e-3, "")
    for route, (a, b) in one.pairs.items():
        paths = one.paths if len(a) == len(one.paths) else [""] * len(a)
        bound = 0.0 if route == "repeat" else rounding.float64
        tol = rounding._replace(scale=1.0, norm="l2") if route == "adjoint" else rounding
        if route == "adjoint":
            bound = max(bound, 1e-12)
        found += [
            Reading(route, p, distance(x, y, tol), bound)
            for p, x, y in zip(paths, a, b, strict=True)
        ]
    kept = all(kind == dtype for kind in one.dtypes if kind.startswith("float"))
    found.append(Reading("dtype", "", 0.0 if kept else float("inf"), 0.0))
    return found


def judge(
    case: Case, evidence: list[Evidence], *, dtype: Any, hands: list[list[np.ndarray]] | None = None
) -> Verdict:
    """Return the verdict on evidence; hands replaces the answers of the hand form, draw by draw."""
    dtype = jnp.dtype(dtype).name
    worst: dict[tuple[str, str], Reading] = {}
    for i, one in enumerate(evidence):
        hand = one.hand if hands is None else hands[i]
        for reading in _against_hand(case, one, hand, dtype) + _among_routes(case, one, dtype):
            at = (reading.route, reading.leaf)
            if at not in worst or reading.severity > worst[at].severity:
                worst[at] = reading
    return Verdict(case.name, dtype, tuple(worst.values()))


def run(case: Case, *, dtype: Any = "float64", key: Key, draws: int = DRAWS) -> Verdict:
    """Return the verdict on a case: every route, several draws and shapes.

    Works whether or not x64 is on, and leaves that setting as it is.

    Args:
      case: The claim.
      dtype: float64 (all routes) or float32 (against the hand form in float64).
      key: Seeds the draws; the same key gives the same verdict.
      draws: Points drawn at the first shape.
    """
    start = time.perf_counter()
    verdict = judge(case, gather(case, dtype=dtype, key=key, draws=draws), dtype=dtype)
    return verdict._replace(seconds=time.perf_counter() - start)
