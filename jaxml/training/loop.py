"""The loop around the step: log, evaluation, checkpoints, and an orderly end when asked for one.

The folder of a run holds ``checkpoint.npz`` and ``metrics.jsonl``, and ``sample.txt`` if the task
makes one. A checkpoint is written before the first step, every so many steps, at the last one, and
when SIGINT or SIGTERM asks for the end: the step at hand is finished first. A step whose loss,
gradient or result is not finite is skipped and counted; too many in a row end the run, and the last
checkpoint stays.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxml._typing import PyTree
from jaxml.training import checkpoint
from jaxml.training._signals import asked_to_end
from jaxml.training._step import Carry, Report, check_drives, initial, keys, make_step
from jaxml.training.checkpoint import CheckpointError
from jaxml.training.config import Settings, differences
from jaxml.training.metrics import Log
from jaxml.training.optimizers import Optimizer
from jaxml.training.task import Task

__all__ = ["Outcome", "TrainingError", "Watch", "train"]


class TrainingError(RuntimeError):
    """Training cannot go on; the text says why, and what is kept."""


class Watch(NamedTuple):
    """How a run shows itself: nothing by default."""

    advance: Callable[[int, float], None] = lambda step, loss: None  # after every step
    say: Callable[[str], None] = lambda text: None  # one line, now and then


class Outcome(NamedTuple):
    """What a run leaves."""

    params: PyTree
    state: PyTree
    step: int  # steps done
    skipped: int  # steps refused, since something in them was not finite
    metrics: dict[str, float]  # of the last evaluation
    seconds: float  # of all steps, those before a resumption among them
    finished: bool  # False if a signal ended it
    sample: str | None


class _Run:
    """The files of a run and what has been seen of it."""

    def __init__(self, folder: Path, config: dict[str, Any], log: Log, seconds: float) -> None:
        self.path, self.config, self.log = folder / "checkpoint.npz", config, log
        self.metrics: dict[str, float] = {}
        self.start = time.perf_counter() - seconds

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def write(self, step: int, **record: Any) -> None:
        self.log.write(step=step, **record, seconds=round(self.seconds, 3))

    def save(self, step: int, carry: Carry) -> None:
        self.log.sync()
        about = {"step": step, "config": self.config, "seconds": self.seconds}
        checkpoint.save(self.path, carry, about=about)


def _begin(
    path: Path,
    first: Callable[[], Carry],
    shapes: Carry,
    config: dict[str, Any],
    *,
    resume: bool,
    overwrite: bool,
) -> tuple[Carry, int, float]:
    """Return the carry to go on from, its step, and the seconds it took."""
    if resume:
        content = checkpoint.read(path)
        if changed := differences(content.about.get("config"), config):
            raise CheckpointError(
                f"{path} was written with another configuration: {'; '.join(changed)}"
            )
        about = content.about
        return checkpoint.restore(content, shapes), int(about["step"]), float(about["seconds"])
    if path.exists() and not overwrite:
        raise CheckpointError(
            f"{path} holds a run: go on with it (--resume), begin anew (--overwrite), "
            "or name another folder"
        )
    path.unlink(missing_ok=True)
    return jax.jit(first)(), 0, 0.0


def train(
    task: Task,
    *,
    optimizer: Optimizer,
    settings: Settings,
    folder: str | Path,
    config: dict[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    watch: Watch | None = None,
) -> Outcome:
    """Train, from the start or from the checkpoint in folder.

    Resumed after any interruption, a run ends with bitwise the parameters of one that was never
    interrupted, on the same device with the same versions.

    Args:
      task: What is trained.
      optimizer: From jaxml.training.optimizers, or any optax one with its learning rate.
      settings: Steps, batches, how often to log.
      folder: Where to write; made if it is not there.
      config: What a resumed run must share with the checkpoint; None: the settings alone.
      resume: Go on from the folder's checkpoint.
      overwrite: Begin anew although the folder holds a run.
      watch: Is told of every step.

    Raises:
      CheckpointError: Nothing to resume from, or a damaged or different checkpoint; or, without
        resume and overwrite, the folder holds a run.
      ConfigError: The optimizer needs another loop: a gradient per example, say.
      TrainingError: Too many steps in a row were not finite.
      OSError: The folder cannot be written to.
    """
    folder, watch = Path(folder), watch or Watch()
    config = {"train": settings._asdict()} if config is None else config
    folder.mkdir(parents=True, exist_ok=True)
    streams = keys(settings.seed)
    first = partial(initial, task, optimizer.transformation, streams.init)
    shapes = jax.eval_shape(first)
    check_drives(optimizer.transformation, shapes)
    carry, step, seconds = _begin(
        folder / "checkpoint.npz", first, shapes, config, resume=resume, overwrite=overwrite
    )
    compiled = make_step(
        task,
        optimizer.transformation,
        streams=streams,
        log_every=settings.log_every,
        clip_norm=settings.clip_norm,
    )
    evaluate = jax.jit(task.evaluate)
    with (
        Log(folder / "metrics.jsonl", upto=step if resume else None) as log,
        asked_to_end() as asked,
    ):
        run = _Run(folder, config, log, seconds)
        if not resume:
            run.write(0, **task.facts)
            run.save(0, carry)
        saved, report = step, None
        while step < settings.steps and not asked:
            carry, latest = compiled(carry, task.data)
            step += 1
            if report is not None:  # the step before: reading it waits, while this one runs
                _look(step - 1, report, settings, watch, saved)
            report = latest
            if step % settings.log_every == 0 or step == settings.steps:
                _look(step, latest, settings, watch, saved)
                _record(run, step, latest, optimizer)
                report = None
            if step % settings.evaluate_every == 0 or step == settings.steps:
                _evaluate(run, step, evaluate(carry.params, carry.state, task.data), watch)
            if step % settings.checkpoint_every == 0 or step == settings.steps:
                run.save(saved := step, carry)
        if report is not None:
            _look(step, report, settings, watch, saved)
        if step > saved:
            run.save(step, carry)
        finished, seconds = step >= settings.steps, run.seconds
        if finished and not run.metrics:  # resumed after its last step: nothing new to log
            values = evaluate(carry.params, carry.state, task.data)
            run.metrics = {name: float(value) for name, value in values.items()}
    sample = None
    if finished and task.sample is not None:
        sample = task.sample(carry.params, carry.state, streams.sample)
        text = sample.encode()
        checkpoint.write_whole(folder / "sample.txt", lambda file: file.write(text))
    return Outcome(
        carry.params, carry.state, step, int(carry.skipped), run.metrics, seconds, finished, sample
    )


def _look(step: int, report: Report, settings: Settings, watch: Watch, saved: int) -> None:
    loss, streak = float(report.loss), int(report.streak)
    watch.advance(step, loss)
    if streak > settings.max_skipped:
        raise TrainingError(
            f"step {step}: {streak} steps in a row were not finite (loss {loss:g}): lower the "
            f"learning rate or train.clip_norm; the checkpoint of step {saved} is kept"
        )


def _record(run: _Run, step: int, report: Report, optimizer: Optimizer) -> None:
    # A schedule counts the steps that were applied; the latest of them was at this rate.
    rate = optimizer.learning_rate(max(step - int(report.skipped) - 1, 0))
    run.write(
        step,
        loss=float(report.mean),
        learning_rate=None if rate is None else float(rate),
        skipped=int(report.skipped),
    )


def _evaluate(run: _Run, step: int, values: dict[str, Any], watch: Watch) -> None:
    run.metrics = {name: float(value) for name, value in values.items()}
    run.write(step, **run.metrics)
    shown = "  ".join(f"{name} {value:.4f}" for name, value in run.metrics.items())
    watch.say(f"step {step:>6}  {shown}  {run.seconds:.0f} s")
