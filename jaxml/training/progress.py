"""A run in the terminal: one bar with the loss and the speed, and a line per evaluation."""

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from jaxml.training.loop import Watch

__all__ = ["shown"]


@contextlib.contextmanager
def shown(console: Console, *, steps: int) -> Iterator[Watch]:
    """Yield a Watch that shows a run of so many steps; without a terminal only its lines."""
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    live = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not live) as bar:
        task = bar.add_task("", total=steps, loss=float("nan"), speed="compiling")

        def advance(step: int, loss: float) -> None:
            speed = bar.tasks[0].speed  # over the last seconds, so that compiling is forgotten
            shown = "compiling" if speed is None else f"{speed:.1f} steps/s"
            bar.update(task, completed=step, loss=loss, speed=shown)

        def say(text: str) -> None:
            bar.console.print(text, soft_wrap=True, markup=False)

        yield Watch(advance, say)
