"""Where in the source a claim, its library side and its hand form are written."""

import functools
import os
from pathlib import Path
from types import ModuleType
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


def place(f: Any) -> Source | None:
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
    """Return where the subjects of cases are written, and the hand forms, without the tables."""
    found: dict[Path, Source] = {}
    for case in cases:
        subject = _subject(case)
        for source in (subject, _twin(subject), place(case.hand)):
            if source is not None and source.name.count("/verify/") == 0:
                found.setdefault(source.file, source._replace(line=1))
    if not found:  # claims about no module of their own: the tables that state them
        found = {s.file: s._replace(line=1) for case in cases if (s := place(case.hand))}
    return list(found.values())


def _twin(source: Source | None) -> Source | None:
    """The closed forms of a module."""
    if source is None:
        return None
    file = PACKAGE / "closed_form" / source.file.relative_to(PACKAGE)
    return Source(file, 1) if file.is_file() else None


def _subject(case: Case) -> Source | None:
    """The module or function that a case is named after: "optim.adam/..." is jaxml.optim.adam."""
    subject: Any = jaxml
    for name in case.name.split("/", maxsplit=1)[0].split("(")[0].split("@")[0].split("."):
        deeper = getattr(subject, name, None)
        if deeper is None:
            break
        subject = deeper
    if not isinstance(subject, ModuleType):
        return place(subject)
    path = Path(str(subject.__file__)).resolve()
    return None if path.name == "__init__.py" else Source(path, 1)


def link(source: Source, folder: Path, base: str | None) -> str:
    """Return an address of a line: under base, or relative to folder if base is None."""
    if base is not None:
        at = (Path("jaxml") / source.file.relative_to(PACKAGE)).as_posix()
        return f"{base.rstrip('/')}/{quote(at)}#L{source.line}"
    try:
        return quote(Path(os.path.relpath(source.file, folder.resolve())).as_posix())
    except ValueError:  # another drive
        return source.file.as_uri()
