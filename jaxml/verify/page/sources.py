"""Where in the source a claim, its library side and its hand form are written."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jaxml
from jaxml.verify.case import Case

__all__ = ["Source", "link", "modules", "place"]

PACKAGE = Path(jaxml.__file__).resolve().parent


class Source(NamedTuple):
    """A line of a file of this package."""

    file: Path
    line: int

    @property
    def name(self) -> str:
        """The path as a reader knows it: jaxml/losses.py:42, the line only where it is not 1."""
        path = (Path("jaxml") / self.file.relative_to(PACKAGE)).as_posix()
        return path if self.line == 1 else f"{path}:{self.line}"


def place(f: Callable[..., Any]) -> Source | None:
    """Return where a function is written, seen through partials and transformations of JAX."""
    while True:
        if isinstance(f, functools.partial):
            f = f.func
        elif hasattr(f, "__wrapped__"):
            f = f.__wrapped__
        else:
            break
    code = getattr(f, "__code__", None) or getattr(type(f).__call__, "__code__", None)
    if code is None or not Path(code.co_filename).resolve().is_relative_to(PACKAGE):
        return None
    return Source(Path(code.co_filename).resolve(), code.co_firstlineno)


def modules(cases: list[Case]) -> list[Source]:
    """Return the modules that cases are about, each with its twin of closed forms."""
    found: dict[Path, None] = {}
    for case in cases:
        parts = case.name.split("/", maxsplit=1)[0].split("@")[0].split(".")
        for root in (PACKAGE, PACKAGE / "closed_form"):
            for end in range(len(parts), 0, -1):
                stem = root.joinpath(*parts[:end])
                path = next((p for p in (stem.with_suffix(".py"), stem / "__init__.py")
                             if p.exists()), None)  # fmt: skip
                if path is not None:
                    if path.stat().st_size > 200 or path.name != "__init__.py":
                        found[path] = None
                    break
    if not found:  # claims about no module of their own: the tables that state them
        found = {s.file: None for s in (place(case.hand) for case in cases) if s is not None}
    return [Source(path, 1) for path in found]


def link(source: Source, folder: Path, base: str | None) -> str:
    """Return an address of a line: under base, or relative to folder if base is None."""
    if base is not None:
        at = (Path("jaxml") / source.file.relative_to(PACKAGE)).as_posix()
        return f"{base.rstrip('/')}/{quote(at)}#L{source.line}"
    try:
        return quote(Path(os.path.relpath(source.file, folder.resolve())).as_posix())
    except ValueError:  # another drive
        return source.file.as_uri()
