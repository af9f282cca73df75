"""The ``jaxml`` command: verify the derivations, train a network, or describe this installation.

jaxml verify [PATTERN] [--dtype float32|float64|all] [--topics] [--mutate] [--json FILE]
             [--report DIR [--source URL]] [--list]
jaxml train CONFIG [--out DIR] [--resume | --overwrite]
jaxml info
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
from rich.console import Console

from jaxml import training
from jaxml.training.progress import shown
from jaxml.verify import command, report
from jaxml.verify.canaries import CANARIES
from jaxml.verify.command import FAILS, HOLDS

__all__ = ["main"]

MISUSED, INTERRUPTED = 2, 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jaxml", description="Machine learning in JAX, verified by hand."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command.arguments(
        commands.add_parser("verify", help="compare autodiff with derivations made by hand")
    )
    train = commands.add_parser("train", help="train a network as a configuration says")
    train.add_argument("config", metavar="CONFIG", type=Path, help="TOML; see configs/train_*.toml")
    train.add_argument("--out", metavar="DIR", type=Path, help="default: runs/NAME of the CONFIG")
    begin = train.add_mutually_exclusive_group()
    begin.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR")
    begin.add_argument("--overwrite", action="store_true", help="begin anew where DIR holds a run")
    commands.add_parser("info", help="versions, devices, precision, and checks of known defects")
    return parser


def _train(options: argparse.Namespace, console: Console) -> int:
    config = training.load(options.config)
    folder = options.out or Path("runs") / options.config.stem
    with shown(console, steps=config.train.steps) as watch:
        end = training.run(
            config, folder, resume=options.resume, overwrite=options.overwrite, watch=watch
        )
    if not end.finished:
        console.print(f"stopped after step {end.step}; go on with --resume", soft_wrap=True)
        return INTERRUPTED
    if end.sample is not None:
        console.print(f"\n{end.sample}\n", soft_wrap=True, markup=False)
    for name, value in end.metrics.items():
        console.print(f"{name:<18} {value:.4f}")
    skipped = f", {end.skipped} skipped" if end.skipped else ""
    console.print(
        f"{end.step} steps{skipped}, {end.seconds:.0f} s; written to {folder}", soft_wrap=True
    )
    try:
        records = training.metrics.read(folder / "metrics.jsonl")
        training.picture.draw(records, folder / "loss.png", title=options.config.stem)
    except ImportError as error:
        console.print(f"no loss.png: {error}", soft_wrap=True, markup=False)
    return HOLDS


def _info(console: Console) -> int:
    about = report.machine()
    for name, version in about["versions"].items():
        console.print(f"{name:<18} {version}")
    for name in ("platform", "default_dtype", "x64", "matmul_precision"):
        console.print(f"{name.replace('_', ' '):<18} {about[name]}")
    for device in about["devices"]:
        console.print(f"{'device':<18} {device}")
    healthy = True
    for name, check in CANARIES.items():
        right = check()
        healthy &= right
        console.print(f"{name:<18} {'right' if right else 'WRONG: do not trust this version'}")
    return HOLDS if healthy else FAILS


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 if all holds, 1 if not, 2 for misuse."""
    options = _parser().parse_args(argv)
    console = Console(highlight=False)
    if options.command == "info":
        return _info(console)
    try:
        if options.command == "train":
            return _train(options, console)
        with jax.enable_x64(True):  # this command only: the caller's setting stays as it is
            return command.run(options, console)
    except training.TrainingError as error:
        print(f"jaxml: {error}", file=sys.stderr)
        return FAILS
    except (ValueError, OSError) as error:
        print(f"jaxml: {error}", file=sys.stderr)
        return MISUSED
