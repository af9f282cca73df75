"""A training configuration: TOML in, checked NamedTuples out; every error names its key.

task = "digits" or "text"
[model] [data] [sample]   as the task's Options say
[optimizer]               name, arguments, learning_rate; see jaxml.training.optimizers
[train]                   Settings
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from jaxml._table import ConfigError, Range, Table, plain, read
from jaxml.training import digits, optimizers, text
from jaxml.training.optimizers import Optimizer
from jaxml.training.task import Task

__all__ = ["Config", "Settings", "load"]

TASKS: dict[str, tuple[Any, Callable[..., Task]]] = {
    "digits": (digits.Options, digits.build),
    "text": (text.Options, text.build),
}
# These do not enter into the parameters of a given step: a resumed run may change them.
FREE = ("train.steps", "train.checkpoint_every", "train.evaluate_every", "sample")


class Settings(NamedTuple):
    """The [train] table."""

    steps: Annotated[int, Range(1)]  # in all, those before a resumption among them
    batch_size: Annotated[int, Range(1)]
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0  # parameters, data and noise follow from it
    clip_norm: Annotated[float, Range(0, open=True)] = float("inf")  # of the whole gradient
    log_every: Annotated[int, Range(1)] = 20  # steps whose mean loss is one record
    evaluate_every: Annotated[int, Range(1)] = 200  # and at the last step
    checkpoint_every: Annotated[int, Range(1)] = 200  # and at the last step
    max_skipped: Annotated[int, Range(0)] = 10  # steps in a row that may be refused


class Config(NamedTuple):
    """A whole configuration."""

    task: str
    options: Any  # the Options of the task
    optimizer: Optimizer
    train: Settings
    fingerprint: dict[str, Any]  # all of the above, as JSON would write it

    def build(self) -> Task:
        """Read the data and return the task.

        Raises:
          ConfigError: The data are too few for these options; the text names the key.
        """
        return TASKS[self.task][1](self.options, batch_size=self.train.batch_size)


def load(path: str | Path) -> Config:
    """Read and check a configuration.

    Raises:
      ConfigError: The file cannot be read, or a key is missing, unknown, of the wrong kind or out
        of range; the text names the file and the key, what was expected and what came.
    """
    return read(path, _config)


def _config(top: Table) -> Config:
    name = top.take("task", str)
    if name not in TASKS:
        raise ConfigError(f"task: expected one of {', '.join(TASKS)}, got {name!r}")
    optimizer, train = top.table("optimizer"), top.table("train")
    written = plain(optimizer.values)
    chosen = optimizers.build(optimizer)
    settings = train.fill(Settings)
    options = top.fill(TASKS[name][0])
    fingerprint = {
        "task": name, **plain(options), "optimizer": written, "train": plain(settings),
    }  # fmt: skip
    return Config(name, options, chosen, settings, fingerprint)


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Return 'key: a, not b' for what sets two fingerprints apart, FREE keys left out."""
    if where in FREE:
        return []
    if isinstance(one, dict) and isinstance(other, dict):
        found = []
        for key in dict.fromkeys((*one, *other)):
            inner = f"{where}.{key}" if where else key
            found += differences(one.get(key), other.get(key), inner)
        return found
    return [] if one == other else [f"{where}: {one!r}, not {other!r}"]
