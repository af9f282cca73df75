"""Take a TOML table apart: values by kind, keywords by signature; every error names its key."""

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["REQUIRED", "ConfigError", "Table", "keywords", "typed"]

REQUIRED: Any = object()


class ConfigError(ValueError):
    """The configuration does not say what the harness needs; the text names the key."""


class Table:
    """A TOML table whose keys are taken one by one; what is left over is an error."""

    def __init__(self, values: Any, where: str):
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: expected a table, got {values!r}")
        self.values, self.where = dict(values), where

    def take(self, key: str, kind: type, default: Any = REQUIRED, low: float | None = None) -> Any:
        """Remove key and return its value, which must be of that kind and at least low."""
        where = f"{self.where}.{key}" if self.where else key
        if key not in self.values:
            if default is REQUIRED:
                raise ConfigError(f"{where}: missing, expected {kind.__name__}")
            return default
        return typed(self.values.pop(key), kind, where, low)

    def table(self, key: str, default: Any = REQUIRED) -> "Table":
        """Remove key and return it as a table."""
        return Table(self.take(key, dict, default), f"{self.where}.{key}" if self.where else key)

    def done(self) -> None:
        """Raise ConfigError if a key is left."""
        for key in self.values:
            raise ConfigError(
                f"{self.where}.{key}: unknown key" if self.where else f"{key}: unknown key"
            )


def typed(value: Any, kind: type, where: str, low: float | None = None) -> Any:
    """Return value, which must be of that kind and at least low; an integer is a float too."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{where}: expected {kind.__name__}, got {value!r}")
    if low is not None and not value >= low:
        raise ConfigError(f"{where}: expected at least {low}, got {value!r}")
    return value


def keywords(function: Callable, values: dict[str, Any], where: str) -> dict[str, Any]:
    """Check values against the keyword-only arguments of function; return them typed."""
    known = {
        name: p
        for name, p in inspect.signature(function).parameters.items()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    }
    for name in values:
        if name not in known:
            raise ConfigError(f"{where}.{name}: unknown key, expected one of {', '.join(known)}")
    for name, p in known.items():
        if name not in values and p.default is inspect.Parameter.empty:
            raise ConfigError(f"{where}.{name}: missing, expected {p.annotation.__name__}")
    return {name: typed(v, known[name].annotation, f"{where}.{name}") for name, v in values.items()}
