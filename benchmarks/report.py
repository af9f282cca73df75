"""Show results: the table in the terminal, the summary, and the plot of the ratios."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

__all__ = ["failed", "plot", "show", "table"]

Row = dict[str, Any]
BUSY = 0.5  # load average at the start above which the numbers are not to be quoted
NOTES = """\
ratio: peer time / jaxml time, median of interleaved pairs [95 % bootstrap interval]; above 1 jaxml
is faster; ~ a tie: the interval holds 1, or the ratio lies within the noise of A against A.
peer: the fastest that reaches the required gap, or the one the aim names, then the fastest in
brackets. gap: relative suboptimality (L1: duality gap), judged in float64 NumPy, jaxml / peer;
* both reach the required gap, the peer by more; ! jaxml misses it. limit: the least time by bytes
over copy bandwidth (m) or FLOPs over product peak (c), as a share of jaxml's time. Inputs are on
the device, and in the peer's layout, before the clock starts: conversion is excluded."""


def failed(row: Row) -> bool:
    """Whether the row holds an error instead of measurements."""
    return "error" in row


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def _gap(value: float | None) -> str:
    return "none" if value is None else f"{value:.0e}"


def _peer(row: Row) -> tuple[str, str, str]:
    """Return the peer quoted, its time and its gap."""
    if row["quoted"] is None:
        return row["missing"] or ("none reaches the gap" if row["peers"] else "none"), "", "none"
    by_name = {p["name"]: p for p in row["peers"]}
    quoted = by_name[row["quoted"]]
    name = row["quoted"]
    if row["best"] != name:
        name += f" ({row['best']} {by_name[row['best']]['ratio']:.2f})"
    return name, _time(quoted["median_s"]), _gap(quoted["gap"])


def _verdict(row: Row) -> str:
    if row["met"] is None:
        return "none" if row["quoted"] else "no peer"
    mark = "[green]met[/]" if row["met"] else "[red]missed[/]"
    return f"{row['aim']:g} {mark}"


def table(rows: list[Row]) -> Table:
    """Return one line per row."""
    out = Table(title="jaxml beside its peers")
    out.add_column("case")
    out.add_column("dtype", no_wrap=True)
    for name in ("compile", "first", "jaxml"):
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("peer")
    for name in ("time", "ratio", "noise", "gap", "limit", "aim"):
        out.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        if failed(row):
            out.add_row(row["name"], row["dtype"], "", "", "", f"[red]{row['error']}[/]")
            continue
        peer, time, gap = _peer(row)
        ratio = "" if row["ratio"] is None else (
            f"{'~' if row['tie'] else ''}{row['ratio']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        )  # fmt: skip
        mark = {"equal": "", "looser": "*", "missed": "!"}[row["quality"]]
        code = "" if row["code"] == 0 else f" code {row['code']}"
        slow = "" if row["compile_met"] else "[red]!"
        limit = f"{row['limit']['fraction']:.0%} {row['limit']['binds'][0]}"
        out.add_row(
            row["name"], row["dtype"], f"{slow}{row['compile_s']:.2f} s", _time(row["first_s"]),
            _time(row["median_s"]), peer, time, ratio.replace("[", r"\["), f"{row['noise']:.0%}",
            f"{_gap(row['gap'])} / {gap}{mark}{code}", limit, _verdict(row),
        )  # fmt: skip
    return out


def show(result: dict[str, Any], console: Console) -> None:
    """Print the table, the limits, the import row, and the summary with the worst cell."""
    rows = [row for row in result["rows"] if not failed(row)]
    console.print(table(result["rows"]))
    console.print(NOTES, markup=False, highlight=False)
    if result["machine"]:
        m = result["machine"]
        versions = [f"{name} {version}" for name, version in m["versions"].items() if version]
        console.print(f"{m['processor']}, {m['cores']} cores, {m['device']}")
        console.print(f"Python {m['python']}, {', '.join(versions)}", highlight=False)
    if result["load"] is not None and result["load"] > BUSY:
        console.print(
            f"[red]load at the start was {result['load']:.1f}: other work shared the machine[/]"
        )
    for dtype, ceilings in result["limits"].items():
        console.print(
            f"limits {dtype}: copy {ceilings['bandwidth'] / 1e9:.1f} GB/s, "
            f"product {ceilings['peak'] / 1e9:.0f} GFLOP/s"
        )
    if result["imports"]:
        i = result["imports"]
        console.print(
            f"import jaxml adds {i['added_s']:.2f} s ({i['low']:.2f} to {i['high']:.2f}) to the "
            f"{i['jax_s']:.2f} s of import jax: aim {i['aim']:g} {'met' if i['met'] else 'missed'}"
        )
    if rows:
        slowest = max(rows, key=lambda row: row["compile_s"])
        console.print(
            f"compile: {sum(row['compile_met'] for row in rows)} of {len(rows)} within the aim, "
            f"slowest {slowest['compile_s']:.2f} s ({slowest['name']} {slowest['dtype']})"
        )
    judged = [row for row in rows if row["ratio"] is not None]
    if judged:
        mean = float(np.exp(np.mean([np.log(row["ratio"]) for row in judged])))
        worst = min(judged, key=lambda row: row["ratio"])
        aimed = [row for row in judged if row["met"] is not None]
        met = sum(row["met"] for row in aimed)
        console.print(
            f"aims met {met} of {len(aimed)}; geometric mean of ratios {mean:.2f}; "
            f"worst {worst['ratio']:.2f} ({worst['name']} {worst['dtype']})"
        )


def pyplot() -> Any:
    """Return matplotlib without a display, or say how to get it.

    Raises:
      ImportError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError("--plot needs matplotlib: pip install '.[plot]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw every ratio with its interval on a log axis, its aim, and the line of equal speed."""
    plt = pyplot()
    rows = [row for row in result["rows"] if not failed(row) and row["ratio"] is not None][::-1]
    figure, axes = plt.subplots(figsize=(8, 1.5 + 0.32 * len(rows)), layout="constrained")
    for at, row in enumerate(rows):
        color = {True: "tab:green", False: "tab:red", None: "tab:blue"}[row["met"]]
        axes.plot([row["low"], row["high"]], [at, at], color=color, linewidth=2)
        axes.plot(row["ratio"], at, "o", color=color)
        if row["aim"] is not None:
            axes.plot(row["aim"], at, "|", color="black", markersize=12)
    axes.axvline(1.0, color="gray", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [f"{r['name']} {r['dtype']} | {r['quoted']}" for r in rows])
    axes.set_xlabel("peer time / jaxml time at equal quality; black mark: aim")
    figure.savefig(path)
    plt.close(figure)
