"""Read a TOML table into what takes it: annotations are the schema, every error names its key.

An annotation, of a NamedTuple's field or a function's argument, says the type and, by
``Annotated``, the range; a default makes the key optional. What a table holds beyond its schema is
an error too: a misspelled key is not silently a default.
"""

import inspect
import tomllib
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

__all__ = ["ConfigError", "Range", "Table", "plain", "read"]

T = TypeVar("T")
REQUIRED: Any = object()
KINDS = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}


class ConfigError(ValueError):
    """A configuration is not what its reader needs; the text names the key."""


class Range(NamedTuple):
    """The numbers low <= x <= high, or low < x <= high where open."""

    low: float
    high: float = float("inf")
    open: bool = False

    def holds(self, x: float) -> bool:
        """Whether x lies in the range; NaN does not."""
        return (self.low < x if self.open else self.low <= x) and x <= self.high

    def __str__(self) -> str:
        least = "greater than" if self.open else "at least"
        most = "" if self.high == float("inf") else f" and at most {self.high:g}"
        return f"{least} {self.low:g}{most}"


class Table:
    """A TOML table whose keys are taken one by one."""

    def __init__(self, values: dict[str, Any], where: str = "") -> None:
        self.values, self.where = dict(values), where

    def name(self, key: str) -> str:
        """Return the key with the tables that hold it, as in ``train.steps``."""
        return f"{self.where}.{key}" if self.where else key

    def take(self, key: str, kind: Any, default: Any = REQUIRED) -> Any:
        """Remove key and return its value, which must be of that kind."""
        if key in self.values:
            return _typed(self.values.pop(key), kind, self.name(key))
        if default is REQUIRED:
            raise ConfigError(f"{self.name(key)}: missing, expected {_words(kind)}")
        return default

    def table(self, key: str) -> "Table":
        """Remove key and return it as a table, which is empty where the key is missing."""
        value = self.values.pop(key, {})
        if not isinstance(value, dict):
            raise ConfigError(f"{self.name(key)}: expected a table, got {value!r}")
        return Table(value, self.name(key))

    def fill(self, schema: type[T]) -> T:
        """Return the whole table as a NamedTuple; a field that is one itself is a table in it."""
        return schema(**self.arguments(schema))

    def arguments(self, function: Callable[..., Any]) -> dict[str, Any]:
        """Return the table as a NamedTuple's fields or a function's keyword-only arguments."""
        found = self.part(function)
        self.done(tuple(found))
        return found

    def part(self, function: Callable[..., Any]) -> dict[str, Any]:
        """Remove the keys that are such arguments, and return their values."""
        kinds = typing.get_type_hints(function, include_extras=True)
        filled = {}
        for p in inspect.signature(function).parameters.values():
            if p.kind is not inspect.Parameter.KEYWORD_ONLY and not hasattr(function, "_fields"):
                continue
            kind = kinds[p.name]
            if hasattr(kind, "_fields"):
                filled[p.name] = self.table(p.name).fill(kind)
            else:
                default = REQUIRED if p.default is inspect.Parameter.empty else p.default
                filled[p.name] = self.take(p.name, kind, default)
        return filled

    def done(self, known: tuple[str, ...]) -> None:
        """Raise for a key that no one took and that is not known either."""
        expected = f"one of {', '.join(known)}" if known else "none"
        for key in self.values.keys() - set(known):
            raise ConfigError(f"{self.name(key)}: unknown key, expected {expected}")


def read(path: str | Path, build: Callable[[Table], T]) -> T:
    """Return what build makes of a TOML file.

    Raises:
      ConfigError: The file cannot be read, or build refuses it; the text names the file.
    """
    try:
        return build(Table(tomllib.loads(Path(path).read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ConfigError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _words(kind: Any) -> str:
    """Return the kind as the end of the sentence 'expected ...'."""
    if typing.get_origin(kind) is typing.Annotated:
        base, *marks = typing.get_args(kind)
        return " ".join((_words(base), *(str(mark) for mark in marks)))
    if typing.get_origin(kind) is tuple:
        return f"a list, each entry {_words(typing.get_args(kind)[0])}"
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(repr(option) for option in typing.get_args(kind))
    return KINDS[kind]


def _fits(value: Any, kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        base, *marks = typing.get_args(kind)
        return _fits(value, base) and all(_marked(value, mark) for mark in marks)
    if origin is tuple:
        entry = typing.get_args(kind)[0]
        return isinstance(value, list) and bool(value) and all(_fits(v, entry) for v in value)
    if origin is typing.Literal:
        return value in typing.get_args(kind)
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)


def _marked(value: Any, mark: Range) -> bool:
    return all(map(mark.holds, value)) if isinstance(value, list) else mark.holds(value)


def _typed(value: Any, kind: Any, where: str) -> Any:
    if not _fits(value, kind):
        raise ConfigError(f"{where}: expected {_words(kind)}, got {value!r}")
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if kind is float:
        return float(value)
    return tuple(value) if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """Return NamedTuples, tuples and tables as dictionaries and lists, as JSON would."""
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value
