"""The log of a run: one JSON object per line, written through at once.

    {"step": 20, "loss": 2.31, "learning_rate": 0.001, "skipped": 0, "seconds": 1.9}
    {"step": 200, "test_loss": 0.21, "test_accuracy": 0.94, "seconds": 12.0}

A number that is not finite is written as null. A run that was cut off may leave half a line, or
lines after its last checkpoint: ``Log`` drops both, so that resuming writes nothing twice.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

from jaxml.training.checkpoint import write_whole

__all__ = ["Log", "read"]


def _parse(path: Path) -> list[dict[str, Any]]:
    lines = path.read_bytes().split(b"\n")
    records = []
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is cut off
        try:
            record = json.loads(line)
            int(record["step"])
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{path}: line {number} is not a record of a step: {line!r}"
            ) from error
        records.append(record)
    return records


def read(path: str | Path) -> list[dict[str, Any]]:
    """Return the records of a log, without a last line that was cut off.

    Raises:
      OSError: The file cannot be read.
      ValueError: Another line is not a JSON object with a step; the text names it.
    """
    return _parse(Path(path))


class Log:
    """A log that is open for writing; use it in a with statement."""

    def __init__(self, path: str | Path, *, upto: int | None = None) -> None:
        """Open path: empty, or after its records of steps <= upto.

        Raises:
          ValueError: The log that is to be continued is damaged.
        """
        path = Path(path)
        if upto is None or not path.exists():
            path.write_bytes(b"")
        else:
            kept = [record for record in _parse(path) if record["step"] <= upto]
            text = "".join(json.dumps(record) + "\n" for record in kept).encode()
            write_whole(path, lambda file: file.write(text))
        self._file = path.open("a", encoding="utf-8")

    def write(self, **record: Any) -> None:
        """Append one record and hand it to the system at once."""
        finite = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in record.items()
        }
        self._file.write(json.dumps(finite) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Force what was written to the disk, so that a checkpoint never precedes its records."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
