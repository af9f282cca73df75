"""Run a piece of Python in a process of its own, for settings that a running JAX cannot change."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import jaxml

__all__ = ["environment", "run", "run_on_two_devices"]

TWO_DEVICES = """
import re
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
jax.config.update("jax_enable_x64", True)
assert len(jax.devices()) == 2
mesh = jax.make_mesh((2,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
KINDS = r"(all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)\\("

def split(*arrays):  # their rows over the devices
    places = (PartitionSpec("rows", *[None] * (a.ndim - 1)) for a in arrays)
    return [jax.device_put(a, NamedSharding(mesh, p)) for a, p in zip(arrays, places)]

def same(fit, *arrays, atol, only_sums=True):  # whole and split: the answer, and what is exchanged
    fit, parts = jax.jit(fit), split(*arrays)
    kinds = set(re.findall(KINDS, fit.lower(*parts).compile().as_text()))
    assert kinds == {"all-reduce"} or not only_sums, kinds
    one, two = fit(*arrays), fit(*parts)
    assert int(one.info.code) == int(two.info.code) == 0, (one.info, two.info)
    for a, b in zip(jax.tree.leaves(two.params), jax.tree.leaves(one.params)):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)
"""


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


def run_on_two_devices(code: str) -> None:
    """Run code that begins with what TWO_DEVICES defines: split and same, in float64."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2".strip()
    run(TWO_DEVICES + textwrap.dedent(code), XLA_FLAGS=flags, JAX_PLATFORMS="cpu")
