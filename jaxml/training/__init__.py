"""Training by a configuration: one compiled step, a log, checkpoints that survive an interruption.

``run`` is what ``jaxml train CONFIG`` does; ``train`` takes any ``Task``, that is a model, its data
and its measure as pure functions. A configuration is described in ``jaxml.training.config``.

    config = training.load("configs/train_resnet_digits.toml")
    outcome = training.run(config, "runs/digits")
"""

from pathlib import Path

from jaxml._table import ConfigError
from jaxml.training import checkpoint, metrics, optimizers, picture
from jaxml.training.checkpoint import CheckpointError
from jaxml.training.config import Config, Settings, load
from jaxml.training.loop import Outcome, TrainingError, Watch, train
from jaxml.training.optimizers import Optimizer
from jaxml.training.task import Task

__all__ = [
    "CheckpointError", "Config", "ConfigError", "Optimizer", "Outcome", "Settings", "Task",
    "TrainingError", "Watch", "checkpoint", "load", "metrics", "optimizers", "picture", "run",
    "train",
]  # fmt: skip


def run(
    config: Config,
    folder: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    watch: Watch | None = None,
) -> Outcome:
    """Do what a configuration says; arguments, files and errors are those of ``train``."""
    task = config.build()
    if watch is not None:
        for line in task.about:
            watch.say(line)
    return train(
        task,
        optimizer=config.optimizer,
        settings=config.train,
        folder=folder,
        config=config.fingerprint,
        resume=resume,
        overwrite=overwrite,
        watch=watch,
    )
