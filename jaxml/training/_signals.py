"""Signals that ask a run to end, turned into a wish that it may grant after the step at hand."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["asked_to_end"]


@contextlib.contextmanager
def asked_to_end() -> Iterator[list[int]]:
    """Collect the first SIGINT or SIGTERM in a list; a second one does what it did before.

    Outside of the main thread, where Python handles no signals, the list stays empty.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, frame: Any) -> None:
        asked.append(number)
        restore()

    before = {n: signal.getsignal(n) or signal.SIG_DFL for n in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        restore()
