"""All cases at a glance: how far each stays from its tolerance."""

from collections.abc import Sequence

import numpy as np

from jaxml.verify.page.canvas import BLUE, INK, ORANGE, RED, label, log, panels, svg
from jaxml.verify.page.formulas import CHAPTERS
from jaxml.verify.report import Result

__all__ = ["overview"]

LEAST = 1e-6  # an error of a millionth of the tolerance, or none, lies at the left edge
COLORS = {"float64": BLUE, "float32": ORANGE}


def overview(results: Sequence[Result]) -> str:
    """Return a panel with one mark per case and dtype, chapter by chapter."""
    names = [name for name, topics in CHAPTERS.items()
             if any(set(r.case.topics) & set(topics) for r in results)]  # fmt: skip
    (ax,) = panels(1, height=0.8 + 0.32 * max(1, len(names)))
    failed = 0
    for y, name in enumerate(names):
        own = [r for r in results if set(r.case.topics) & set(CHAPTERS[name])]
        for dtype, shift in (("float64", -0.16), ("float32", 0.16)):
            found = [v for r in own for v in r.verdicts if v.dtype == dtype]
            x = np.array([min(max(v.worst.severity, LEAST), 1e3) for v in found])
            spread = shift + 0.09 * np.sin(2.4 * np.arange(x.size))  # marks beside each other
            good = np.array([v.passed for v in found], bool)
            mark = "o" if dtype == "float64" else "^"
            ax.plot(x[good], y + spread[good], mark, color=COLORS[dtype], markersize=3, alpha=0.6,
                    markeredgewidth=0, label=dtype if y == 0 else None)  # fmt: skip
            ax.plot(x[~good], y + spread[~good], "X", color=RED, markersize=7)
            failed += int((~good).sum())
    ax.axvline(1.0, color=INK, linewidth=1)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    log(ax, "x")
    label(ax, "", "worst error / tolerance")
    if names:
        ax.figure.legend(loc="outside upper right", ncols=2)
    alt = f"Worst error over tolerance of {len(results)} cases; {failed} readings lie beyond 1"
    return svg(ax, name="overview", alt=alt)
