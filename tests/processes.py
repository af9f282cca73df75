"""Run a piece of Python in a process of its own, for settings that a running JAX cannot change."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import jaxml

__all__ = ["environment", "run"]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that sees the jaxml and the tests that the tests see."""
    package = str(Path(jaxml.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, **more}


def run(code: str, **more: str) -> str:
    """Return what the code prints; a failure raises with its error output.

    The code starts with a fresh JAX in its default settings (float32), and sees the jaxml that the
    tests see.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        raise AssertionError(f"exit code {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}")
    return done.stdout
