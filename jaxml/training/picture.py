"""A picture of a run: its losses against the steps, and what they are to be compared with.

Needs the extra ``plot``; Matplotlib is imported only when a picture is asked for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["draw"]

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
    axes = figure.subplots()
    names = dict.fromkeys(name for record in records for name in record)
    for name in (n for n in names if n.endswith("loss")):
        known = [r for r in records if r.get(name) is not None]
        steps, values = [r["step"] for r in known], [r[name] for r in known]
        label = "training loss" if name == "loss" else name.replace("_", " ")
        axes.plot(steps, values, label=label, marker="" if name == "loss" else "o", markersize=3)
    for color, name in zip(
        ("0.35", "0.6"), (n for n in names if n.endswith("entropy")), strict=False
    ):
        value = next(r[name] for r in records if name in r)
        axes.axhline(value, color=color, linestyle="--", label=name.replace("_", " "))
    axes.set(xlabel="step", ylabel="nats", title=title, ylim=(0, None))
    handles, labels = axes.get_legend_handles_labels()
    if accuracies := [n for n in names if n.endswith("accuracy")]:
        right = axes.twinx()
        right.set(ylabel="accuracy", ylim=(0, 1.02))
        for name in accuracies:
            known = [r for r in records if r.get(name) is not None]
            right.plot(
                [r["step"] for r in known], [r[name] for r in known],
                label=name.replace("_", " "), color="tab:green", marker="o", markersize=3,
            )  # fmt: skip
        more = right.get_legend_handles_labels()
        handles, labels = handles + more[0], labels + more[1]
    if handles:
        axes.legend(handles, labels, loc="center right")
    figure.savefig(path, dpi=120)
