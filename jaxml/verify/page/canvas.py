"""Small figures as inline SVG that follows the page: its font, its colors, its width.

A figure is a row of panels, each an SVG of its own, so that a narrow screen stacks them. Text stays
text. Colors are named by placeholders, which become variables of the page's style sheet.
"""

import io
import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, cast

import numpy as np

__all__ = [
    "BLUE", "GREEN", "GREY", "INK", "ORANGE", "PURPLE", "RED", "Axes", "label", "log", "panels",
    "picture", "require", "style", "svg",
]  # fmt: skip

Axes = Any  # matplotlib.axes.Axes, which is imported only when a figure is drawn
HINT = "a report needs Matplotlib and latex2mathml: pip install '.[plot]', or 'jaxml[plot]'"
SERIES = BLUE, ORANGE, GREEN, PURPLE, RED = "#c00001", "#c00002", "#c00003", "#c00004", "#c00005"
GREY, INK, PAPER = "#c00006", "#000000", "#ffffff"
VARIABLES = {color: f"var(--c{i})" for i, color in enumerate((*SERIES, GREY), start=1)}
VARIABLES |= {INK: "currentColor", PAPER: "var(--paper)", "#808080": "var(--rule)"}
MAP = "RdBu_r"  # for signed numbers
WIDTH, HEIGHT = 4.2, 2.9  # inches; 302 x 209 units of the SVG

STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "jaxml", "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.03, "figure.constrained_layout.w_pad": 0.03,
    "font.size": 9.0, "axes.titlesize": 9.5, "axes.labelsize": 9.0, "legend.fontsize": 8.0,
    "xtick.labelsize": 8.0, "ytick.labelsize": 8.0, "font.family": "DejaVu Sans",
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7,
    "axes.edgecolor": "#808080", "xtick.color": "#808080", "ytick.color": "#808080",
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.grid": True, "grid.color": "#808080",
    "grid.alpha": 0.25, "grid.linewidth": 0.5, "axes.axisbelow": True, "lines.linewidth": 1.6,
    "lines.markersize": 4.0, "legend.frameon": False, "legend.borderaxespad": 0.2,
    "legend.handlelength": 1.6, "legend.labelspacing": 0.3, "axes.titlelocation": "left",
    "xtick.minor.visible": False, "ytick.minor.visible": False, "image.cmap": MAP,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
}  # fmt: skip
_drawing = threading.Lock()  # fonts and layout are not made for threads


def require() -> None:
    """Raise ImportError, naming the extra, unless what a report needs is installed."""
    try:
        import latex2mathml.converter  # noqa: F401, PLC0415
        import matplotlib.figure  # noqa: F401, PLC0415
    except ImportError as error:
        raise ImportError(HINT) from error


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's settings for all figures drawn inside; those of the caller come back after."""
    import matplotlib  # noqa: PLC0415
    from cycler import cycler  # noqa: PLC0415

    default = matplotlib.rcParamsDefault.items()
    settings = {k: v for k, v in default if not k.startswith("backend")}
    settings |= {**STYLE, "axes.prop_cycle": cycler(color=SERIES)}
    with matplotlib.rc_context(cast(Any, settings)):
        yield


def panels(count: int, *, height: float = HEIGHT) -> list[Axes]:
    """Return the axes of count panels, each of a figure of its own."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    return [Figure(figsize=(WIDTH, height)).subplots() for _ in range(count)]


def label(ax: Axes, title: str, x: str = "", y: str = "", *, legend: str = "") -> None:
    """Name a panel and its axes; legend is a place for one, as Matplotlib names it."""
    ax.set(title=title, xlabel=x, ylabel=y)
    if legend:
        ax.legend(loc=legend)


def _power(value: float, _: int) -> str:
    exponent = math.log10(value) if value > 0 else 0.0
    if abs(exponent - round(exponent)) > 1e-9:
        return ""
    if 0 <= round(exponent) <= 3:
        return f"{value:.0f}"
    return "10" + str(round(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def log(ax: Axes, *axes: str, base: int = 10) -> None:
    """Scale axes ("x", "y") logarithmically, their ticks written in plain text."""
    for name in axes:
        getattr(ax, f"set_{name}scale")("log", base=base)
        axis = getattr(ax, f"{name}axis")
        axis.set_major_formatter(_power if base == 10 else lambda value, _: f"{value:g}")
        axis.set_minor_formatter(lambda *_: "")


def picture(
    ax: Axes,
    values: np.ndarray,
    *,
    title: str,
    signed: bool = True,
    bar: bool = False,
    span: tuple[float | None, float | None] = (0.0, 1.0),
) -> None:
    """Draw a matrix as colors: symmetric about 0 if signed, else over a span, light to dark."""
    top = float(np.nanmax(np.abs(values)))
    low, high = (-top, top) if signed else span
    image = ax.imshow(
        values, vmin=low, vmax=high, cmap=MAP if signed else "Blues", interpolation="nearest"
    )
    ax.grid(visible=False)
    ax.set_title(title)
    if bar:
        ax.figure.colorbar(image, shrink=0.85)


def svg(ax: Axes, *, name: str, alt: str) -> str:
    """Return a panel as an SVG element for an HTML page.

    Args:
      ax: The panel.
      name: Begins every id inside, which must be unique in a page.
      alt: What the panel shows, for those who do not see it.
    """
    buffer = io.StringIO()
    with _drawing:
        ax.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    box = re.search(r'viewBox="([^"]*)"', text)
    head = f'<svg role="img" aria-label="{escape(alt)}" viewBox="{box.group(1) if box else ""}">'
    text = re.sub(r"<svg[^>]*>", lambda _: head, text, count=1)
    for color, variable in VARIABLES.items():
        text = text.replace(color, variable)
    # The page's font, at the size that was laid out; its glyphs are narrower than DejaVu's.
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    # Matplotlib names every group: keep the ids that are used, and make them the panel's own.
    used = set(
        re.findall(r"#([\w-]+)", " ".join(re.findall(r'(?:url\(#[^)]*|href="#[^"]*)', text)))
    )
    keep = {old: f"{name}-{i}" for i, old in enumerate(sorted(used))}
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{keep[m[1]]}"' if m[1] in keep else "", text)
    text = re.sub(r'(url\(#|href="#)([\w-]+)', lambda m: m[1] + keep[m[2]], text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'<style type="text/css">\s*\*\{[^}]*\}\s*</style>', "", text)
    text = re.sub(r"<defs>\s*</defs>", "", text)
    return re.sub(r">\s+<", "><", text).strip()
