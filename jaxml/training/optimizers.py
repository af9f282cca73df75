"""Optimizers and schedules by name, from a table of a configuration.

    [optimizer]
    name = "adamw"                      optax.adamw; "contrib.muon" and "jaxml.adamw" also
    b2 = 0.99                           any argument that TOML can write
    learning_rate = 1e-3                a number, or a schedule of optax:
    learning_rate = { name = "cosine_decay_schedule", init_value = 1e-3, decay_steps = 1000 }

An optimizer is any function of those namespaces with an argument for the learning rate; a schedule
is a function of the number of steps taken, and any real argument may be one where optax allows it.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import optax
import optax.contrib
import optax.schedules

from jaxml import optim
from jaxml._table import ConfigError, Table

__all__ = ["Optimizer", "build", "optimizer_names", "schedule_names"]

NAMESPACES = {"": optax, "contrib.": optax.contrib, "jaxml.": optim}


class Optimizer(NamedTuple):
    """An optimizer and the learning rate that it follows."""

    transformation: optax.GradientTransformation
    learning_rate: Callable[[int], Any]  # steps taken -> learning rate or None, for the log


def _has_rate(function: Any) -> bool:
    if not inspect.isfunction(function) or function.__name__.startswith("scale_by"):
        return False
    return any(name.endswith("learning_rate") for name in inspect.signature(function).parameters)


def optimizer_names() -> tuple[str, ...]:
    """Return every name that an [optimizer] table may give."""
    return tuple(
        prefix + name
        for prefix, module in NAMESPACES.items()
        for name, function in sorted(vars(module).items())
        if not name.startswith("_") and _has_rate(function)
    )


def schedule_names() -> tuple[str, ...]:
    """Return every name that a schedule may give."""
    names = sorted(vars(optax.schedules))
    return tuple(name for name in names if name.endswith(("_schedule", "_decay")))


def _find(table: Table, known: tuple[str, ...]) -> str:
    name = table.take("name", str)
    if name not in known:
        expected = ", ".join(known)
        raise ConfigError(f"{table.name('name')}: expected one of {expected}, got {name!r}")
    return name


def _call(function: Callable, name: str, table: Table, *, schedules: bool) -> Any:
    """Call function with the table's values, after checking them against its signature."""
    parameters = inspect.signature(function).parameters
    table.done(tuple(parameters))
    given = {}
    for key, value in table.values.items():
        where = table.name(key)
        if schedules and isinstance(value, dict):
            given[key] = _schedule(Table(value, where))
        else:
            given[key] = _argument(value, parameters[key].default, where)
    for key, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and key not in given:
            raise ConfigError(f"{table.name(key)}: missing, {name} needs it")
    try:
        return function(**given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{table.where}: {name} refuses its arguments: {error}") from error


def _argument(value: Any, default: Any, where: str) -> Any:
    """Check a value against the kind of the argument's default, as far as that is known."""
    if isinstance(default, bool) and not isinstance(value, bool):
        raise ConfigError(f"{where}: expected true or false, got {value!r}")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, int | float) and not isinstance(default, bool) and not number:
        raise ConfigError(f"{where}: expected a number, got {value!r}")
    if isinstance(value, dict):  # boundaries of a piecewise schedule: TOML's keys are strings
        if not all(key.isdecimal() for key in value):
            raise ConfigError(f"{where}: expected steps as keys, got {', '.join(value)}")
        return {int(key): entry for key, entry in value.items()}
    if where.endswith("learning_rate") and not number:
        raise ConfigError(f"{where}: expected a number or a schedule, got {value!r}")
    return value


def _schedule(table: Table) -> optax.Schedule:
    name = _find(table, schedule_names())
    schedule = _call(getattr(optax.schedules, name), name, table, schedules=False)
    try:
        float(schedule(0))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{table.where}: {name} refuses its arguments: {error}") from error
    return schedule


def build(table: Table) -> Optimizer:
    """Return the optimizer that a table names, with its arguments and schedules.

    Raises:
      ConfigError: An unknown name or argument, one that is missing, or one of the wrong kind.
    """
    name = _find(table, optimizer_names())
    prefix, _, short = name.rpartition(".")
    function = getattr(NAMESPACES[prefix + "." if prefix else ""], short)
    transformation = _call(function, name, table, schedules=True)
    key = next(k for k in inspect.signature(function).parameters if k.endswith("learning_rate"))
    rate = table.values.get(key, inspect.signature(function).parameters[key].default)
    if isinstance(rate, dict):
        return Optimizer(transformation, _schedule(Table(rate, table.name(key))))
    return Optimizer(transformation, lambda step: rate)
