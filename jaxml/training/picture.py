"""A picture of a run: its losses against the steps, and what they are to be compared with.

Needs the extra ``plot``; Matplotlib is imported only when a picture is asked for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["draw"]

LINES = ("--", ":")
HINT = "a picture needs Matplotlib: pip install 'jaxml[plot]'"


def draw(records: Sequence[dict[str, Any]], path: str | Path, *, title: str = "") -> None:
    """Draw the records of a log; the suffix of path (.png, .svg, .pdf) decides the format.

    One curve for each logged loss, a horizontal line for each entropy among the facts of step 0,
    and, on an axis of its own, each accuracy.

    Raises:
      ImportError: Matplotlib is not installed; the text says how to get it.
      OSError: The file cannot be written.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(HINT) from error
    figure = Figure(figsize=(7, 4), layout="constrained")  # no window, no global state
    left = figure.subplots()
    names = dict.fromkeys(name for record in records for name in record)
    for name in names:
        points = [(r["step"], r[name]) for r in records if r.get(name) is not None]
        label = "training loss" if name == "loss" else name.replace("_", " ")
        if name.endswith("loss") and points:
            left.plot(*zip(*points, strict=True), ".-", label=label)
        elif name.endswith("entropy") and points:
            left.axhline(points[0][1], color="0.4", linestyle=LINES[name[0] == "b"], label=label)
    left.set(xlabel="step", ylabel="nats", title=title)
    shown = [
        r[name]
        for name in names
        if name.endswith(("loss", "entropy"))
        for r in records
        if r.get(name)
    ]
    if shown and max(shown) > 30 * min(shown):
        left.set_yscale("log")  # or the end of the curve could not be told from 0
    if accuracies := [name for name in names if name.endswith("accuracy")]:
        right = left.twinx()
        right.set(ylabel="accuracy")
        for name in accuracies:
            points = [(r["step"], r[name]) for r in records if r.get(name) is not None]
            label = name.replace("_", " ")
            right.plot(*zip(*points, strict=True), ".-", color="tab:green", label=label)
    if left.lines:
        figure.legend(loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=120)
